"""The check that sections share."""

from __future__ import annotations


def require(condition: bool, message: str) -> None:
    """Refuses a value.

    Args:
        condition: what must hold.
        message: what is wrong, with the value that was given.

    Raises:
        ValueError: it does not hold.
    """
    if not condition:
        raise ValueError(message)
