"""Synthesise people, train person re-identification on them, search real galleries."""

__version__ = "0.1.0"
