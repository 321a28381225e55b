"""Files that are cut short or have a bit flipped: each format that is read, by the verb that reads it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trials.running import Outcome, run
from trials.site import CROP, Site, digests, flags
from unrealperson.data.manifest import Manifest

Fallback = Literal["", "left out, and said so", "cannot know"]


@dataclass(frozen=True)
class Reading:
    """A file that a verb reads.

    Attributes:
        source: folder (or file) to copy for a trial.
        pattern: files of the copy that may be damaged.
        arguments: of the command line, for the copy and a folder to write.
        result: what counts of what was made; None: only the status does.
        otherwise: what else may come of it than an error or the same result.
    """

    source: Callable[[Site], Path]
    pattern: str
    arguments: Callable[[Site, Path, Path], list[str]]
    result: Callable[[Path], Any] | None = None
    otherwise: Fallback = ""


def _index(site: Site, copy: Path, out: Path) -> list[str]:
    return ["index", "--model", str(site.model), "--data", str(copy), "--out", str(out)]


def _extract(site: Site, copy: Path, out: Path) -> list[str]:
    return ["extract", "--run", str(copy), "--data", str(site.crops / "0"), "--out", str(out)]


def _bytes_of(out: Path) -> str:
    return hashlib.sha256(out.read_bytes()).hexdigest()


READINGS = {
    "JPEG in a data set": Reading(
        Site.data, "unreal_*/images/*.jpg", lambda site, copy, out: ["data", "check", "--data", str(copy)]
    ),
    "JPEG": Reading(lambda site: site.crops, "*/*.jpg", _index, digests, "cannot know"),
    "PNG": Reading(lambda site: site.crops, "*/*.png", _index, digests, "left out, and said so"),
    "Parquet": Reading(
        Site.data, "manifest.parquet",
        lambda site, copy, out: ["data", "subset", "--data", str(copy), "--out", str(out)],
        lambda out: (Manifest.read(out).sha256(), digests(out, "manifest.parquet")),
    ),
    "TOML": Reading(lambda site: site.wanted("train")[0], "config.toml", _extract, _bytes_of, "cannot know"),
    "ONNX": Reading(
        lambda site: site.model, "model.onnx",
        lambda site, copy, out: ["index", "--model", str(copy), "--data", str(site.crops / "0"), "--out", str(out)],
        lambda out: digests(out, "gallery.json", "model.onnx"),
    ),
    "safetensors": Reading(lambda site: site.wanted("train")[0], "model.safetensors", _extract, _bytes_of),
    "checkpoint": Reading(lambda site: half_trained(site), "optimizer-*", lambda site, copy, out: _go_on(site, copy)),
    "record": Reading(lambda site: half_trained(site), "metrics.jsonl", lambda site, copy, out: _go_on(site, copy)),
    "gallery": Reading(
        lambda site: site.wanted("gallery add")[0], "*",
        lambda site, copy, out: ["gallery", "check", "--gallery", str(copy)],
    ),
    "npz": Reading(
        lambda site: site.wanted("adapt")[0], "labels.npz",
        lambda site, copy, out: ["report", "--data", str(copy), "--out", str(out.with_suffix(".html"))],
    ),
    "pickle of poses": Reading(
        lambda site: site.original, "caminfo_1.pkl",
        lambda site, copy, out: ["poses", "--caminfo", str(copy / "caminfo_1.pkl"), "--out", str(out)],
        _bytes_of, "cannot know",
    ),
    "pickle of colours": Reading(
        lambda site: site.original, "object_color.pkl",
        lambda site, copy, out: ["crop", "--data", str(copy), "--out", str(out), *flags("crop", CROP)],
        lambda out: digests(out, "report.json", "manifest.parquet"), "cannot know",
    ),
}  # fmt: skip


def try_damage(site: Site, rng: np.random.Generator, folder: Path, *, name: str) -> Outcome:
    """Cuts a file short or flips a bit of it; a verb must refuse it, or make what it makes of the whole one.

    Of some formats it cannot be told that a bit has changed: text that a user may write, pickles of other programs,
    and JPEG files without a manifest that has their checksums. There, no crash is all that is asked.

    Args:
        site: whose files.
        rng: draws file, place and bit.
        folder: for this trial.
        name: of `READINGS`.
    """
    reading = READINGS[name]
    source = reading.source(site)
    copy = folder / source.name
    shutil.copytree(source, copy) if source.is_dir() else shutil.copyfile(source, copy)
    files = sorted(path for path in copy.glob(reading.pattern)) if copy.is_dir() else [copy]
    path = files[int(rng.integers(len(files)))]
    what = f"{name}: {path.name} {damage(path, rng)}"
    out = folder / "made"
    end = run(*reading.arguments(site, copy, out))
    if end.is_clear_error:
        return Outcome(what, "clear error", end.message)
    if end.status == 1 and path.name in end.words and "Traceback" not in end.words:
        return Outcome(what, "clear error", next(line for line in end.words.splitlines() if path.name in line))
    if end.status != 0:
        return Outcome(what, "wrong", end.complaint("a clear error, or none"))
    if name in ("checkpoint", "record"):
        return _as_trained(site, copy, what)
    if reading.result is not None:
        if reading.result(out) == _undamaged(site, name):
            return Outcome(what, "as if nothing were")
        if reading.otherwise == "cannot know" or "skipped 1 unreadable image" in end.words:
            told = "skipped 1 unreadable image" in end.words
            return Outcome(what, "left out, and said so" if told else "cannot know")
    return Outcome(what, "wrong", end.complaint("a clear error"))


def damage(path: Path, rng: np.random.Generator) -> str:
    """Cuts a file short or flips one of its bits; tells which.

    Args:
        path: the file.
        rng: draws where.
    """
    content = bytearray(path.read_bytes())
    place = int(rng.integers(len(content)))
    if rng.random() < 0.4:
        path.write_bytes(content[:place])
        return f"cut to {place} of {len(content)} bytes"
    bit = int(rng.integers(8))
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"with bit {bit} of byte {place} of {len(content)} flipped"


def half_trained(site: Site) -> Path:
    """A run that was told to end after its first checkpoint.

    Args:
        site: whose data it learns from.
    """
    kept = site.root / "half_trained"
    if not kept.is_dir():
        from trials.running import Running

        partial = kept.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        with Running(*site.tasks["train"].arguments(partial)) as running:
            for _ in running.moments(0.001):
                if list(partial.glob("optimizer-1*.pt")) and (partial / "metrics.jsonl").stat().st_size:
                    running.terminate()
                    break
            running.end()
        partial.rename(kept)
    return kept


def _go_on(site: Site, copy: Path) -> list[str]:
    return site.tasks["train"].arguments(copy)


def _as_trained(site: Site, copy: Path, what: str) -> Outcome:
    made, wanted = site.tasks["train"].result(copy), site.wanted("train")[1]
    if made == wanted:
        return Outcome(what, "as if nothing were")
    if made[0] == wanted[0]:
        return Outcome(what, "cannot know", "the weights are the same, the record lacks lines")
    return Outcome(what, "wrong", "other weights than those of an undisturbed training")


def _undamaged(site: Site, name: str) -> Any:
    """What the verb makes of whole files."""
    reading, folder = READINGS[name], site.root / "undamaged" / name.replace(" ", "_")
    assert reading.result is not None
    source, out = reading.source(site), folder / "made"
    if not out.exists():
        copy = folder / source.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copytree(source, copy) if source.is_dir() else shutil.copyfile(source, copy)
        run(*reading.arguments(site, copy, out))
    return reading.result(out)
