"""Adaptation to a site without labels: JVTC, JVTC+ and cluster contrast."""
