"""Galleries from the command line: search by what a file's name tells, adding, removing, thresholds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from encoders import HEIGHT, WIDTH, make_model
from PIL import Image

from unrealperson.cli import main
from unrealperson.gallery import Gallery

PEOPLE = 12


def save_crops(folder: Path, *, first: int, count: int) -> None:
    """Two images of each person, under cameras 1 and 2; the second is seen 300 frames after the first."""
    folder.mkdir(parents=True)
    for pid in range(first, first + count):
        look = np.random.default_rng(pid).integers(0, 256, (HEIGHT, WIDTH, 3))
        for camera in (1, 2):
            noise = np.random.default_rng([pid, camera]).integers(-40, 40, look.shape)
            name = f"{pid:04d}_c{camera}s1_{1000 * pid + 300 * (camera - 1):06d}_00.png"
            Image.fromarray(np.clip(look + noise, 0, 255).astype(np.uint8)).save(folder / name)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    save_crops(folder / "crops" / "monday", first=0, count=PEOPLE)
    make_model(folder / "model.onnx", table=np.zeros((4, 16), np.float32))
    return folder / "crops"


@pytest.fixture
def gallery(crops: Path, tmp_path: Path) -> Path:
    model, out = crops.parent / "model.onnx", tmp_path / "gallery"
    assert main(["index", "--model", str(model), "--data", str(crops), "--out", str(out), "--quiet"]) == 0
    return out


def lines(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()]


def test_a_query_tells_its_camera_and_time_by_its_name(
    gallery: Path, crops: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = crops / "monday" / "0003_c1s1_003000_00.png"
    asked = ["search", "--gallery", str(gallery), str(query), "--search.k", "3"]
    assert main(asked) == 0
    assert "the query is of camera 1, frame 3000" in capsys.readouterr().err
    assert main([*asked, "--search.not-cameras", "1", "--search.joint", "True", "--quiet"]) == 0
    found = lines(capsys)
    assert found[0][2] == "monday/0003_c2s1_003300_00.png"
    assert all("_c2" in line[2] for line in found) and len(found) == 3
    assert main([*asked, "--search.cameras", "1001", "--search.from-s", "5"]) == 0
    told = capsys.readouterr()
    assert not told.out and "the gallery has no image of camera 1001; its cameras: 1, 2" in told.err
    assert "no crop of the gallery passes the filter" in told.err


def test_joint_scores_need_a_time(
    gallery: Path, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    query = tmp_path / "photo.png"
    query.write_bytes((crops / "monday" / "0003_c1s1_003000_00.png").read_bytes())
    asked = ["search", "--gallery", str(gallery), str(query), "--search.joint", "True"]
    assert main(asked) == 2
    assert "joint scores need the query's camera and frame number" in capsys.readouterr().err
    assert main([*asked, "--camera", "1", "--frame", "3000", "--search.k", "1"]) == 0
    assert lines(capsys)[0][2] == "monday/0003_c1s1_003000_00.png"


def test_times_between_cameras_are_learnt_from_looks_where_nobody_is_named(gallery: Path) -> None:
    opened = Gallery.open(gallery)
    named = opened.sighting(1, 0, bin_frames=100, sigma=0)
    assert named.cameras == (1, 2) and named.model.probability[1, 0].argmax() == 3
    column = opened.table.schema.get_field_index("pid")
    opened.table = opened.table.set_column(column, "pid", [[-1] * len(opened)])
    alike = opened.sighting(2, 9, bin_frames=100, sigma=1)
    assert (alike.camid, alike.frame) == (2, 9) and alike.model.probability.shape[:2] == (2, 2)


def test_adding_removing_and_the_threshold(gallery: Path, crops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = crops / "tuesday"
    if not folder.exists():
        save_crops(folder, first=PEOPLE, count=2)
    added = ["gallery", "add", "--gallery", str(gallery), "--data", str(folder)]
    assert main(added) == 0
    assert "4 of 4 crops added; it holds 28" in capsys.readouterr().err
    assert main(added) == 0 and "0 of 4 crops added" in capsys.readouterr().err

    threshold = ["gallery", "threshold", "--gallery", str(gallery), "--quiet"]
    assert main([*threshold, "--search.false-accept-rate", "0.03"]) == 0
    assert "3 % of 364 pairs of different people pass, " in capsys.readouterr().out
    assert main([*threshold, "--search.false-accept-rate", "0.1", "--pairs", str(crops / "monday")]) == 0
    assert "10 % of 264 pairs" in capsys.readouterr().out
    assert main(threshold) == 2 and "are too few for a false accept rate of 0.01" in capsys.readouterr().err
    query = folder / "0012_c1s1_012000_00.png"
    assert main(["search", "--gallery", str(gallery), str(query), "--search.k", "28", "--quiet"]) == 0
    verdicts = [line[3] for line in lines(capsys)]
    assert verdicts[0] == "same person" and verdicts[-1] == "another person"

    removed = ["gallery", "remove", "--gallery", str(gallery), str(query), "tuesday/0013_c1s1_013000_00.png"]
    assert main(removed) == 0 and "2 crops removed; it holds 26" in capsys.readouterr().err
    assert main(removed) == 2 and "holds none of these crops" in capsys.readouterr().err
    assert main(["gallery", "save", "--gallery", str(gallery)]) == 0
    assert main(["gallery", "check", "--gallery", str(gallery)]) == 0
    assert "is whole: 26 crops" in capsys.readouterr().out
