"""Two processes of torchrun against one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from learning import make_figures
from safetensors.torch import load_file

from unrealperson.checkpoint import load_state
from unrealperson.cli import main
from unrealperson.distributed import join_team

ROOT = Path(__file__).resolve().parent.parent


def read_record(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_train_as_one_and_go_on_where_they_stopped(tmp_path):
    """The recipe of direct transfer; together.py also compares single steps with other losses."""
    make_figures(tmp_path / "data", identities=4, cameras=2, images=3).write()
    arguments = [
        "train", "--data", str(tmp_path / "data"), "--config", str(ROOT / "configs" / "direct_transfer.toml"),
        "--quiet", "--train.backbone", "osnet_x0_25", "--train.weights", "none", "--train.epochs", "1",
        "--train.height", "64", "--train.width", "32", "--train.pad", "2",
        "--train.cameras-per-batch", "2", "--train.images-per-identity", "2",
        # A net without ImageNet weights is chaotic: after long steps the last bits of a sum decide on the next loss.
        "--train.learning-rate", "1e-6",
    ]  # fmt: skip
    assert main([*arguments, "--out", str(tmp_path / "alone")]) == 0
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
            str(ROOT / "tests" / "together.py"), str(tmp_path), *arguments,
        ],
        capture_output=True, text=True, timeout=200,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    alone, whole, cut = (read_record(tmp_path / name) for name in ("alone", "whole", "cut"))
    assert [line["loss"] for line in whole] == pytest.approx([line["loss"] for line in alone], abs=1e-4)
    assert [line["loss"] for line in cut] == [line["loss"] for line in whole]
    assert load_state(tmp_path / "cut").step == load_state(tmp_path / "alone").step == 3
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_one_process_needs_no_others():
    with join_team() as team:
        assert team.first and team.world == 1 and team.norm_group is None
        rows = torch.arange(3)
        assert team.gather(rows) is rows and team.share(5) == 5 and team.mean([1.0]) == [1.0]
    assert not torch.distributed.is_initialized()
