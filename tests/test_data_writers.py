"""Each form is written and read again."""

from __future__ import annotations

import configparser
import hashlib
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unrealperson.config import CropConfig, SynthConfig
from unrealperson.crop import crop_folder, write_crops
from unrealperson.data.manifest import Manifest
from unrealperson.data.rle import decode_mask
from unrealperson.data.sources import load_image, read_images
from unrealperson.data.writers import write_as
from unrealperson.schema import LabelledFrame

PEOPLE = {1: (200, 30, 40), 2: (20, 220, 60), 3: (90, 90, 250)}
BENCH = (70, 60, 50)
SYNTH = SynthConfig(people=4, test_people=2)
POINTS = [[100.0 + number, 60.0 + number, number % 3] for number in range(17)]


def frame(camera: int, number: int) -> LabelledFrame:
    """Three people, the third too small for a crop, and a bench."""
    mask = np.zeros((200, 320, 3), np.uint8)
    mask[150:190, 10:60] = BENCH
    for person, (left, width) in {1: (90 + number, 40), 2: (200, 30), 3: (280, 12)}.items():
        mask[40:140, left : left + width] = PEOPLE[person]
    image = np.random.default_rng([camera, number]).integers(0, 256, mask.shape, dtype=np.uint8)
    truth = {"keypoints": POINTS, "unoccluded_pixels": 5000, "full_box": [85.5, 38.0, 140.0, 150.25]}
    return LabelledFrame(
        scene=1,
        version=1,
        camera=camera,
        number=number,
        time_s=float(number),
        light=0,
        image=image,
        mask=mask,
        colors=PEOPLE,
        people={1: truth},
        objects={"Bench_4_Slats": BENCH, "Bench_5_Slats": (1, 2, 3)},
        attributes={1: {"gender": "female"}},
    )


@pytest.fixture
def dataset(tmp_path: Path) -> Manifest:
    rows: list[dict[str, Any]] = []
    for number in (0, 1, 2, 20):
        for camera in (1, 2):
            rows += write_crops(frame(camera, number), tmp_path / "set", CropConfig(), SYNTH)[0]
    manifest = Manifest.from_rows(rows, tmp_path / "set")
    manifest.write()
    return manifest


@pytest.fixture
def with_frames(dataset: Manifest) -> Manifest:
    folder = dataset.root / "frames"
    folder.mkdir()
    for number in (0, 1, 2, 20):
        for camera in (1, 2):
            seen = frame(camera, number)
            stem = f"c{camera:03d}_{number:06d}"
            Image.fromarray(seen.image).save(folder / f"{stem}_lit.png")
            Image.fromarray(seen.mask).save(folder / f"{stem}_mask.png")
            names = ("scene", "version", "camera", "time_s", "light", "colors", "people", "objects", "attributes")
            truth = {name: getattr(seen, name) for name in names} | {"frame": number}
            (folder / f"{stem}_truth.json").write_text(json.dumps(truth))
    return dataset


def contents(folder: Path, pattern: str = "*.jpg") -> list[str]:
    return sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob(pattern))


def test_market(dataset: Manifest, tmp_path: Path) -> None:
    write_as("market", dataset, tmp_path / "out", seed=4)
    again = read_images(tmp_path / "out")
    assert len(again) == len(dataset) == 16 and contents(tmp_path / "out") == sorted(dataset.column("sha256").tolist())
    assert again.identities.tolist() == [1, 2] and again.cameras.tolist() == [1, 2]
    assert set(again.split[again.pid == 1]) == {"train"} and set(again.split[again.pid == 2]) == {"query", "gallery"}
    assert (again.split == "query").sum() == 2
    assert sorted(set(again.frame.tolist())) == [0, 1, 2, 20]
    assert all(re.fullmatch(r"\w+/\d{4}_c\ds1_\d{6}_\d{6}\.jpg", path) for path in again.path)
    numbers = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert numbers == {"pid": {"1": 1_000_001, "2": 1_000_002}, "camid": {"1": 1_001, "2": 1_002}}


