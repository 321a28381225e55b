"""Synthesise people, train person re-identification on them, search real galleries."""

import os

# OpenMP threads that spin while they wait make a network ten times slower wherever another program uses a
# core, and threads that sleep at once make it no faster than one thread: spin briefly (measured on a training
# step; GNU OpenMP reads this once, when torch loads it).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"
