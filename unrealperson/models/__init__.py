"""Networks: backbone, camera-based batch norm, and the re-identification model around them."""

from __future__ import annotations

import ctypes
import sys


def reuse_memory() -> None:
    """Lets the C library keep freed memory for the next batch instead of handing it back to the system.

    A network's activations are hundreds of megabytes that are mapped, zeroed and unmapped anew at every
    step otherwise, which costs as much time as the arithmetic. Does nothing where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of malloc.h
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(mmap_max, 0)
        library.mallopt(trim_threshold, 2**31 - 1)