def test_market_keeps_junk_and_distractors(tmp_path: Path) -> None:
    for name in ("-1_c4s1_000001_01.jpg", "0000_c4s1_000001_01.jpg", "0009_c5s1_000001_01.jpg"):
        path = tmp_path / "set" / "bounding_box_test" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 8)).save(path)
    write_as("market", read_images(tmp_path / "set"), tmp_path / "out")
    again = read_images(tmp_path / "out")
    assert sorted(again.pid.tolist()) == [-1, 0, 1] and set(again.split) == {"gallery"}


def test_mars(dataset: Manifest, tmp_path: Path) -> None:
    write_as("mars", dataset, tmp_path / "out")
    info = tmp_path / "out" / "info"
    names = (info / "train_name.txt").read_text().split()
    tracks = [
        [int(value) for value in line.split()] for line in (info / "tracks_train_info.txt").read_text().splitlines()
    ]
    assert tracks == [[1, 3, 1, 1], [4, 4, 1, 1], [5, 7, 1, 2], [8, 8, 1, 2]], "frame 20 begins a new tracklet"
    assert names[0] == "0001C1T0001F001.jpg" and names[3] == "0001C1T0002F001.jpg"
    assert all((tmp_path / "out" / "bbox_train" / name[:4] / name).is_file() for name in names)
    assert (info / "query_IDX.txt").read_text().split() == ["1", "3"]
    assert contents(tmp_path / "out") == sorted(dataset.column("sha256").tolist())


def test_gaps_are_filled_where_the_mask_agrees(with_frames: Manifest, tmp_path: Path) -> None:
    lacking = with_frames.select(with_frames.frame != 1)  # everybody is still in the kept frame
    write_as("mars", lacking, tmp_path / "out")
    names = (tmp_path / "out" / "info" / "train_name.txt").read_text().split()
    assert names[:4] == [f"0001C1T000{track}F00{number}.jpg" for track, number in ((1, 1), (1, 2), (1, 3), (2, 1))]
    filled = load_image(tmp_path / "out" / "bbox_train" / "0001" / names[1])
    assert filled.shape == (100, 40, 3)
    expected = io.BytesIO()
    Image.fromarray(frame(1, 1).image[40:140, 91:131]).save(expected, "jpeg", quality=90)
    np.testing.assert_array_equal(filled, np.asarray(Image.open(expected)))
    gone = load_image(with_frames.root / "frames" / "c001_000001_mask.png")
    gone[(gone == PEOPLE[1]).all(axis=2)] = 0
    Image.fromarray(gone).save(with_frames.root / "frames" / "c001_000001_mask.png")
    write_as("mars", lacking, tmp_path / "again")
    names = (tmp_path / "again" / "info" / "train_name.txt").read_text().split()
    assert names[:3] == ["0001C1T0001F001.jpg", "0001C1T0001F002.jpg", "0001C1T0002F001.jpg"]


def test_list_of_the_original(dataset: Manifest, tmp_path: Path) -> None:
    write_as("list", dataset, tmp_path / "out")
    lines = (tmp_path / "out" / "list_unreal_train.txt").read_text().splitlines()
    assert lines[:2] == ["unreal_v1.1/images/0001_c001_000000.jpg 0 0", "unreal_v1.1/images/0001_c002_000000.jpg 0 1"]
    assert len(lines) == 8


def test_webdataset(dataset: Manifest, tmp_path: Path) -> None:
    write_as("webdataset", dataset, tmp_path / "out")
    write_as("webdataset", dataset, tmp_path / "twice")
    assert contents(tmp_path / "out", "*.tar") == contents(tmp_path / "twice", "*.tar")
    with tarfile.open(tmp_path / "out" / "000000.tar") as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert len(files) == 3 * len(dataset)
    for number, row in enumerate(dataset.table.to_pylist()):
        key = f"{number:09d}"
        assert hashlib.sha256(files[f"{key}.jpg"]).hexdigest() == row["sha256"]
        assert Image.open(io.BytesIO(files[f"{key}.jpg"])).size == (row["width"], row["height"])
        assert int(files[f"{key}.cls"]) == row["person"] - 1
        assert json.loads(files[f"{key}.json"])["pid"] == row["pid"]


