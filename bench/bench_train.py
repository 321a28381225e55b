"""A training step with camera-based batch norm against one with plain batch norm, and feature extraction with the
loader running against the bare network.

Ratios are of CPU seconds: the goals are about work, and hold on a machine that does other things as well.

Run: make bench
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unrealperson.config import EvaluateConfig, TrainConfig
from unrealperson.data.loader import Images
from unrealperson.data.manifest import Manifest
from unrealperson.data.transforms import normalise
from unrealperson.descent import Descent
from unrealperson.distributed import Team
from unrealperson.evaluate import extract
from unrealperson.models import reuse_memory
from unrealperson.models.reid import build_model
from unrealperson.objectives import build_objective
from unrealperson.schema import Batch

ALONE = Team(0, 1, torch.device("cpu"))
CAMERAS = 8
STEP_GOAL = 1.15
EXTRACT_GOAL = 1 / 0.9


def training_step(
    norm: str, *, images: int, height: int, width: int, team: Team = ALONE, classes: int = 100, cameras: int = CAMERAS,
    **network: str,
) -> Callable[[], None]:  # fmt: skip
    """All that training does with a batch of 8 cameras once the loader gave it; `network` is of section [train]."""
    config = TrainConfig(
        norm=norm, height=height, width=width, cameras_per_batch=CAMERAS,
        identities_per_camera=images // CAMERAS // 2, images_per_identity=2, learning_rate=1e-6,
        **{"backbone": "efficientnet_lite0", **network},  # type: ignore[arg-type]
    )  # fmt: skip
    objective = build_objective(build_model(config, classes=classes, cameras=cameras).train(), config, team)
    descent = Descent(objective, objective.model, config, team.device)
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (images, height, width, 3), dtype=np.uint8)
    camera = torch.arange(images) % CAMERAS
    batch = Batch(normalise(pixels), torch.arange(images) % classes, camera).to(team.device)

    def step() -> None:
        loss, _ = objective(batch)
        loss.item()
        descent.add(loss, 1)
        descent.step(config.learning_rate)

    return step


@pytest.mark.parametrize(("images", "height", "width"), [(32, 160, 80), (64, 256, 128)])
def bench_training_step(race, images, height, width):
    reuse_memory()
    size = {"images": images, "height": height, "width": width}
    race(
        training_step("cbn", **size),
        {"plain batch norm": training_step("bn", **size)},
        rounds=5,
        goals={"plain batch norm": STEP_GOAL},
        clock="cpu",
    )


def make_crops(root: Path, count: int) -> Manifest:
    """JPEG crops of the sizes that a camera gives."""
    generator = np.random.default_rng(0)
    rows = []
    for index in range(count):
        height = int(generator.integers(120, 400))
        coarse = generator.integers(0, 256, (16, 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((height // 2, height), Image.Resampling.BICUBIC)
        image.save(root / f"{index}.jpg", quality=90)
        rows.append({"path": f"{index}.jpg", "pid": index, "camid": index % CAMERAS})
    return Manifest.from_rows(rows, root)


def bench_feature_extraction(race, tmp_path):
    """ResNet-50 at 256 x 128 in batches of 32; every image is read and decoded anew."""
    reuse_memory()
    config = EvaluateConfig(mirror=False)
    train = TrainConfig(backbone="resnet50", norm="bn", weights="none")
    model = build_model(train, classes=1, cameras=0).eval()
    manifest = make_crops(tmp_path, 128)
    images = Images(manifest, height=train.height, width=train.width, cache_bytes=0)
    ready = [normalise(images[np.arange(start, start + 32)]) for start in range(0, len(manifest), 32)]
    camera = torch.zeros(32, dtype=torch.int64)

    def bare() -> None:
        with torch.inference_mode():
            for batch in ready:
                model(batch, camera)

    race(
        lambda: extract(model, images, config),
        {"bare model(x)": bare},
        goals={"bare model(x)": EXTRACT_GOAL},
        clock="cpu",
    )
