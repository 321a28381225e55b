"""The data verbs from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from unrealperson.cli import main
from unrealperson.data.manifest import Manifest


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    folder = tmp_path / "crops"
    folder.mkdir()
    for person in range(1, 5):
        for camera in (1, 2):
            for frame in range(3):
                image = Image.new("RGB", (8, 16), (50 * person, 90 * camera, 70 * frame))
                image.save(folder / f"{person:04d}_c{camera}s1_{frame:06d}_00.jpg")
    return folder


def test_check(crops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--data", str(crops)]) == 0
    told = capsys.readouterr().out
    assert "identities               4" in told and "duplicates               0" in told
    (crops / "copy.jpg").write_bytes((crops / "0001_c1s1_000000_00.jpg").read_bytes())
    broken = crops / "0002_c1s1_000000_00.jpg"
    broken.write_bytes(broken.read_bytes()[:-40])
    assert main(["data", "check", "--data", str(crops)]) == 1
    told = capsys.readouterr().out
    assert "damaged                  1: 0002_c1s1_000000_00.jpg" in told
    assert "0001_c1s1_000000_00.jpg = copy.jpg" in told


def test_subset_merge_export(crops: Path, tmp_path: Path) -> None:
    part, both, market = (tmp_path / name for name in ("part", "both", "market"))
    draw = ["--identities", "2", "--per-identity", "4", "--where", "frame<2", "--seed", "3"]
    assert main(["data", "subset", "--data", str(crops), "--out", str(part), "--test", "1", *draw]) == 0
    manifest = Manifest.read(part)
    assert len(manifest) == 8 and set(manifest.split) == {"train", "test"}
    assert main(["data", "merge", "--data", str(part), str(crops), "--out", str(both)]) == 0
    assert len(Manifest.read(both)) == 32 and len(Manifest.read(both).identities) == 6
    assert main(["data", "export", "--data", str(part), "--out", str(market), "--format", "market"]) == 0
    assert {path.name for path in market.iterdir()} == {
        "bounding_box_train", "bounding_box_test", "query", "numbers.json",
    }  # fmt: skip
    assert main(["data", "subset", "--data", str(crops), "--out", str(tmp_path / "drawn"), "--queries"]) == 0
    assert (Manifest.read(tmp_path / "drawn").split == "query").sum() == 8


@pytest.mark.parametrize(("arguments", "status"), [(["data"], 2), (["data", "--help"], 0)])
def test_the_family_is_listed(arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == status
    told = capsys.readouterr().out
    assert all(f"data {verb} " in told for verb in ("check", "subset", "merge", "export")) and "train" not in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["data", "chek"], "there is no verb 'data chek'; did you mean 'data check'?"),
        (["data", "subset", "--data", "CROPS", "--out", "x", "--test", "1", "--queries"], "give one of them"),
        (["data", "subset", "--data", "CROPS", "--out", "CROPS"], "exists; choose another folder"),
        (["data", "merge", "--data", "nowhere", "--out", "x"], "there is no folder nowhere"),
        (["regenerate", "CROPS/0001_c1s1_000000_00.jpg"], "there is no manifest.parquet in any folder above"),
    ],
)
def test_errors(crops: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument.replace("CROPS", str(crops)) for argument in arguments]) == 2
    assert message in capsys.readouterr().err
