"""DALI gives the images that torch's loader gives; it runs where it is installed, with or without a GPU."""

from __future__ import annotations

import dataclasses
import shutil
import sys

import numpy as np
import pytest
import torch
from learning import make_figures
from PIL import Image

from unrealperson.config import TrainConfig
from unrealperson.data import dali
from unrealperson.data.loader import make_loader
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_images
from unrealperson.data.writers import write_as

CONFIG = TrainConfig(
    height=128, width=64, sampler="identity", cameras_per_batch=2, identities_per_camera=2, images_per_identity=3,
    workers=1,
)  # fmt: skip
CHANGES = {
    "mirror and crop": {},
    "far shift and erasing": {"pad": 80, "erasing": 0.7},
    "colour": {"jitter": 0.4, "brightness": 0.7},
    "blur": {"blur": 0.7},
    "white balance and contrast": {"white_balance": 0.3, "contrast": 0.4},
    "resolution": {"resolution": 0.8},
    "noise": {"noise": 12.0},
    "sharpening": {"sharpen": 1.5},
    "compression": {"jpeg": 0.7},
    "box": {"box": 0.2},
    "resolution and box": {"resolution": 0.7, "box": 0.1},
    "all": {"erasing": 0.5, "jitter": 0.3, "brightness": 0.5, "blur": 0.5, "jpeg": 0.5},
}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Smooth pictures of several sizes and formats, one of them turned by its EXIF data."""
    root = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    rows = []
    for number, size in enumerate([(64, 128), (40, 110), (97, 190), (150, 300)] * 3):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 6, 3), dtype=np.uint8))
        picture = coarse.resize(size, Image.Resampling.BICUBIC)
        exif = Image.Exif()
        if number == 5:
            exif[0x0112] = 6
        path = f"{number}.{('jpg', 'png', 'jpg')[number % 3]}"
        picture.save(root / path, exif=exif)
        rows.append({"path": path, "pid": number % 4, "camid": number % 2})
    return Manifest.from_rows(rows, root)


def batches(manifest: Manifest, back_end: str, *, device: str = "cpu", **changes) -> list[torch.Tensor]:
    config = dataclasses.replace(CONFIG, loader=back_end, **changes)
    loader = make_loader(manifest, config, device=torch.device(device))
    return [batch.images.cpu().clone() for batch in loader.epoch(0)]


def assert_alike(ours: list[torch.Tensor], torchs: list[torch.Tensor], *, mean: float) -> None:
    assert len(ours) == len(torchs) == 1
    difference = 128 * (torch.cat(ours) - torch.cat(torchs)).abs().mean((1, 2, 3))
    assert difference.mean() <= mean and difference.max() <= 2, f"{difference.tolist()} grey levels of 255"


@pytest.mark.dali
class TestDali:
    @pytest.fixture(autouse=True)
    def installed(self):
        pytest.importorskip(
            "nvidia.dali", reason="NVIDIA DALI is not installed; `make check` installs it: unrealperson[dali]"
        )

    @pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
    def test_both_back_ends_give_the_same_images(self, photographs, changes):
        ours, torchs = batches(photographs, "dali", **changes), batches(photographs, "torch", **changes, workers=0)
        assert_alike(ours, torchs, mean=1)

    @pytest.mark.parametrize("changes", ["far shift and erasing", "all"])
    def test_the_operators_that_a_gpu_uses_give_them_too(self, photographs, changes, monkeypatch):
        monkeypatch.setattr(dali, "_by_loops", dali._by_operators)
        self.test_both_back_ends_give_the_same_images(photographs, CHANGES[changes])

    @pytest.mark.gpu
    @pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
    def test_a_gpu_gives_them_too(self, photographs, changes):
        ours = batches(photographs, "dali", device="cuda", **changes)
        assert_alike(ours, batches(photographs, "torch", **changes, workers=0), mean=2)

    @pytest.mark.gpu
    def test_batches_on_a_gpu_stay_while_later_ones_are_made(self, tmp_path):
        manifest = make_figures(tmp_path, identities=6)
        config = dataclasses.replace(CONFIG, loader="dali", erasing=0.5)
        loader = make_loader(manifest, config, device=torch.device("cuda"))
        for _ in range(3):  # by one pipeline
            at_once = [batch.images.cpu() for batch in loader.epoch(1)]
            kept = [batch.images for batch in loader.epoch(1)]
            assert len(kept) == 4 and all(images.is_cuda for images in kept)
            assert all(torch.equal(later.cpu(), first) for later, first in zip(kept, at_once, strict=True))

    def test_an_epoch_goes_on_in_its_middle_and_starts_again(self, tmp_path):
        manifest = make_figures(tmp_path, identities=6)
        config = dataclasses.replace(CONFIG, loader="dali", erasing=0.5)
        loader = make_loader(manifest, config)
        whole = [batch.images.clone() for batch in loader.epoch(1)]
        for first in (2, 0):  # by the same pipeline
            again = [batch.images.clone() for batch in loader.epoch(1, first)]
            assert len(again) == 4 - first and all(map(torch.equal, whole[first:], again))
        left = loader.epoch(0)
        next(left)
        again = [batch.images.clone() for batch in loader.epoch(1, 2)]
        assert all(map(torch.equal, whole[2:], again))
        parts = [next(make_loader(manifest, config, rank=rank, world=2).epoch(1)).images for rank in (0, 1)]
        assert torch.equal(whole[0], torch.cat(parts))

    def test_shards_are_read(self, tmp_path):
        manifest = make_figures(tmp_path / "figures")
        write_as("webdataset", manifest, tmp_path / "shards")
        ours, theirs = (batches(each, "dali") for each in (read_images(tmp_path / "shards"), manifest))
        assert all(map(torch.equal, ours, theirs))

    @pytest.mark.parametrize("cut", [20, 800])
    def test_a_broken_image_is_named(self, photographs, tmp_path, cut):
        shutil.copytree(photographs.root, tmp_path / "copy")
        broken = tmp_path / "copy" / "0.jpg"
        broken.write_bytes(broken.read_bytes()[:cut])
        with pytest.raises(ValueError, match=r"0\.jpg is not a readable image"):
            batches(Manifest(photographs.table, tmp_path / "copy"), "dali")


def test_without_dali_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    with pytest.raises(RuntimeError, match=r"needs NVIDIA DALI: pip install 'unrealperson\[dali\]'"):
        make_loader(make_figures(tmp_path, identities=2), dataclasses.replace(CONFIG, loader="dali"))
