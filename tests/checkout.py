"""A copy of what the package is built from, so that builds leave the checkout and its module alone."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("CMakeLists.txt", "LICENSE", "README.md", "csrc", "pyproject.toml", "setup.py", "tests", "unrealperson")


def copy_checkout(target: Path) -> Path:
    """Copies sources and tests without anything that was built; returns `target`."""
    target.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            built = shutil.ignore_patterns("*.so", "__pycache__", "*.partial")
            shutil.copytree(ROOT / name, target / name, ignore=built)
        else:
            shutil.copy2(ROOT / name, target / name)
    return target
