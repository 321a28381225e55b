"""Training by two agents of torchrun, as on two nodes, and by Ray Train, against one torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from learning import make_figures
from safetensors.numpy import load_file

from unrealperson.config import Config, TrainConfig, save_config

pytestmark = pytest.mark.check
ROOT = Path(__file__).resolve().parent.parent
CONFIG = Config(
    train=TrainConfig(
        epochs=1, height=32, width=32, cameras_per_batch=2, identities_per_camera=2, images_per_identity=2, pad=2,
        workers=0,
    )
)  # fmt: skip


def start(*command: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    return subprocess.Popen(
        [sys.executable, *map(str, command)], env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> None:
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out[-3000:]


def result(run: Path) -> tuple[list[float], dict]:
    losses = [json.loads(line).get("loss") for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [loss for loss in losses if loss is not None], load_file(run / "model.safetensors")


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[object]]:
    """Data, and the command that trains on them on one node of two processes; its run."""
    root = tmp_path_factory.mktemp("launch")
    make_figures(root / "data").write()
    save_config(CONFIG, root / "config.toml")
    one = [
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        2,
        "--rdzv-backend",
        "c10d",
        "--rdzv-endpoint",
        "127.0.0.1:0",
    ]
    train = ["-m", "unrealperson.cli", "train", "--data", root / "data", "--config", root / "config.toml"]
    finish(start(*one, *train, "--out", root / "one"))
    return root, train


def assert_same(run: Path, expected: Path) -> None:
    (losses, weights), (wanted, their_weights) = result(run), result(expected)
    assert losses and losses == pytest.approx(wanted, abs=1e-4)
    assert all(abs(weights[name] - their_weights[name]).max() < 1e-4 for name in their_weights)


def test_two_agents_of_torchrun(given, unused_port):
    root, train = given
    agent = ["-m", "torch.distributed.run", "--nnodes", 2, "--nproc-per-node", 1, "--rdzv-backend", "c10d"]
    agent += ["--rdzv-endpoint", f"127.0.0.1:{unused_port}", "--rdzv-id", "test"]
    agents = [start(*agent, *train, "--out", root / "two") for _ in range(2)]
    for process in agents:
        finish(process)
    assert_same(root / "two", root / "one")


def test_ray_train(given):
    pytest.importorskip("ray", reason="Ray is not installed; `make check` installs it: unrealperson[scale]")
    root, _ = given
    launcher = ROOT / "examples" / "launch" / "ray_train.py"
    finish(start(launcher, root / "data", root / "ray", "--config", root / "config.toml"))
    assert_same(root / "ray", root / "one")


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
