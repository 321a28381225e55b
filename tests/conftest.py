"""Fixtures and skips shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Tests measure what code does, not how it shares cores: few threads keep them quick and repeatable.
os.environ.setdefault("OMP_NUM_THREADS", "2")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of optional test data, named by UNREALPERSON_SHARED."""
    folder = Path(os.environ.get("UNREALPERSON_SHARED", ROOT.parent / "shared"))
    if not (folder / "real").is_dir():
        pytest.skip(f"optional test data is absent: {folder} (set UNREALPERSON_SHARED)")
    return folder
