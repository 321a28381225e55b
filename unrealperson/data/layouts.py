"""How person data sets name their files: one table of patterns.

The layouts are those that each set's page or its authors' loader describes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from unrealperson.schema import camera_key, person_key


def _plain(found: dict[str, str]) -> dict[str, Any]:
    return {name: int(text) for name, text in found.items() if text is not None}


def _unreal(found: dict[str, str]) -> dict[str, Any]:
    value = _plain(found)
    value["pid"] = person_key(value["version"], value["person"])
    value["camid"] = camera_key(value["scene"], value["camera"])
    return value


def _in_scenes(found: dict[str, str]) -> dict[str, Any]:
    # Cameras of each scene count from the same number.
    value = _plain(found)
    return {"pid": value["pid"], "camid": camera_key(value["scene"], value["camera"]), **_frame(value)}


def _frame(value: Mapping[str, Any]) -> dict[str, Any]:
    return {"frame": value["frame"]} if "frame" in value else {}


_DAYS = ("0113", "0114", "0302", "0303")
_HOURS = ("morning", "noon", "afternoon")
_MSMT_TEST = _MSMT_SLOT = 10_000


def _msmt17(found: dict[str, str]) -> dict[str, Any]:
    # Training and test identities both count from 0; frames count from 0 in each of twelve time slots.
    pid = int(found["pid"]) + (_MSMT_TEST if "test" in found["part"] else 0)
    slot = _DAYS.index(found["day"]) * len(_HOURS) + _HOURS.index(found["hour"])
    return {"pid": pid, "camid": int(found["camid"]), "frame": int(found["frame"]) + _MSMT_SLOT * slot}


def _cuhk01(found: dict[str, str]) -> dict[str, Any]:
    return {"pid": int(found["pid"]), "camid": (int(found["shot"]) + 1) // 2}


def _cuhk03(found: dict[str, str]) -> dict[str, Any]:
    # Five pairs of cameras, each with identities of its own.
    pair = int(found["pair"])
    return {"pid": pair * 10_000 + int(found["pid"]), "camid": 2 * pair + int(found["view"]) - 2}


def _mars(found: dict[str, str]) -> dict[str, Any]:
    # Frames count from 1 in each tracklet. Boxes of no person are named 00-1, distractors 0000.
    pid = -1 if found["pid"] == "00-1" else int(found["pid"])
    frame = int(found["tracklet"]) * 10_000 + int(found["frame"])
    return {"pid": pid, "camid": int(found["camid"]), "frame": frame, "split": found["part"]}


def _viper(found: dict[str, str]) -> dict[str, Any]:
    return {"pid": int(found["pid"]), "camid": "ab".index(found["camera"]) + 1}


def _syri(found: dict[str, str]) -> dict[str, Any]:
    return {"pid": int(found["pid"]), "camid": int(found["view"]) // 2}


@dataclass(frozen=True)
class Layout:
    """How one set, or several named alike, write what they know into a path.

    Attributes:
        name: what people call it.
        pattern: searched in the whole path with forward slashes.
        read: from the pattern's groups to columns of the manifest.
        whole: whether the pattern must match the path below the folder that was given, instead.
    """

    name: str
    pattern: re.Pattern[str]
    read: Callable[[dict[str, str]], dict[str, Any]] = _plain
    whole: bool = False


LAYOUTS = (
    Layout(
        "UnrealPerson",
        re.compile(
            r"(?:^|/)unreal_v(?P<scene>\d{1,5})\.(?P<version>\d{1,5})/images/(?P<person>\d{1,6})_c(?P<camera>\d{1,3})_(?P<frame>\d{1,15})\.\w+$"
        ),
        _unreal,
    ),
    Layout(
        "MSMT17",
        re.compile(
            r"(?:^|/)(?P<part>(?:mask_)?(?:train|test)(?:_v2)?)/(?P<pid>\d{4,5})/\d{4,5}_\d+_(?P<camid>\d{2})_"
            rf"(?P<day>{'|'.join(_DAYS)})(?P<hour>{'|'.join(_HOURS)})_(?P<frame>\d{{1,15}})(?:_\w+)?\.\w+$"
        ),
        _msmt17,
    ),
    Layout(  # ClonedPerson, and RandPerson as the original's loader reads it
        "ClonedPerson",
        re.compile(
            r"(?:^|/)(?:id)?(?P<pid>\d{1,9})_s(?P<scene>\d{1,5})_c(?P<camera>\d{1,3})(?:_f(?P<frame>\d{1,15}))?(?:_[^/]*)?\.\w+$"
        ),
        _in_scenes,
    ),
    Layout(
        "RandPerson",
        re.compile(
            r"(?:^|/)(?P<pid>\d{1,9})_c(?P<camera>\d{1,3})_s(?P<scene>\d{1,5})_f(?P<frame>\d{1,15})(?:_[^/]*)?\.\w+$"
        ),
        _in_scenes,
    ),
    Layout(  # also DukeMTMC-reID, CUHK03-NP, PersonX and the exports of other tools; Black-reID puts b_ or w_ before
        "Market-1501",
        re.compile(
            r"(?:^|/)(?:[bw]_)?(?P<pid>-1|\d{1,9})_c(?P<camid>\d{1,6})(?:s\d+)?(?:_[fF]?(?P<frame>\d{1,15}))?(?:_[^/]*)?\.\w+$"
        ),
    ),
    Layout(
        "MARS",
        re.compile(
            r"(?:^|/)bbox_(?P<part>train|test)/(?:[^/]+/)?(?P<pid>\d{4,9}|00-1)C(?P<camid>\d{1,6})T(?P<tracklet>\d{4,9})F(?P<frame>\d{3,15})\.\w+$"
        ),
        _mars,
    ),
    Layout(
        "CUHK03",
        re.compile(
            r"(?:^|/)images_(?:labeled|detected)/(?P<pair>\d)_(?P<pid>\d{3,4})_(?P<view>[12])_(?:\d{1,2})\.\w+$"
        ),
        _cuhk03,
    ),
    Layout("CUHK01", re.compile(r"(?:^|/)campus/(?P<pid>\d{4})(?P<shot>00[1-4])\.\w+$"), _cuhk01),
    Layout("VIPeR", re.compile(r"(?:^|/)cam_(?P<camera>[ab])/(?P<pid>\d{1,5})_\d{1,3}\.\w+$"), _viper),
    Layout(  # underground GRID; identity 0 are the gallery's distractors
        "GRID",
        re.compile(r"(?:^|/)(?:probe|gallery)/(?P<pid>\d{4})_(?P<camid>\d)_(?P<frame>\d{1,15})_\d+(?:_\d+)*\.\w+$"),
    ),
    Layout("SyRI", re.compile(r"(?i:(?:^|/)syri)/(?:[^/]+/)*(?P<pid>\d{1,9})_(?P<view>\d{1,6})_[^/]*\.\w+$"), _syri),
    Layout("SOMAset", re.compile(r"(?i:(?:^|/)soma(?:set)?)/\D{0,9}(?P<pid>\d{1,9})/[^/]+/[^/]+\.\w+$")),
    Layout(
        "folders of identities and cameras",
        re.compile(r"(?i:id|pid|person|p)?[_-]?(?P<pid>\d{1,9})/(?i:camera|cam|c)?[_-]?(?P<camid>\d{1,6})/[^/]+"),
        whole=True,
    ),
    Layout(
        "folders of cameras, nobody named",
        re.compile(
            r"(?i:camera|cam|c)[_-]?(?P<camid>\d{1,6})/(?:[^/]+/)*"
            r"(?:[^/]*?(?<![A-Za-z])(?i:frame|f)[_-]?(?P<frame>\d{1,15}))?[^/]*"
        ),
        whole=True,
    ),
)
"""Most telling first; what no layout fits stays without identity and camera."""

SPLIT_FOLDERS = MappingProxyType(
    {
        "bounding_box_train": "train",
        "bounding_box_test": "gallery",
        "query": "query",
        "gallery": "gallery",
        "probe": "query",
        "train": "train",
    }
)
"""Folders that hold one split."""

SAME_PICTURES = (("images_labeled", "images_detected"), ("labeled", "detected"))
"""Folders that hold the same pictures, cut out by hand and by a detector (CUHK03)."""

LISTS = (
    ("list_train.txt", "train", ("train", "mask_train_v2")),
    ("list_val.txt", "train", ("train", "mask_train_v2")),
    ("list_query.txt", "query", ("test", "mask_test_v2")),
    ("list_gallery.txt", "gallery", ("test", "mask_test_v2")),
    ("train.txt", "train", ("",)),
    ("query.txt", "query", ("",)),
    ("gallery.txt", "gallery", ("",)),
)
"""Files that list the images of a split (MSMT17, Black-reID), and the folders that their lines may start in."""


def read_path(whole: str, below: str) -> dict[str, Any]:
    """What the path of an image says.

    Args:
        whole: the absolute path, with forward slashes.
        below: the path below the folder that the user gave.

    Returns:
        Columns of the manifest: pid, camid, frame, scene, version, person, camera, split, as far as the path tells.
    """
    for layout in LAYOUTS:
        match = layout.pattern.fullmatch(below) if layout.whole else layout.pattern.search(whole)
        if match is not None:
            return layout.read(match.groupdict())
    return {}
