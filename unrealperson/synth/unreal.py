"""Drives a level of Unreal Engine through UnrealCV, and makes up for what plug-ins are known to get wrong.

Source: UnrealCV's C++ branches 4.24 and 5.2, its issues 130, 184 and 152, and the authors' capture scripts.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from unrealperson.log import get_logger
from unrealperson.synth.endpoint import Endpoint, as_texts, decode_image
from unrealperson.synth.protocol import palette
from unrealperson.synth.view import View, from_unreal, to_unreal

LEVEL_PREFIX = "MH"
"""Only objects whose names start with it are persons."""

SETTLE_S = 0.2
"""A game engine's camera follows its pawn only while the game runs: wait so long before Pause."""

SPAWN_S = 60.0
"""Longest wait for the people whom AddActor promised."""

Color = tuple[int, int, int]

_logger = get_logger(__name__)
_color = re.compile(r"\(R=(\d+),G=(\d+),B=(\d+),A=\d+\)")
_levels = sorted({color[2] for color in palette()})
_tolerance = 3
"""A pixel belongs to a level if it is so near, as the cropper's rule has it."""
_STEP_CM = (10.0, 10.0, 20.0)
"""So far camera 0 is moved to see whether it goes."""
_seen_px = 50
_tries = 6


@dataclass(frozen=True)
class Transfer:
    """What becomes of mask colours between `vset .../color` and the mask image.

    Attributes:
        kind: exact; off by one (an older plug-in's rounding, small values may turn black); sRGB (a gamma curve
            was applied); or broken.
        shown: value in the image of each value that was set.
    """

    kind: Literal["exact", "off by one", "sRGB", "broken"]
    shown: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def classify(cls, shown: Mapping[int, int]) -> Transfer:
        """Names the curve that measured values lie on.

        Args:
            shown: value in the image, 0 ... 255, of each value that was set.
        """
        if all(seen == value for value, seen in shown.items()):
            kind = "exact"
        elif all(abs(seen - value) <= 1 or (value <= 31 and seen == 0) for value, seen in shown.items()):
            kind = "off by one"
        elif all(abs(seen - _srgb(value)) <= 2 for value, seen in shown.items()):
            kind = "sRGB"
        else:
            kind = "broken"
        return cls(kind, dict(shown))  # type: ignore[arg-type]

    def usable(self) -> list[int]:
        """Values that can be told apart in the image, in ascending order."""
        chosen: list[int] = []
        for value in sorted(self.shown):
            if not chosen or self.shown[value] - self.shown[chosen[-1]] > 2 * _tolerance:
                chosen.append(value)
        return chosen

    def restore(self, mask: np.ndarray) -> np.ndarray:
        """The mask with the colours that were set.

        Args:
            mask: [H, W, 3] uint8 as it came.

        Returns:
            [H, W, 3] uint8; a pixel of a colour that no person can have is black.
        """
        if self.kind == "exact":
            return mask
        table = np.full(256, -1, np.int16)
        for value in self.usable():
            seen = self.shown[value]
            table[max(seen - _tolerance, 0) : seen + _tolerance + 1] = value
        known = table[mask]
        return np.where((known < 0).any(-1, keepdims=True), 0, known).astype(np.uint8)


