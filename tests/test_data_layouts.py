"""Every set of the table of layouts, read from small trees."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unrealperson.data.sources import read_images


def save(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((9, 6, 3), np.uint8)).save(path)


@pytest.mark.parametrize(
    ("name", "pid", "camid", "frame", "split"),
    [
        ("Market/bounding_box_test/-1_c4s1_000001_01.jpg", -1, 4, 1, "gallery"),
        ("Market/bounding_box_test/0000_c4s1_000001_01.jpg", 0, 4, 1, "gallery"),
        ("DukeMTMC-reID/query/0005_c2_f0046985.jpg", 5, 2, 46985, "query"),
        ("PersonX_v1/3/bounding_box_train/0021_c3s1_000036_01.jpg", 21, 3, 36, "train"),
        ("PersonX_v1/3/query/0021_c3_36.jpg", 21, 3, 36, "query"),
        ("MSMT17_V1/train/0007/0007_003_12_0303morning_0015_1.jpg", 7, 12, 90_015, ""),
        ("MSMT17_V1/test/0007/0007_003_12_0113noon_0015_0_ex.jpg", 10_007, 12, 10_015, ""),
        ("MSMT17_V2/mask_test_v2/0000/0000_000_01_0302afternoon_0008_0.jpg", 10_000, 1, 80_008, ""),
        ("CUHK03-NP/labeled/bounding_box_train/0003_c1_7.png", 3, 1, 7, "train"),
        ("personx/1/bounding_box_test/0021_c3.jpg", 21, 3, -1, "gallery"),
        ("InfinitePerson/train/3107_c0039_1.jpg", 3107, 39, 1, "train"),
        ("MARS/bbox_train/0001/0001C1T0001F012.jpg", 1, 1, 10_012, "train"),
        ("MARS/bbox_test/0000/0000C6T0101F001.jpg", 0, 6, 1_010_001, "test"),
        ("MARS/bbox_test/00-1/00-1C2T0003F001.jpg", -1, 2, 30_001, "test"),
        ("cuhk03/images_labeled/2_017_1_03.png", 20_017, 3, -1, ""),
        ("cuhk03/images_detected/5_017_2_10.png", 50_017, 10, -1, ""),
        ("CUHK01/campus/0971002.png", 971, 1, -1, ""),
        ("CUHK01/campus/0971003.png", 971, 2, -1, ""),
        ("VIPeR/cam_a/873_0.bmp", 873, 1, -1, ""),
        ("VIPeR/cam_b/873_180.bmp", 873, 2, -1, ""),
        ("underground_reid/probe/0004_1_25023_116_69_80_236.jpeg", 4, 1, 25023, "query"),
        ("underground_reid/gallery/0000_3_25187_104_26_80_218.jpeg", 0, 3, 25187, "gallery"),
        ("randperson/000012_s03_c01_f000264.jpg", 12, 3_001, 264, ""),
        ("randperson_subset/000012_c01_s03_f000264.jpg", 12, 3_001, 264, ""),
        ("ClonedPerson/test/query/3107_s02_c04_f000006.jpg", 3107, 2_004, 6, "query"),
        ("ClonedPerson/train/id6_s2_c2_f6.jpg", 6, 2_002, 6, "train"),
        ("syri/0042_5_images.jpg", 42, 2, -1, ""),
        ("SOMAset/0049/cloth_3/00007.jpg", 49, -1, -1, ""),
        ("unreal_v3.2/images/12_c034_7.jpg", 2_000_012, 3_034, 7, ""),
    ],
)
def test_layouts(tmp_path: Path, name: str, pid: int, camid: int, frame: int, split: str) -> None:
    save(tmp_path / name)
    manifest = read_images(tmp_path / name.split("/")[0])
    found = (manifest.pid[0], manifest.camid[0], manifest.frame[0], manifest.split[0])
    assert found == (pid, camid, frame, split)


@pytest.mark.parametrize(
    ("name", "pid", "camid"),
    [
        ("7/2/a.jpg", 7, 2),
        ("person_0007/cam_2/any name.png", 7, 2),
        ("id7/c02/0001.jpg", 7, 2),
        ("cam_2/any name.png", -1, 2),
        ("Camera-12/monday/a/0007.jpg", -1, 12),
        ("2/a.jpg", -1, -1),
        ("cam_2.jpg", -1, -1),
        ("7/2/3/a.jpg", -1, -1),
        ("holiday/2019/a.jpg", -1, -1),
    ],
)
def test_folders_of_identities_and_cameras(tmp_path: Path, name: str, pid: int, camid: int) -> None:
    save(tmp_path / "mine" / name)
    manifest = read_images(tmp_path / "mine")
    assert (manifest.pid[0], manifest.camid[0]) == (pid, camid)


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("frame_000123_1.jpg", 123),
        ("entrance_f00456.png", 456),
        ("f7.jpg", 7),
        ("leaf12.jpg", -1),
        ("shot00012.jpg", -1),
    ],
)
def test_frames_in_folders_of_cameras(tmp_path: Path, name: str, frame: int) -> None:
    save(tmp_path / "mine/cam_2" / name)
    manifest = read_images(tmp_path / "mine")
    assert (manifest.pid[0], manifest.camid[0], manifest.frame[0]) == (-1, 2, frame)


def test_lists_of_msmt17(tmp_path: Path) -> None:
    root = tmp_path / "MSMT17_V1"
    lists = {"train": "train", "val": "train", "query": "test", "gallery": "test"}
    for number, (name, folder) in enumerate(lists.items()):
        below = f"000{number}/000{number}_000_01_0303morning_0015_{number}.jpg"
        save(root / folder / below)
        (root / f"list_{name}.txt").write_text(f"{below} {number}\n\n")
    save(root / "test/0009/0009_000_01_0303morning_0015_0.jpg")  # in no list
    manifest = read_images(root)
    assert sorted(zip(manifest.pid.tolist(), manifest.split.tolist(), strict=True)) == [
        (0, "train"), (1, "train"), (10_002, "query"), (10_003, "gallery"),
    ]  # fmt: skip
    (root / "list_query.txt").write_text("0009/gone.jpg 9\n")
    with pytest.raises(ValueError, match=r"list_query.txt lists 0009/gone.jpg, which is in none of test, mask_test_v2"):
        read_images(root)


def test_lists_one_folder_below(tmp_path: Path) -> None:
    for name in ("query", "gallery"):
        path = f"0001/0001_000_0{len(name) - 4}_0114morning_0015_0.jpg"
        save(tmp_path / "MSMT17_V2/mask_test_v2" / path)
        (tmp_path / "MSMT17_V2" / f"list_{name}.txt").write_text(f"{path} 1\n")
    manifest = read_images(tmp_path)
    assert sorted(manifest.split.tolist()) == ["gallery", "query"]
    assert set(manifest.frame.tolist()) == {30_015} and manifest.path[0].startswith("MSMT17_V2/mask_test_v2/0001/")


def test_cuhk03_is_read_once(tmp_path: Path) -> None:
    for folder in ("images_labeled", "images_detected"):
        save(tmp_path / "cuhk03" / folder / "1_001_1_01.png")
    with pytest.raises(ValueError, match="holds the same pictures twice, in images_labeled and images_detected"):
        read_images(tmp_path / "cuhk03")
    assert read_images(tmp_path / "cuhk03" / "images_detected").pid.tolist() == [10_001]
    (tmp_path / "raw" / "cuhk03_release").mkdir(parents=True)
    (tmp_path / "raw" / "cuhk03_release" / "cuhk-03.mat").touch()
    with pytest.raises(ValueError, match=r"only CUHK03's cuhk-03.mat, which is not read: give the images"):
        read_images(tmp_path / "raw")


def test_lists_of_black_reid(tmp_path: Path) -> None:
    for name, path in (
        ("train", "img/0003_c2s1_000005_01.jpg"),
        ("query", "img/b_0007_c1_f0001.jpg"),
        ("gallery", "img/0007_c2_f0002.jpg"),
    ):
        save(tmp_path / path)
        (tmp_path / f"{name}.txt").write_text(f"{path}\n")
    save(tmp_path / "img/0009_c2_f0002.jpg")
    manifest = read_images(tmp_path)
    assert dict(zip(manifest.split.tolist(), manifest.pid.tolist(), strict=True)) == {
        "train": 3,
        "query": 7,
        "gallery": 7,
    }


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('path,pid,camid,visibility,keypoints\na.jpg,7,,0.5,\nb.jpg,8,2,,"[1.5]"\n')
    with pytest.raises(ValueError, match="manifest column keypoints"):
        read_images(path)
    path.write_text("path,pid,camid,visibility,split\na.jpg,7,,0.5,query\nb.jpg,8,2,,\n")
    manifest = read_images(path)
    assert manifest.root == tmp_path and manifest.path == ("a.jpg", "b.jpg")
    assert manifest.pid.tolist() == [7, 8] and manifest.camid.tolist() == [-1, 2]
    assert manifest.split.tolist() == ["query", ""]
    path.write_text("path,pid\na.jpg,seven\n")
    with pytest.raises(ValueError, match=r"mine.csv, line 2: pid must be int64, got 'seven'"):
        read_images(path)
    path.write_text("file,pid\na.jpg,7\n")
    with pytest.raises(ValueError, match="must have a header with the column path"):
        read_images(path)


def test_unknown_cameras_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "soma/01/red/a.jpg")
    with caplog.at_level(logging.WARNING, "unrealperson"):
        read_images(tmp_path / "soma")
    assert "names tell no camera" in caplog.text
