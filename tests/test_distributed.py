from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from unrealperson.distributed import join_team

ROOT = Path(__file__).resolve().parent.parent


def test_a_step_of_two_processes_is_that_of_one():
    """Losses of distances, both batch norms, gradients and running statistics."""
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            str(ROOT / "tests" / "together.py"),
        ],
        capture_output=True, text=True, timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_one_process_needs_no_others():
    with join_team() as team:
        assert team.first and team.world == 1 and team.norm_group is None
        rows = torch.arange(3)
        assert team.gather(rows) is rows and team.share(5) == 5 and team.mean([1.0]) == [1.0]
    assert not torch.distributed.is_initialized()
