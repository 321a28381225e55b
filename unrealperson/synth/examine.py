"""Tries an UnrealCV endpoint before an overnight run, and says in plain words what it found."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal, NamedTuple

from unrealperson.synth.endpoint import Endpoint, as_texts
from unrealperson.synth.unreal import SETTLE_S, SPAWN_S, Level

State = Literal["ok", "warn", "fail"]


class Observation(NamedTuple):
    """One thing that was tried on an endpoint.

    Attributes:
        name: what was tried.
        state: ok, warn (works, but needs attention), fail (a capture would be worthless).
        found: what happened, in plain words.
    """

    name: str
    state: State
    found: str


def examine(
    endpoint: Endpoint, *, expected: int = 0, settle_s: float = SETTLE_S, spawn_s: float = SPAWN_S
) -> Iterator[Observation]:
    """Tries everything that a capture needs of an endpoint; its people are replaced.

    Args:
        endpoint: connected.
        expected: how many people AddActor should make; 0: any number.
        settle_s: how long the game runs between moving the camera and pausing, in seconds.
        spawn_s: longest wait for people to appear, in seconds.

    Yields:
        What was found, in the order in which it was tried; ends at what makes further trials pointless.
    """
    level = Level(endpoint, settle_s=settle_s, spawn_s=spawn_s)
    trial = "requests"
    try:
        yield _requests(endpoint)
        trial = "plug-in"
        yield _plugin(endpoint)
        trial = "people"
        names = level.spawn()
        few = len(names) < expected
        text = f"AddActor made {len(names)} people ({names[0]} ... {names[-1]})"
        yield Observation(trial, "warn" if few else "ok", text + (f", {expected} are expected" if few else ""))
        trial = "pause"
        yield _pause(level)
        trial = "camera"
        yield _camera(level)
        trial = "images"
        yield _images(level)
        trial = "mask colours"
        level.color(names)
        yield _colors(level)
        if not level.zooms:
            text = "it cannot be set: every camera has the level's own, whatever the poses say"
            yield Observation("field of view", "warn", text)
        level.resume()
        endpoint.request("vrun ce DelActor")
    except RuntimeError as error:
        yield Observation(trial, "fail", str(error))
    if endpoint.replaced:
        late = "1 reply was" if endpoint.replaced == 1 else f"{endpoint.replaced} replies were"
        late += " late and the connection was made anew; raise synth.timeout_s"
        yield Observation("late replies", "warn", late)


def _requests(endpoint: Endpoint) -> Observation:
    count = 50
    start_s = time.perf_counter()
    for _ in range(count):
        endpoint.request("vget /unrealcv/echo a")
    rate = count / (time.perf_counter() - start_s)
    slow = "" if rate >= 20 else ": a capture will be slow; is the engine's window in the background (it throttles)?"
    return Observation("requests", "warn" if slow else "ok", f"{rate:.0f} a second{slow}")


def _plugin(endpoint: Endpoint) -> Observation:
    asked = ("vget /unrealcv/version", "vget /unrealcv/commands", "vget /camera/0/size")
    version, commands, size = as_texts(endpoint.attempt(*asked))
    said = "version unknown" if version.startswith("error") else f"version {version}"
    if commands.startswith("error"):
        said += "; it does not list its commands, as no public plug-in does"
    if size.startswith("error"):
        said += "; the image size comes from its unrealcv.ini alone, as in the authors' build for UE 4.24"
    return Observation("plug-in", "ok", said)


def _pause(level: Level) -> Observation:
    level.pause()
    paused = level.is_paused()
    level.resume()
    if paused is None:
        return Observation("pause", "warn", "the plug-in cannot tell whether the game is paused; look at the window")
    if not paused:
        text = "the game does not pause: people move between colour image and mask, and crops will be misplaced"
        return Observation("pause", "fail", f"{text}; give the level the events Pause and Resume")
    if level.pauses_by_event:
        return Observation("pause", "ok", "the level's events Pause and Resume work")
    return Observation("pause", "ok", "the level has no event Pause; the plug-in's own command works")


def _camera(level: Level) -> Observation:
    drift = level.measure_drift()
    if drift.any():
        off = ", ".join(f"{value:g}" for value in drift.round(2))
        return Observation("camera", "ok", f"camera 0 is {off} cm (x, y, z) from where it is put; this is corrected")
    return Observation("camera", "ok", "camera 0 is where it is put")


def _images(level: Level) -> Observation:
    start_s = time.perf_counter()
    lit, mask = level.images("lit", "object_mask")
    spent_s = time.perf_counter() - start_s
    height, width = lit.shape[:2]
    if mask.shape != lit.shape:
        return Observation("images", "fail", f"colour image {width} x {height}, mask {mask.shape[1]} x {mask.shape[0]}")
    said = f"{width} x {height}, colour image and mask in {spent_s:.2f} s"
    if int(lit.max()) < 8:
        return Observation("images", "warn", f"{said}; the colour image is black: light steps past the last are dark")
    return Observation("images", "ok", said)


def _colors(level: Level) -> Observation:
    said = {
        "exact": "the mask shows the colours that are set, exactly",
        "off by one": "the mask is off by one, or black where a colour is dark, as old plug-ins are; this is undone",
        "sRGB": "the mask has a gamma curve (sRGB); this is undone",
    }[level.transfer.kind if level.transfer else "exact"]
    if level.painted:
        said += "; people who were spawned have no mask colour of their own and get one here"
    return Observation("mask colours", "ok", said)
