"""Synthetic people, scenes and the simulator that films them."""
