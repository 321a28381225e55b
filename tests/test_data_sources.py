"""Readers of image folders: layouts by name, sizes, and files that are no images."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unrealperson.data import sources
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import load_image, read_images


def save(path: Path, *, width: int = 6, height: int = 9, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(width * 1000 + height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.mark.parametrize(
    ("name", "pid", "camid", "frame"),
    [
        ("0002_c1s1_000451_03.jpg", 2, 1, 451),
        ("1501_c6s4_001877_01.jpg", 1501, 6, 1877),
        ("-1_c2s3_000401_05.jpg", -1, 2, 401),
        ("0000_c3s1_000076_02.jpg", 0, 3, 76),
        ("0005_c2_f0046985.jpg", 5, 2, 46985),  # DukeMTMC-reID
        ("deep/er/0007_c10_12.png", 7, 10, 12),
        ("unreal_v3.2/images/0012_c004_000031.jpg", 2_000_012, 3_004, 31),
        ("unreal_v3.2/images/12_c034_7.jpg", 2_000_012, 3_034, 7),
        ("x/unreal_v11.1/images/12_c004_31.jpg", 1_000_012, 11_004, 31),
        ("unreal_v3.2/other/12_c004_31.jpg", 12, 4, 31),
        ("holiday.jpg", -1, -1, -1),
        ("0002_c1s1.jpg", 2, 1, -1),
        ("a0002_c1s1_000451_03.jpg", -1, -1, -1),
        ("0002-c1-000451.JPEG", -1, -1, -1),
    ],
)
def test_names(tmp_path: Path, name: str, pid: int, camid: int, frame: int) -> None:
    save(tmp_path / name, width=5, height=11)
    manifest = read_images(tmp_path)
    assert manifest.path == (name,)
    assert (manifest.pid[0], manifest.camid[0], manifest.frame[0]) == (pid, camid, frame)
    assert (manifest.column("width")[0], manifest.column("height")[0]) == (5, 11)


def test_unrealperson_columns(tmp_path: Path) -> None:
    save(tmp_path / "unreal_v3.2/images/0012_c004_000031.jpg")
    for folder in (tmp_path, tmp_path / "unreal_v3.2", tmp_path / "unreal_v3.2/images"):
        manifest = read_images(folder)
        found = [manifest.column(name)[0] for name in ("scene", "version", "person", "camera", "pid", "camid")]
        assert found == [3, 2, 12, 4, 2_000_012, 3_004]


def test_market_tree(tmp_path: Path) -> None:
    root = tmp_path / "Market"
    for name in (
        "bounding_box_train/0002_c1s1_000451_03.jpg",
        "bounding_box_test/0003_c1s1_000001_01.jpg",
        "bounding_box_test/0000_c4s1_000001_01.jpg",
        "bounding_box_test/-1_c4s1_000001_01.jpg",
        "query/0003_c2s1_000002_00.jpg",
        "gt_bbox/0003_c2s1_000002_00.jpg",
        "bounding_box_train_camstyle/0002_c1s1_000451_03_fake_1to2.jpg",
    ):
        save(root / name)
    (root / "readme.txt").write_text("words")
    manifest = read_images(root)
    assert dict(zip(manifest.path, manifest.split.tolist(), strict=True)) == {
        "bounding_box_test/-1_c4s1_000001_01.jpg": "gallery",
        "bounding_box_test/0000_c4s1_000001_01.jpg": "gallery",
        "bounding_box_test/0003_c1s1_000001_01.jpg": "gallery",
        "bounding_box_train/0002_c1s1_000451_03.jpg": "train",
        "query/0003_c2s1_000002_00.jpg": "query",
    }
    assert manifest.pid.tolist() == [-1, 0, 3, 2, 3]
    above = read_images(tmp_path)
    assert len(above) == 5 and above.path[0].startswith(f"{root.name}/bounding_box_test/")
    assert read_images(root / "query").split.tolist() == ["query"]


def test_own_manifest_comes_first(tmp_path: Path) -> None:
    save(tmp_path / "0002_c1s1_000451_03.jpg")
    Manifest.from_rows([{"path": "0002_c1s1_000451_03.jpg", "pid": 77}], tmp_path).write()
    assert read_images(tmp_path).pid.tolist() == [77]
    assert read_images(tmp_path / "manifest.parquet").pid.tolist() == [77]


def test_what_is_left_out(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "sub/c.webp", ".hidden.jpg", ".cache/d.jpg", "sub/._b.png"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    assert read_images(tmp_path).path == ("a.JPG", "b.png", "sub/c.webp")


def test_linked_folder_is_followed(tmp_path: Path) -> None:
    save(tmp_path / "there/a.jpg")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there")
    assert read_images(tmp_path / "here").path == ("link/a.jpg",)


def test_partly_named_folder_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "0002_c1s1_000451_03.jpg")
    save(tmp_path / "loose.jpg")
    with caplog.at_level(logging.WARNING, "unrealperson"):
        read_images(tmp_path)
    assert "1 of 2 names tell no identity" in caplog.text


def test_folder_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*missing; give one that holds images"):
        read_images(tmp_path / "missing")
    with pytest.raises(ValueError, match=r"holds no images \(.*\.jpg.*\), at any depth"):
        read_images(tmp_path)
    file = save(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg is not a folder; give the folder"):
        read_images(file)


def test_unreadable_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "good.jpg")
    for name in ("empty.jpg", "words.png", *(f"more{i}.jpg" for i in range(4))):
        (tmp_path / name).write_bytes(b"" if name == "empty.jpg" else b"these are words")
    with pytest.raises(ValueError, match=r"empty\.jpg is not a readable image: "):
        read_images(tmp_path)
    with caplog.at_level(logging.WARNING, "unrealperson"):
        assert read_images(tmp_path, skip_unreadable=True).path == ("good.jpg",)
    assert "skipped 6 unreadable images: empty.jpg, more0.jpg, more1.jpg, more2.jpg, more3.jpg, ..." in caplog.text
    (tmp_path / "good.jpg").unlink()
    with pytest.raises(ValueError, match=r"none of the 6 images of .* is readable; the first: .*empty\.jpg"):
        read_images(tmp_path, skip_unreadable=True)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1", "I;16"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new("RGB" if mode != "I;16" else mode, (6, 9)).convert(mode).save(path)
    image = load_image(path)
    assert image.shape == (9, 6, 3)
    assert image.dtype == np.uint8
    assert image.flags.writeable


def test_pixels_and_size(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", width=40, height=60)
    image = load_image(path)
    np.testing.assert_array_equal(image, np.asarray(Image.open(path)))
    np.testing.assert_array_equal(
        load_image(path, size=(32, 16)), np.asarray(Image.open(path).resize((16, 32), Image.Resampling.BILINEAR))
    )


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "a.jpg", width=30, height=20, exif=exif)
    manifest = read_images(tmp_path)
    assert (manifest.column("width")[0], manifest.column("height")[0]) == (20, 30)
    assert load_image(path).shape == (30, 20, 3)


@pytest.mark.parametrize("kind", ["EPS", "GIF"])
def test_other_formats_are_not_read_whatever_their_name(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (6, 9)).save(tmp_path / "a.jpg", kind)
    with pytest.raises(ValueError, match=r"a\.jpg is not a readable image"):
        load_image(tmp_path / "a.jpg")


def test_too_large_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", width=40, height=60)
    assert load_image(path, max_pixels=2400).shape == (60, 40, 3)
    with pytest.raises(ValueError, match=r"a\.png is not a readable image: it has 40 x 60 pixels; at most 2399"):
        load_image(path, max_pixels=2399)
    monkeypatch.setattr(sources, "MAX_PIXELS", 2399)
    with pytest.raises(ValueError, match="at most 2399 are read"):
        read_images(tmp_path)
    for limit in (2000, 1000):  # Pillow's own: a warning above it, an error above twice as much
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(ValueError, match=r"a\.png is not a readable image: Image size \(2400 pixels\)"):
            load_image(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "tif", "ppm"])
def test_damaged_files_give_one_kind_of_error(tmp_path: Path, suffix: str) -> None:
    whole = save(tmp_path / f"whole.{suffix}", width=32, height=48).read_bytes()
    path = tmp_path / f"damaged.{suffix}"
    rng = np.random.default_rng(3)
    refused = 0
    for trial in range(60):
        damaged = bytearray(whole[: rng.integers(0, len(whole))] if trial % 2 else whole)
        for position in rng.integers(0, max(len(damaged), 1), 0 if trial % 4 == 1 else 6):
            if damaged:
                damaged[position % min(len(damaged), 400)] = rng.integers(0, 256)
        path.write_bytes(damaged)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                assert load_image(path).ndim == 3
            except ValueError as error:
                refused += 1
                assert str(error).startswith(f"{path} is not a readable image: ")
    assert refused >= 25


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no image .*gone\.jpg"):
        load_image(tmp_path / "gone.jpg")
    with pytest.raises(ValueError, match=r"is a folder; give an image file"):
        load_image(tmp_path)


@pytest.mark.parametrize(("name", "images", "identities"), [("cuhk03_100", 938, 100), ("two_camera_74", 1184, 74)])
def test_real_sets(shared: Path, name: str, images: int, identities: int) -> None:
    folder = shared / "real" / name
    manifest = read_images(folder)
    assert (len(manifest), len(manifest.identities), manifest.cameras.tolist()) == (images, identities, [1, 2])
    assert manifest.column("height").min() > 60
    assert load_image(manifest.image_path(images - 1)).shape[0] == manifest.column("height")[-1]