def test_coco_of_kept_frames(with_frames: Manifest, tmp_path: Path) -> None:
    write_as("coco", with_frames, tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert [category["name"] for category in stored["categories"]] == ["person", "Bench_Slats"]
    assert len(stored["categories"][0]["keypoints"]) == 17 and len(stored["images"]) == 8
    assert len(stored["annotations"]) == 8 * 4, "three people and one bench in each frame"
    for image in stored["images"]:
        pixels = load_image(tmp_path / "out" / "images" / image["file_name"])
        assert pixels.shape == (image["height"], image["width"], 3)
    for annotation in stored["annotations"]:
        mask = decode_mask(annotation["segmentation"]["counts"], *annotation["segmentation"]["size"])
        left, top, width, height = annotation["bbox"]
        assert mask.sum() == annotation["area"] == mask[top : top + height, left : left + width].sum() == width * height
    first = stored["annotations"][0]
    assert (first["bbox"], first["track_id"], first["visibility"]) == ([90, 40, 40, 100], 1_000_001, 0.8)
    assert first["keypoints"] == [value for point in POINTS for value in point] and first["num_keypoints"] == 11


def test_coco_of_crops_alone(dataset: Manifest, tmp_path: Path) -> None:
    write_as("coco", dataset, tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert len(stored["annotations"]) == len(dataset) and not (tmp_path / "out" / "images").exists()
    first = stored["annotations"][0]
    mask = decode_mask(first["segmentation"]["counts"], 200, 320)
    np.testing.assert_array_equal(mask, (frame(1, 0).mask == PEOPLE[1]).all(axis=2))
    assert first["bbox"] == [90, 40, 40, 100]
    points = np.reshape(first["keypoints"], (17, 3))
    np.testing.assert_allclose(points[1], POINTS[1], atol=1e-4)


def test_mot(with_frames: Manifest, tmp_path: Path) -> None:
    write_as("mot", with_frames, tmp_path / "out")
    folder = tmp_path / "out" / "S001-C002"
    lines = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",")
    assert lines.shape == (4 * 3, 9) and sorted(set(lines[:, 0])) == [1, 2, 3, 4]
    assert lines[0].tolist() == [1, 1_000_001, 85.5, 38, 54.5, 112.25, 1, 1, 0.8]
    assert lines[1].tolist() == [1, 1_000_002, 200, 40, 30, 100, 1, 1, 1]
    info = configparser.ConfigParser()
    info.read(folder / "seqinfo.ini")
    assert info["Sequence"]["seqLength"] == "4" and info["Sequence"]["imWidth"] == "320"
    assert len(list((folder / "img1").iterdir())) == 4


def test_other_folders_come_out_alike(with_frames: Manifest, tmp_path: Path) -> None:
    again = crop_folder(with_frames.root / "frames", tmp_path / "again", CropConfig())
    assert again.column("sha256").tolist() == with_frames.column("sha256").tolist()
    assert again.column("mask").tolist() == with_frames.column("mask").tolist()
    assert again.column("attributes").tolist() == with_frames.column("attributes").tolist()


def test_what_can_not_be_written(dataset: Manifest, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(ValueError, match="exists; choose another folder"):
        write_as("market", dataset, tmp_path / "taken")
    with pytest.raises(ValueError, match="has no images to write"):
        write_as("list", dataset.select([]), tmp_path / "out")
    with pytest.raises(ValueError, match="has no training image"):
        write_as("list", dataset.replaced("split", ["test"] * 16), tmp_path / "out")
    with pytest.raises(ValueError, match="has no tracklet: no image tells person, camera and frame number"):
        write_as("mars", dataset.replaced("camid", [-1] * 16), tmp_path / "out")
    with pytest.raises(ValueError, match="does not tell its place in a frame"):
        write_as("coco", dataset.replaced("mask", [None] * 16), tmp_path / "out")
    assert not (tmp_path / "out").exists()
