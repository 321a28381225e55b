"""The whole pipeline through the command line, on as little as shows that every stage is true."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unrealperson.cli import main
from unrealperson.data.manifest import Manifest
from unrealperson.demo import _next_commands

SMALL = """
[synth]
people = 10
test_people = 4
people_per_batch = 10
cameras = 3
instants = 4
lights = 2
[train]
height = 64
width = 32
epochs = 1
cameras_per_batch = 2
[evaluate]
statistics_images = 32
bootstrap = 50
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Path:
    out = tmp_path_factory.mktemp("demo") / "demo"
    assert main(["demo", "--config", str(config), "--out", str(out)]) == 0
    return out


def market_folder(folder: Path, source: Manifest, people: int = 4) -> Path:
    """The first crops of some synthesised people, renamed as in Market-1501."""
    folder.mkdir(parents=True)
    chosen = np.flatnonzero(np.isin(source.pid, np.unique(source.pid)[-people:]))
    for row in chosen:
        pid, camid = source.pid[row] % 1000, source.camid[row] % 1000
        shutil.copy(source.image_path(int(row)), folder / f"{pid + 1:04d}_c{camid}s1_{row:06d}_00.jpg")
    return folder


def test_every_stage_left_its_files(demo: Path) -> None:
    for name in (
        "data/manifest.parquet",
        "before/metrics.json",
        "run/metrics.jsonl",
        "after/ranking.json",
        "model.onnx",
        "gallery/gallery.json",
        "timings.json",
        "versions.json",
        "report.html",
    ):
        assert (demo / name).is_file(), name
    assert not [path for path in demo.rglob("*") if ".partial" in path.name]


def test_metrics_are_of_held_out_people(demo: Path) -> None:
    manifest = Manifest.read(demo / "data")
    for name in ("before", "after"):
        metrics = json.loads((demo / name / "metrics.json").read_text())
        assert metrics["identities"] <= 4
        assert 0 < metrics["map"] <= 1
        assert metrics["data"] == str((demo / "data").absolute())
        assert metrics["model"] == "efficientnet_lite0" + (
            " + CBN, trained" if name == "after" else ", ImageNet weights, untrained"
        )
        low, high = metrics["interval"]["map"]
        assert low <= metrics["map"] <= high
    test_pids = set(manifest.pid[manifest.split == "test"].tolist())
    train_pids = set(manifest.pid[manifest.split == "train"].tolist())
    assert test_pids and train_pids and not test_pids & train_pids


def test_report_is_self_contained(demo: Path) -> None:
    page = (demo / "report.html").read_text(encoding="utf-8")
    assert "data:image/" in page and "<svg" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', page)
    assert len(page) < 8_000_000


def test_second_start_changes_nothing(demo: Path, config: Path) -> None:
    kept = [demo / "data/manifest.parquet", demo / "model.onnx", demo / "after/metrics.json"]
    before = [path.stat().st_mtime_ns for path in kept]
    assert main(["demo", "--config", str(config), "--out", str(demo)]) == 0
    assert [path.stat().st_mtime_ns for path in kept] == before


def test_other_configuration_is_refused(demo: Path, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--config", str(config), "--out", str(demo), "--synth.seed", "9"]) == 2
    assert "was made with another configuration" in capsys.readouterr().err


def test_real_crops_are_scored_indexed_and_searched(demo: Path, config: Path, tmp_path: Path) -> None:
    crops = market_folder(tmp_path / "crops", Manifest.read(demo / "data"))
    assert main(["demo", "--config", str(config), "--out", str(demo), "--real", str(crops)]) == 0
    metrics = json.loads((demo / "real" / "metrics.json").read_text())
    assert metrics["queries"] > 0 and (demo / "real" / "gallery" / "gallery.json").is_file()


def test_verbs_on_own_crops(demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crops = market_folder(tmp_path / "crops", Manifest.read(demo / "data"))
    assert main(["evaluate", "--run", str(demo / "run"), "--data", str(crops)]) == 0
    assert "mAP" in capsys.readouterr().out
    gallery = tmp_path / "gallery"
    assert main(["index", "--model", str(demo / "model.onnx"), "--data", str(crops), "--out", str(gallery)]) == 0
    query = sorted(crops.iterdir())[0]
    assert main(["search", "--gallery", str(gallery), "--search.k", "3", str(query)]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert len(lines) == 3 and query.name in lines[0], "an image of the gallery is nearest to itself"


def loose(folder: Path, source: Path) -> Path:
    folder.mkdir()
    for number, path in enumerate(sorted(source.iterdir())[:12]):
        shutil.copy(path, folder / f"photo {number}.jpg")
    return folder


def test_loose_images_are_searched_and_told_why_not_scored(demo: Path, config: Path, tmp_path: Path) -> None:
    crops = loose(tmp_path / "loose", market_folder(tmp_path / "crops", Manifest.read(demo / "data")))
    assert main(["demo", "--config", str(config), "--out", str(demo), "--real", str(crops)]) == 0
    reason = (demo / "real" / "evaluation.txt").read_text()
    assert "identit" in reason and len(reason.splitlines()) == 1
    assert json.loads((demo / "real" / "ranking.json").read_text())[0]["hits"]


def one_identity(folder: Path) -> None:
    for camera in (1, 2):
        for shot in range(3):
            name = f"0001_c{camera}s1_{shot:06d}_00.jpg"
            Image.new("RGB", (64, 128), (40 * shot, 90, 90)).save(folder / name)


def no_cameras(folder: Path) -> None:
    for person in range(1, 4):
        Image.new("RGB", (64, 128), (60 * person, 90, 90)).save(folder / f"person {person}.jpg")


def broken_image(folder: Path) -> None:
    (folder / "0001_c1s1_000001_00.jpg").write_bytes(b"this is no JPEG")


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (one_identity, "one identity"),
        (no_cameras, "identit"),
        (broken_image, "0001_c1s1_000001_00.jpg"),
        (lambda folder: None, "no images"),
    ],
    ids=["one identity", "loose images", "unreadable image", "empty folder"],
)
def test_bad_input_gets_one_clear_line(
    demo: Path, tmp_path: Path, fill, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "crops"
    folder.mkdir()
    fill(folder)
    assert main(["evaluate", "--run", str(demo / "run"), "--data", str(folder)]) == 2
    error = capsys.readouterr().err
    last = [line for line in error.splitlines() if line.startswith("unrealperson: error: ")]
    assert len(last) == 1 and message in last[0], error
    assert "Traceback" not in error


def test_two_syntheses_are_identical(demo: Path, config: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert main(["synth", "--config", str(config), "--out", str(again), "--synth.workers", "1"]) == 0
    first, second = Manifest.read(demo / "data"), Manifest.read(again)
    assert first.path == second.path
    assert first.column("sha256").tolist() == second.column("sha256").tolist()


def test_next_commands_can_be_copied() -> None:
    lines = _next_commands(Path("my demo"), Path("own crops"), Path("my demo/a.jpg"))
    verbs = ("search", "serve", "evaluate", "index")
    assert [shlex.split(line)[:2] for line in lines] == [["unrealperson", verb] for verb in verbs]
    assert lines[0] == "unrealperson search --gallery 'my demo/gallery' 'my demo/a.jpg'"
    assert _next_commands(Path("d"), None, Path("q"))[2] == "unrealperson demo --out d --real DIR_OF_CROPS"
