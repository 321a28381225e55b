"""Data sets: the manifest of crops and the readers that make one."""
