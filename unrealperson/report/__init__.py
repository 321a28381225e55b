"""Self-contained HTML pages about a demo, an evaluation, an adaptation."""
