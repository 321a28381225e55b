from __future__ import annotations

import json
import logging
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_people_patches import SHIRT, TROUSERS, outline, photograph

from unrealperson.config import SynthConfig
from unrealperson.files import cache_folder
from unrealperson.synth.capture import launch_simulator
from unrealperson.synth.people import annotations, photographs
from unrealperson.synth.people.body import load_template
from unrealperson.synth.people.cloth import name_color
from unrealperson.synth.people.person import make_person, person_maker

RED, BLUE, FLOOR = (190, 40, 50), (40, 60, 150), (170, 160, 140)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    load_template()
    folder = tmp_path_factory.mktemp("cache")
    for path in cache_folder().glob("people-*.npz"):
        (folder / path.name).symlink_to(path.resolve())
    monkeypatch.setenv("UNREALPERSON_CACHE", str(folder))
    photographs.open_pictures.cache_clear()
    return folder


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))
    return path


def worn() -> tuple[np.ndarray, np.ndarray]:
    """A photograph with a red top above blue trousers before clutter, and its labels: 1 top, 2 trousers, 3 skin."""
    labels = np.zeros((240, 160), np.uint8)
    labels[40:110, 40:120], labels[112:220, 50:110], labels[10:40, 60:100] = 1, 2, 3
    clutter = np.random.default_rng(0).integers(0, 256, (24, 16, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    image = np.select([labels[..., None] == k for k in (1, 2, 3)], [RED, BLUE, (210, 170, 150)], clutter)
    return image.astype(np.uint8), labels


def clothing_co_parsing(folder: Path) -> dict[str, tuple[int, int, int]]:
    from scipy.io import savemat

    image, labels = worn()
    names = np.array(["null", "t-shirt", "jeans", "skin"], object)
    (folder / "annotations" / "pixel-level").mkdir(parents=True)
    savemat(folder / "label_list.mat", {"label_list": names})
    save(folder / "photos" / "0001.jpg", image)
    save(folder / "photos" / "0002.jpg", image)
    savemat(folder / "annotations" / "pixel-level" / "0001.mat", {"groundtruth": labels}, do_compression=True)
    return {"top": RED, "trousers": BLUE}


def deepfashion_multimodal(folder: Path) -> dict[str, tuple[int, int, int]]:
    image, labels = worn()
    save(folder / "images" / "WOMEN-01_1_front.jpg", image)
    save(folder / "segm" / "WOMEN-01_1_front_segm.png", np.array([0, 2, 3, 15], np.uint8)[labels])
    return {"outer": RED, "skirt": BLUE}


def deepfashion2(folder: Path) -> dict[str, tuple[int, int, int]]:
    image, _ = worn()
    save(folder / "train" / "image" / "000001.jpg", image)
    document = {
        "source": "shop",
        "pair_id": 1,
        "item1": {"category_id": 2, "segmentation": [[40, 40, 120, 40, 120, 110, 40, 110]]},
        "item2": {"category_id": 8, "segmentation": [[50, 112, 110, 112, 110, 220, 50, 220], [1, 1]]},
    }
    (folder / "train" / "annos").mkdir(parents=True)
    (folder / "train" / "annos" / "000001.json").write_text(json.dumps(document))
    return {"top": RED, "trousers": BLUE}


def deepfashion_boxes(folder: Path) -> dict[str, tuple[int, int, int]]:
    wide = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8).repeat(10, 0).repeat(10, 1)
    wide[30:270, 120:320] = photograph(outline(TROUSERS), BLUE, FLOOR)
    save(folder / "Img" / "img" / "Jeans" / "img_00000001.jpg", wide)
    save(folder / "Img" / "img" / "Jeans" / "img_00000002.jpg", wide)
    (folder / "Anno").mkdir()
    rows = "2\nimage_name clothes_type source_type x_1 y_1 x_2 y_2\nimg/Jeans/img_00000001.jpg 2 1 135 45 305 255\n"
    (folder / "Anno" / "list_bbox_consumer2shop.txt").write_text(rows + "img/absent.jpg 1 1 0 0 9 9\n")
    return {"trousers": BLUE}


def labelled(folder: Path) -> dict[str, tuple[int, int, int]]:
    save(folder / "images" / "a.jpg", photograph(outline(SHIRT), RED, FLOOR))
    save(folder / "images" / "b.png", photograph(outline(TROUSERS), BLUE, FLOOR))
    save(folder / "images" / "c.png", photograph(outline(SHIRT), (20, 160, 60), FLOOR))
    (folder / "labels.csv").write_text("image,label\na.jpg,T-Shirt\nb.png,Pants\nc.png,Hat\n")
    return {"top": RED, "trousers": BLUE}


def unlabelled(folder: Path) -> dict[str, tuple[int, int, int]]:
    save(folder / "deep" / "er" / "a.jpg", photograph(outline(SHIRT), RED, FLOOR))
    return {"any": RED}


LAYOUTS = (clothing_co_parsing, deepfashion_multimodal, deepfashion2, deepfashion_boxes, labelled, unlabelled)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_patches_of_every_layout_are_pure_cloth_of_the_right_garments(tmp_path: Path, layout):
    expected = layout(tmp_path)
    opened = photographs.open_pictures(tmp_path, "real")
    assert isinstance(opened, photographs.GarmentPatches) and len(opened) == len(expected)
    for row in range(len(opened)):
        color = expected[annotations.WEARS[opened._patches.wear[row]]]
        picture = opened.picture(row)
        assert np.abs(picture.pixels.reshape(-1, 3).astype(int) - color).max() < 70
        assert min(picture.pixels.shape[:2]) >= 8 and 0.0029 < picture.pixel_m < 0.03 and 0 < picture.drop_m < 1
        assert np.abs(opened._patches.color[row].astype(int) - color).max() < 25
    again = photographs._cut_all(tmp_path, annotations.find_photographs(tmp_path, photographs.find_pictures(tmp_path)))
    assert np.array_equal(again.jpeg, opened._patches.jpeg)


@pytest.mark.parametrize(
    ("layout", "name", "content"),
    [
        (clothing_co_parsing, "annotations/pixel-level/0001.mat", b"MATLAB 5.0 MAT-file" + bytes(200)),
        (clothing_co_parsing, "label_list.mat", b""),
        (deepfashion_multimodal, "segm/WOMEN-01_1_front_segm.png", b"no picture"),
        (deepfashion2, "train/annos/000001.json", b'{"item1": {"category_id": 99, "segmentation": [[1, 2, 3]]}}'),
        (deepfashion2, "train/annos/000001.json", b'{"item1": 5}'),
        (deepfashion_boxes, "Anno/list_bbox_consumer2shop.txt", b"1\nx\nimg/Jeans/img_00000001.jpg a b c d\n"),
        (labelled, "labels.csv", b"name,kind\na.jpg,Top\n"),
        (unlabelled, "deep/er/a.jpg", b"\xff\xd8\xff\xe0 broken"),
    ],
)
def test_damaged_annotations_and_photographs_are_named(tmp_path: Path, layout, name: str, content: bytes, caplog):
    layout(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"synth\.pictures|the last four|the columns image and label"):
        photographs.open_pictures(tmp_path, "real")


def _huge_png() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 9000, 9000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_broken_pictures_are_left_out_with_one_warning_each(tmp_path: Path, caplog, monkeypatch):
    good = save(tmp_path / "b" / "good.png", worn()[0])
    for name, content in {
        "text.jpg": b"hello",
        "cut.png": good.read_bytes()[:300],
        "huge.png": _huge_png(),
        "empty.webp": b"",
        "large.bmp": bytes(40_000),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            photographs.read_picture(tmp_path / name)
    monkeypatch.setattr(photographs, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match=r"good\.png: larger than"):
        photographs.read_picture(good)
    monkeypatch.undo()
    (tmp_path / ".hidden.jpg").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.jpg").mkdir()
    opened = photographs.open_pictures(tmp_path, "random")
    with caplog.at_level(logging.WARNING, "unrealperson"):
        for seed in range(12):
            picture = opened.choose(np.random.default_rng(seed), "top", np.zeros(3))
            assert picture is not None and min(picture.pixels.shape[:2]) > 40
    warned = [record.getMessage() for record in caplog.records]
    assert 1 <= len(warned) == len(set(warned)) <= 5
    good.unlink()
    with pytest.raises(ValueError, match=r"none of the 6 pictures that synth\.pictures names can be read"):
        opened.choose(np.random.default_rng(0), "top", np.zeros(3))


def test_a_folder_must_hold_pictures(tmp_path: Path):
    for folder, message in ((tmp_path, "holds no pictures"), (tmp_path / "absent", "must be a folder of pictures")):
        with pytest.raises(ValueError, match=message):
            photographs.open_pictures(folder, "random")
    save(tmp_path / "plain.png", np.full((90, 60, 3), 99, np.uint8))
    with pytest.raises(ValueError, match="no patch of cloth could be cut from the 1 photographs"):
        photographs.open_pictures(tmp_path, "real")
    with pytest.raises(ValueError, match="must be random or real to take pictures, got 'generated'"):
        photographs.open_pictures(tmp_path, "generated")


def test_patches_are_cut_once_for_each_content_of_a_folder(tmp_path: Path, own_cache: Path, monkeypatch, caplog):
    labelled(tmp_path)
    first = photographs.open_pictures(tmp_path, "real")
    stored = list(own_cache.glob("cloth-*"))
    assert [path.suffix for path in stored] == [".npz"]
    photographs.open_pictures.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(photographs, "_cut_all", lambda *_: pytest.fail("cut again"))
        second = photographs.open_pictures(tmp_path, "real")
    assert np.array_equal(first._patches.jpeg, second._patches.jpeg)
    stored[0].write_bytes(b"damaged")
    photographs.open_pictures.cache_clear()
    with caplog.at_level(logging.WARNING, "unrealperson"):
        assert len(photographs.open_pictures(tmp_path, "real")) == 2
    assert "is damaged" in caplog.text
    save(tmp_path / "images" / "a2.jpg", photograph(outline(SHIRT), (20, 150, 60), FLOOR))
    (tmp_path / "labels.csv").write_text("image,label\na.jpg,T-Shirt\nb.png,Pants\na2.jpg,Polo\nc.png,Hat\n")
    photographs.open_pictures.cache_clear()
    assert len(photographs.open_pictures(tmp_path, "real")) == 3
    assert len(list(own_cache.glob("cloth-*"))) == 2


def test_two_processes_at_once_make_the_same_person(tmp_path: Path, own_cache: Path):
    labelled(tmp_path)
    code = """
import sys, hashlib
from pathlib import Path
from unrealperson.synth.people.person import make_person
person = make_person(1, 1, 2, textures="real", pictures=Path(sys.argv[1]))
sys.stdout.write(hashlib.sha256(person.texture.tobytes()).hexdigest())
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) for _ in range(2)]
    found = [process.communicate(timeout=120)[0] for process in running]
    assert found[0] == found[1] != "" and not list(own_cache.glob("*.partial"))


def test_pictures_change_the_clothes_alone(tmp_path: Path):
    labelled(tmp_path)
    painted = make_person(1, 1, 2)
    dressed = make_person(1, 1, 2, textures="real", pictures=tmp_path)
    again = make_person(1, 1, 2, textures="real", pictures=tmp_path)
    assert np.array_equal(dressed.texture, again.texture) and dressed.attributes == again.attributes
    assert np.array_equal(dressed.positions, painted.positions) and np.array_equal(dressed.uv, painted.uv)
    changed = (dressed.texture != painted.texture).any(2)
    assert 0.1 < changed.mean() < 0.7
    assert dressed.attributes["top_pattern"] == dressed.attributes["bottom_pattern"] == "picture"
    assert dressed.attributes["top_color"] in ("red", "burgundy") and dressed.attributes["bottom_color"] == "blue"
    assert dressed.attributes["shoes_pattern"] == painted.attributes["shoes_pattern"]
    none = make_person(1, 1, 2, textures="real", pictures=tmp_path, picture_share=0.0)
    assert np.array_equal(none.texture, painted.texture) and none.attributes == painted.attributes
    other = make_person(1, 1, 2, textures="random", pictures=tmp_path)
    assert (other.texture != dressed.texture).any() and other.attributes["top_pattern"] == "picture"


@pytest.mark.parametrize("textures", ["random", "real"])
def test_black_clothes_stay_black(tmp_path: Path, textures):
    labelled(tmp_path)
    black = make_person(1, 1, 2, textures=textures, pictures=tmp_path, colors="black")
    assert black.attributes["top_pattern"] == "picture"
    assert {black.attributes["top_color"], black.attributes["bottom_color"]} <= {"black", "charcoal", "black denim"}
    size = len(black.texture)
    trunk = black.texture[int(0.2 * size) : int(0.4 * size), int(0.02 * size) : int(0.3 * size)].astype(float)
    assert trunk.mean() < 50 and np.ptp(trunk.mean((0, 1))) < 8


def test_colours_have_names():
    assert [name_color(np.array(rgb) / 255) for rgb in ((20, 20, 22), (250, 250, 250), (25, 30, 60))] == [
        "black", "white", "navy",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("word", "wear"),
    [("T-Shirt", "top"), ("Pants", "trousers"), ("", "any"), ("long sleeve top", "top"), ("Outwear", "outer"),
     ("skin", None), ("Hat", None), ("Blazer", "outer"), ("Skirt", "skirt")],
)  # fmt: skip
def test_labels_tell_which_garment_a_patch_suits(word: str, wear: str | None):
    found = annotations.describe_word(word)
    assert (found[0] if found else None) == wear


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"textures": "real"}, r"synth\.textures = real needs synth\.pictures"),
        ({"picture_share": 1.5}, r"synth\.picture_share must lie in 0 \.\.\. 1, got 1\.5"),
    ],
)
def test_the_configuration_names_what_is_missing(values, message: str):
    with pytest.raises(ValueError, match=message):
        SynthConfig(**values)


def test_the_configuration_reaches_people_and_simulators(tmp_path: Path):
    labelled(tmp_path)
    config = SynthConfig(textures="real", pictures=str(tmp_path), picture_share=1.0)
    direct = make_person(1, 1, 2, textures="real", pictures=tmp_path)
    assert np.array_equal(person_maker(config)(1, 1, 2).texture, direct.texture)
    absent = SynthConfig(textures="random", pictures=str(tmp_path / "absent"))
    with pytest.raises(ValueError, match=r"synth\.pictures must be a folder"):
        person_maker(absent)
    with pytest.raises(ValueError, match=r"synth\.pictures must be a folder"), launch_simulator(absent):
        pass


def test_a_person_needs_a_folder_for_pictures(tmp_path: Path):
    with pytest.raises(ValueError, match="textures 'random' need a folder of pictures"):
        make_person(0, 1, 0, textures="random")
    with pytest.raises(ValueError, match="textures must be one of generated, random, real, got 'woven'"):
        make_person(0, 1, 0, textures="woven")  # type: ignore[arg-type]
