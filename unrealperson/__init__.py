"""Synthesise people, train person re-identification on them, search real galleries."""

import os

# OpenMP threads that spin while they wait make a network several times slower wherever another program
# uses a core; the runtime reads this once, when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
