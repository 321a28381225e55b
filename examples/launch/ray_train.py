"""Training by the nodes of a Ray cluster: python ray_train.py DATA RUN [--config FILE] [--workers N] [--gpu].

Data and run folder lie on a file system that all nodes see; the same command goes on where training was stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer


def work(given: dict[str, Any]) -> None:
    """What each process of the team does; Ray has joined them before."""
    from unrealperson.config import load_config
    from unrealperson.data.sources import read_images
    from unrealperson.train import train

    train(read_images(given["data"]), load_config(given["config"]), given["out"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--workers", type=int, default=2, help="processes, one a GPU or one a processor")
    parser.add_argument("--gpu", action="store_true", help="each process takes a GPU")
    given = parser.parse_args()
    trainer = TorchTrainer(
        work,
        train_loop_config={"data": given.data.absolute(), "out": given.out.absolute(), "config": given.config},
        scaling_config=ScalingConfig(num_workers=given.workers, use_gpu=given.gpu),
        run_config=RunConfig(
            storage_path=str(given.out.absolute() / "ray"), failure_config=FailureConfig(max_failures=3)
        ),
    )
    trainer.fit()


if __name__ == "__main__":
    main()
