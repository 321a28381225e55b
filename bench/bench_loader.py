"""Training batches by both back ends against a PIL DataLoader with the same transforms, in CPU seconds.

Transforms: resize, mirror, pad 10 and crop, normalise, erase in half of the images. The floor decodes the files and
does no more. "crops" have 100 to 400 rows, as synthesis gives them; the others need no resize.

Run: make bench
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from unrealperson.config import TrainConfig
from unrealperson.data.loader import Images, TorchBackEnd, TrainLoader, make_loader
from unrealperson.data.manifest import Manifest
from unrealperson.models import reuse_memory
from unrealperson.models.resnet import ResNet50

COUNT, WORKERS = 512, 2
CONFIG = TrainConfig(sampler="random", erasing=0.5, workers=WORKERS)
GOALS = {"torch": {"PIL DataLoader": 0.85}, "dali": {"PIL DataLoader": 1 / 1.8}}


@pytest.fixture(scope="module", params=["crops", "256x128"])
def manifest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp(request.param)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(COUNT):
        height = round(rng.uniform(100, 400)) if request.param == "crops" else 256
        width = round(height * rng.uniform(0.35, 0.55)) if request.param == "crops" else 128
        coarse = Image.fromarray(rng.integers(0, 256, (16, 8, 3), dtype=np.uint8)).resize((width, height))
        image = np.asarray(coarse, np.float32) + rng.normal(0, 6, (height, width, 1))
        path = f"{number:04d}.jpg"
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(root / path, quality=90)
        rows.append({"path": path, "pid": number % 64, "camid": number % 8})
    return Manifest.from_rows(rows, root)


class Usual(Dataset[tuple[Tensor, int]]):
    """One image after the other through Pillow, to a float tensor."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.rng = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        image = Image.open(self.manifest.image_path(row)).convert("RGB").resize((128, 256), Image.Resampling.BILINEAR)
        if self.rng.random() < 0.5:
            image = ImageOps.mirror(image)
        x, y = self.rng.integers(0, 21, 2).tolist()
        image = ImageOps.expand(image, 10).crop((x, y, x + 128, y + 256))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().sub_(127).div_(128)
        if self.rng.random() < 0.5:
            pixels[:, 50:130, 20:90] = 0
        return pixels, row


def usual(manifest: Manifest, workers: int) -> Callable[[], None]:
    loader = DataLoader(Usual(manifest), CONFIG.batch_size, num_workers=workers, persistent_workers=workers > 0)
    return lambda: [None for _ in loader] and None


def decode(manifest: Manifest) -> None:
    for row in range(len(manifest)):
        Image.open(manifest.image_path(row)).load()


def through(loader: TrainLoader) -> Callable[[], None]:
    return lambda: [None for _ in loader.epoch(0)] and None


@pytest.mark.parametrize("back_end", ["torch", "dali"])
def bench_loader(race, manifest, back_end):
    if back_end == "dali":
        pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed: pip install 'unrealperson[dali]'")
    reuse_memory()  # as training does
    config = TrainConfig(sampler="random", erasing=0.5, workers=WORKERS, loader=back_end)
    device = torch.device("cpu")
    loader = make_loader(manifest, config)
    if back_end == "torch":  # without what is kept of decoded images
        images = Images(manifest, height=256, width=128, cache_bytes=0)
        loader = TrainLoader(manifest, config, TorchBackEnd(images, workers=WORKERS), rank=0, world=1, device=device)
    peers = {
        "floor: decode only": lambda: decode(manifest),
        "PIL DataLoader": usual(manifest, WORKERS),
        "PIL DataLoader that does not work ahead": usual(manifest, 0),
    }
    race(through(loader), peers, rounds=3, goals=GOALS[back_end], clock="cpu")


@pytest.mark.parametrize("manifest", ["crops"], indirect=True)
def bench_feeding(race, manifest):
    """ResNet-50 on batches as they come, against the same batches at hand."""
    reuse_memory()
    config = TrainConfig(
        sampler="random", cameras_per_batch=4, identities_per_camera=2, images_per_identity=2, workers=2
    )
    loader = make_loader(manifest.select(np.arange(48)), config)
    model = ResNet50().eval().to(memory_format=torch.channels_last)
    held = [batch.images for batch in loader.epoch(0)]

    def extract(batches) -> None:
        with torch.inference_mode():
            for images in batches:
                model(images)

    peers = {"bare model(x)": lambda: extract(held)}
    race(lambda: extract(batch.images for batch in loader.epoch(0)), peers, rounds=2, goals={"bare model(x)": 1 / 0.9})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def bench_loader_gpu(race, manifest):
    """Batches on a GPU, decoded and augmented there by DALI, against a PIL DataLoader that works ahead."""
    pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed: pip install 'unrealperson[dali]'")
    device, workers = torch.device("cuda"), min(os.cpu_count() or 1, 8)
    loader = make_loader(manifest, dataclasses.replace(CONFIG, loader="dali", workers=workers), device=device)
    peer = DataLoader(Usual(manifest), CONFIG.batch_size, num_workers=workers, persistent_workers=True, pin_memory=True)

    def epochs(batches) -> None:
        for number in range(8):
            for images in batches(number):
                images.to(device, non_blocking=True)
        torch.cuda.synchronize()

    def theirs(number: int) -> Iterator[Tensor]:
        return (images for images, _ in peer)

    def ours(number: int) -> Iterator[Tensor]:
        return (batch.images for batch in loader.epoch(number))

    race(lambda: epochs(ours), {f"PIL DataLoader, {workers} workers": lambda: epochs(theirs)})