class Level:
    """A level with people in it, seen through camera 0.

    Attributes:
        transfer: what the colour self-test of `populate` found; None before it.
        zooms: whether the field of view can be set, as far as is known.
        painted: whether people got colours here, since the plug-in gave them none that work.
    """

    def __init__(self, endpoint: Endpoint, *, settle_s: float = SETTLE_S, spawn_s: float = SPAWN_S) -> None:
        """Takes over a connected endpoint.

        Args:
            endpoint: where the level runs.
            settle_s: how long the game runs between moving the camera and pausing, in seconds.
            spawn_s: longest wait for people to appear, in seconds.
        """
        self.transfer: Transfer | None = None
        self.painted = False
        self.zooms = True
        self._endpoint = endpoint
        self._settle_s = settle_s
        self._spawn_s = spawn_s
        self._drift_cm: np.ndarray | None = None
        self._form = "bmp"
        self._by_event: bool | None = None
        self._subject = 0

    def populate(self, expected: int) -> dict[int, Color]:
        """Replaces the people of the level and sees to it that the mask tells them apart.

        Args:
            expected: how many people are wanted; the level's AddActor decides how many come.

        Returns:
            The mask colour of each person P, the number that its object's name ends with.

        Raises:
            RuntimeError: nobody comes, or the mask does not show people's colours.
        """
        names = self.spawn()
        if len(names) < expected:
            _logger.warning("AddActor made %d people, %d are expected", len(names), expected)
        return self.color(names)

    def resize(self, width: int, height: int) -> None:
        """Sets the image size; where the plug-in cannot, its images keep their own, which is only warned about.

        Args:
            width: in pixels.
            height: in pixels.
        """
        (reply,) = as_texts(self._endpoint.attempt(f"vset /camera/0/size {width} {height}"))
        if reply.startswith("error"):
            found = self.images("object_mask")[0].shape
            if found[:2] != (height, width):
                _logger.warning(
                    "the plug-in cannot set the image size: images are %d x %d instead of %d x %d; "
                    "set Width and Height in its unrealcv.ini",
                    found[1], found[0], width, height,
                )  # fmt: skip

    def spawn(self) -> list[str]:
        """Removes everyone, fires AddActor and waits until no more people appear.

        Returns:
            Object names of the people.

        Raises:
            RuntimeError: nobody appears.
        """
        self.resume()
        self._endpoint.request("vrun ce DelActor")
        time.sleep(self._settle_s)
        before = set(person_names(self._endpoint))
        self._endpoint.request("vrun ce AddActor")
        deadline_s = time.monotonic() + self._spawn_s
        names: list[str] = []
        while True:
            found = [name for name in person_names(self._endpoint) if name not in before]
            if (found and found == names) or time.monotonic() > deadline_s:
                break
            names = found
            time.sleep(max(self._settle_s, 0.01))
        if not found:
            raise RuntimeError(
                f"AddActor made no object whose name starts with {LEVEL_PREFIX} within {self._spawn_s:g} s; does this "
                "level have the events AddActor and DelActor? UnrealCV answers ok even where an event does not exist"
            )
        return found

    def color(self, names: Sequence[str]) -> dict[int, Color]:
        """Tests how the mask shows colours, and paints the people where the plug-in did not.

        Args:
            names: object names of the people.

        Returns:
            The mask colour of each person P.

        Raises:
            RuntimeError: people do not appear in the mask, or colours cannot be told apart.
        """
        everyone = as_texts(self._endpoint.request("vget /objects"))[0].split()
        replies = as_texts(self._endpoint.attempt(*[f"vget /object/{name}/color" for name in everyone]))
        reported = dict(zip(everyone, map(parse_color, replies), strict=True))
        own = [reported.get(name) for name in names]
        shown, works = self._measure(names, own)
        self.transfer = transfer = Transfer.classify(shown)
        if transfer.kind == "broken":
            raise RuntimeError(
                "the mask does not show the colours that were set (set -> shown: "
                + ", ".join(f"{value} -> {shown[value]}" for value in sorted(shown)[::6])
                + "); turn off exposure, bloom and post-processing volumes of the level, or use another plug-in"
            )
        good = [color for color in own if color is not None and color != (0, 0, 0)]
        self.painted = not (transfer.kind == "exact" and works and len(set(good)) == len(names))
        if self.painted:
            return self._paint(names, {color for name, color in reported.items() if name not in names})
        measured = names[self._subject]
        red, green, blue = own[self._subject] or (0, 0, 0)
        self._endpoint.request(f"vset /object/{measured}/color {red} {green} {blue}")
        return dict(zip(map(person_number, names), good, strict=True))

    def look(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """Pauses the game at a view; it runs again afterwards.

        Args:
            view: where camera 0 looks from.

        Returns:
            Colour image and mask, [H, W, 3] uint8 each; the mask has the colours that `populate` returned.
        """
        self.place(view)
        self.pause()
        try:
            lit, mask = self.images("lit", "object_mask")
        finally:
            self.resume()
        return lit, mask if self.transfer is None else self.transfer.restore(mask)

    def place(self, view: View) -> None:
        """Moves camera 0 while the game runs, and lets the view settle.

        Args:
            view: where to.
        """
        if self._drift_cm is None:
            self._drift_cm = self.measure_drift()
        fov, *pose = pose_commands(view, offset_cm=-self._drift_cm)
        (reply,) = as_texts(self._endpoint.attempt(fov))
        if self.zooms and reply.startswith("error"):
            self.zooms = False
            _logger.warning("the plug-in cannot set the field of view (%s): every camera has the level's own", reply)
        self._endpoint.request(*pose)
        time.sleep(self._settle_s)

    def measure_drift(self) -> np.ndarray:
        """How far from where it is put camera 0 says it is: the player's eyes may be above its pawn.

        Returns:
            [3] x, y, z in centimetres of Unreal's frame.

        Raises:
            RuntimeError: camera 0 does not go where it is put, even with that corrected.
        """
        before = self._location()
        goal = before + _STEP_CM
        drift = self._put(goal) - goal
        missed = self._put(goal - drift) - goal
        self._put(before - drift)
        if np.abs(missed).max() > 0.5:
            off = ", ".join(f"{value:g}" for value in missed.round(2))
            raise RuntimeError(
                f"camera 0 does not go where it is put: it is {off} cm (x, y, z) away; does its pawn fall, or does "
                "something hold it? Give the level a spectator pawn that flies"
            )
        return drift if np.abs(drift).max() > 0.05 else np.zeros(3)

    def pause(self) -> None:
        """Stops time, with the level's event Pause or, where that does nothing, with the plug-in's command."""
        if self._by_event is not False:
            self._endpoint.request("vrun ce Pause")
        if self._by_event is None:
            self._by_event = self.is_paused() is not False
        if not self._by_event:
            self._endpoint.attempt("vset /action/game/pause")

    def resume(self) -> None:
        """Lets time go on."""
        self._endpoint.request("vrun ce Resume")
        if self._by_event is False:
            self._endpoint.attempt("vset /action/game/resume")

    @property
    def pauses_by_event(self) -> bool:
        """Whether the level's own event Pause stops time."""
        return self._by_event is True

    def is_paused(self) -> bool | None:
        """Whether time stands still; None where the plug-in cannot tell."""
        (reply,) = as_texts(self._endpoint.attempt("vget /action/game/is_paused"))
        return {"true": True, "false": False}.get(reply.strip().lower())

    def images(self, *modes: str) -> list[np.ndarray]:
        """What camera 0 sees now.

        Args:
            modes: lit, object_mask, ...

        Returns:
            One [H, W, 3] uint8 image for each.
        """
        replies = self._endpoint.attempt(*[f"vget /camera/0/{mode} {self._form}" for mode in modes])
        if self._form == "bmp" and any(isinstance(reply, str) for reply in replies):
            self._form = "png"
            return self.images(*modes)
        return [decode_image(reply) for reply in replies]

    def _location(self) -> np.ndarray:
        (reply,) = as_texts(self._endpoint.request("vget /camera/0/location"))
        return _numbers(reply, 3)

    def _put(self, location_cm: np.ndarray) -> np.ndarray:
        """Moves camera 0; returns where it says it is."""
        self._endpoint.request("vset /camera/0/location {:.4f} {:.4f} {:.4f}".format(*location_cm))
        time.sleep(self._settle_s)
        return self._location()

    def _measure(self, names: Sequence[str], own: Sequence[Color | None]) -> tuple[dict[int, int], bool]:
        """Paints somebody in view with every level; returns what is shown, and whether their own colour was."""
        for self._subject, name in enumerate(names[:_tries]):
            location = _numbers(as_texts(self._endpoint.request(f"vget /object/{name}/location"))[0], 3)
            for yaw in (0.0, 90.0, 180.0, 270.0):
                away = np.array([np.cos(np.radians(yaw)), np.sin(np.radians(yaw)), 0.0])
                x, y, z = location - 300.0 * away + (0.0, 0.0, 60.0)
                self.place(from_unreal((x, y, z), (0.0, yaw, 0.0), 90.0))
                self.pause()
                try:
                    (first,) = self.images("object_mask")
                    dark, bright = self._painted(name, (0, 0, 0)), self._painted(name, (255, 255, 255))
                    seen = (dark.astype(int) - bright != 0).any(-1)
                    if seen.sum() < _seen_px:
                        continue
                    works = bool((np.median(first[seen], axis=0) == own[self._subject]).all())
                    return self._sweep(name, seen), works
                finally:
                    self.resume()
        if dark.any() and (dark == dark[0, 0]).all():
            raise RuntimeError(
                "the mask has one colour all over, ({}, {}, {}), whatever is set; turn off exposure, bloom and "
                "post-processing volumes of the level, or use another plug-in".format(*dark[0, 0])
            )
        raise RuntimeError(
            "people do not appear in the mask, even after their colours were set: the plug-in annotates only what was "
            "there when the level began, or walls hide everybody; use the plug-in of UE 4.24 that the authors ship"
        )

    def _sweep(self, name: str, seen: np.ndarray) -> dict[int, int]:
        shown: dict[int, int] = {}
        third = -(-len(_levels) // 3)
        for red, green, blue in zip(_levels, _levels[third:], [*_levels[2 * third :], 255], strict=False):
            pixels = self._painted(name, (red, green, blue))[seen]
            for value, channel in zip((red, green, blue), np.median(pixels, axis=0), strict=True):
                shown[value] = round(float(channel))
        return shown

    def _painted(self, name: str, color: Color) -> np.ndarray:
        self._endpoint.request("vset /object/{}/color {} {} {}".format(name, *color))
        return self.images("object_mask")[0]

    def _paint(self, names: Sequence[str], taken: set[Color | None]) -> dict[int, Color]:
        """Gives each person a colour that nothing else has."""
        usable = set(self.transfer.usable() if self.transfer else ())
        free = (color for color in palette()[1:] if usable.issuperset(color) and color not in taken)
        colors = dict(zip(names, free, strict=False))
        if len(colors) < len(names):
            raise RuntimeError(
                f"the mask tells only {len(colors)} colours apart, there are {len(names)} people; spawn fewer"
            )
        self._endpoint.request(
            *("vset /object/{}/color {} {} {}".format(name, *color) for name, color in colors.items())
        )
        return {person_number(name): color for name, color in colors.items()}


def person_names(endpoint: Endpoint) -> list[str]:
    """Object names of the people in a level.

    Args:
        endpoint: where the level runs.
    """
    (objects,) = as_texts(endpoint.request("vget /objects"))
    return [name for name in objects.split() if name.startswith(LEVEL_PREFIX)]


def person_number(name: str) -> int:
    """Number P of a person.

    Args:
        name: object name, such as `MHMainClass_C_12`.

    Raises:
        RuntimeError: it ends with no number.
    """
    found = re.search(r"_(\d+)$", name)
    if found is None:
        raise RuntimeError(f"object '{name}' has no number at its end; people are named like MHMainClass_C_12")
    return int(found[1])


def parse_color(reply: str) -> Color | None:
    """The colour that a reply to `vget /object/N/color` tells.

    Args:
        reply: such as `(R=255,G=0,B=127,A=255)`.

    Returns:
        Red, green and blue; None where the reply is no colour.
    """
    found = _color.fullmatch(reply)
    if found is None:
        return None
    red, green, blue = (int(value) for value in found.groups())
    return (red, green, blue) if max(red, green, blue) < 256 else None


def pose_commands(view: View, *, offset_cm: Sequence[float] | np.ndarray = (0.0, 0.0, 0.0)) -> list[str]:
    """Commands that place camera 0 at a view: field of view, location, rotation.

    Args:
        view: where.
        offset_cm: added to the location, x, y, z in centimetres of Unreal's frame.
    """
    location, rotation = to_unreal(view)
    return [
        f"vset /camera/0/fov {view.fov_deg:.4f}",
        "vset /camera/0/location {:.4f} {:.4f} {:.4f}".format(*np.add(location, offset_cm)),
        "vset /camera/0/rotation {:.4f} {:.4f} {:.4f}".format(*rotation),
    ]


def _numbers(reply: str, count: int) -> np.ndarray:
    try:
        values = np.array([float(part) for part in reply.split()])
    except ValueError:
        values = np.zeros(0)
    if len(values) != count or not np.isfinite(values).all():
        raise RuntimeError(f"expected {count} numbers from the endpoint, got '{reply[:80]}'")
    return values


def _srgb(value: int) -> float:
    linear = value / 255.0
    return 255.0 * (12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055)
