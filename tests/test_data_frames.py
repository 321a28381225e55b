"""Frames of the original's toolkit from disk, and pickles that must not be believed."""

from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from unrealperson.config import CropConfig
from unrealperson.crop import crop_folder
from unrealperson.data.frames import list_frames, read_colors, read_frame

BOXES = {3: (40, 20, 90, 100), 12: (110, 15, 150, 105)}
COLORS = {3: (200, 30, 40), 12: (20, 220, 60)}


def original_color(red: int, green: int, blue: int) -> object:
    """An instance of a class Color in a module that is gone when the pickle is read, as the toolkit's."""
    module = sys.modules.get("synthesis_script") or ModuleType("synthesis_script")
    if not hasattr(module, "Color"):
        module.Color = type("Color", (), {"__module__": "synthesis_script"})  # type: ignore[attr-defined]
    sys.modules["synthesis_script"] = module
    color = module.Color()
    color.color_str = f"(R={red},G={green},B={blue},A=255)"
    color.R, color.G, color.B, color.A = red, green, blue, 255
    return color


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """Two frames of one camera as the toolkit leaves them: RGBA images, the mask off by up to 3."""
    folder = tmp_path / "unreal_v4.2" / "tmp1592218940"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in (2, 10):
        mask = np.zeros((120, 160, 4), np.uint8)
        mask[..., 3] = 255
        for person, (left, top, right, bottom) in BOXES.items():
            shape = (bottom - top, right - left, 3)
            mask[top:bottom, left:right, :3] = np.array(COLORS[person]) + rng.integers(-3, 4, shape)
        Image.fromarray(mask).save(folder / f"c001_{number}_mask.png")
        Image.fromarray(rng.integers(0, 256, (120, 160, 4), dtype=np.uint8)).save(folder / f"c001_{number}_lit.png")
    stored = {f"MHMainClass_C_{person}": original_color(*color) for person, color in COLORS.items()}
    (folder / "object_color.pkl").write_bytes(pickle.dumps(stored))
    del sys.modules["synthesis_script"]
    return folder


def test_frames_of_the_original(original: Path, tmp_path: Path) -> None:
    assert [path.name for path in list_frames(original)] == ["c001_2_lit.png", "c001_10_lit.png"]
    frame = read_frame(original / "c001_10_lit.png")
    assert (frame.scene, frame.version, frame.camera, frame.number) == (4, 2, 1, 10)
    assert frame.colors == COLORS and frame.people == {}
    manifest = crop_folder(original, tmp_path / "out", CropConfig(rules="compat", enlarge=0.0))
    assert manifest.path == tuple(
        f"unreal_v4.2/images/{person:04d}_c001_{number:06d}.jpg" for number in (2, 10) for person in (3, 12)
    )
    rows = manifest.table.to_pylist()
    assert [row["pid"] for row in rows] == [2_000_003, 2_000_012] * 2
    for row in rows:
        left, top, right, bottom = BOXES[row["person"]]
        assert row["tight_box"] == [left, top, right, bottom]
        assert [row["left"], row["top"], row["right"], row["bottom"]] == [left, top, right - 1, bottom - 1]
        assert row["pixels"] == (right - left) * (bottom - top)
        assert [row[name] for name in ("visibility", "light", "time_s", "recipe", "attributes")] == [None] * 5


def test_colors_as_json_come_first(original: Path) -> None:
    (original / "object_color.json").write_text(json.dumps({"MHMainClass_C_7": "(R=1,G=2,B=3,A=255)"}))
    assert read_frame(original / "c001_2_lit.png").colors == {7: (1, 2, 3)}
    (original / "object_color.json").write_text(json.dumps({"MHMasterAI_C_9": [4, 5, 6]}))
    assert read_frame(original / "c001_2_lit.png").colors == {9: (4, 5, 6)}


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch hostile",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps({"MH_1": Hostile()}), r"system, which is refused"),
        (pickle.dumps({"MH_1": Path("x")}), "which is refused"),
        (pickle.dumps({"MH_1": [1, 2, 300]}), "0 ... 255"),
        (pickle.dumps({"MH": [1, 2, 3]}), "invalid literal"),
        (pickle.dumps([1, 2]), "holds no colours"),
        (b"not a pickle", "holds no colours"),
        (b"", "holds no colours"),
    ],
)
def test_hostile_and_damaged_pickles(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "object_color.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_colors(path)
    assert not Path("hostile").exists()


def test_frames_that_lack_something(original: Path) -> None:
    (original / "left_lit.png").write_bytes((original / "c001_2_lit.png").read_bytes())
    with pytest.raises(ValueError, match=r"must be named c001_17_lit.png"):
        read_frame(original / "left_lit.png")
    (original / "c001_2_mask.png").unlink()
    with pytest.raises(ValueError, match=r"c001_2_mask.png"):
        read_frame(original / "c001_2_lit.png")
    (original / "object_color.pkl").unlink()
    with pytest.raises(ValueError, match=r"c001_10_truth.json is missing"):
        read_frame(original / "c001_10_lit.png")
