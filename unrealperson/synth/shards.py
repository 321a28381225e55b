"""A whole data set: shards captured and cropped side by side, then merged; stopped, it goes on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
from PIL import Image

from unrealperson.cards import CARD_FILE, data_card
from unrealperson.config import Config, SynthConfig, load_config, save_config
from unrealperson.crop import log_counts, total_report, write_crops
from unrealperson.data.manifest import FILE_NAME, Manifest
from unrealperson.data.recipe import FREE_KEYS
from unrealperson.data.stored import StoredSet
from unrealperson.executor import Executor
from unrealperson.files import only_process, pack_folder, replacing_folder, unpack_folder, write_json, write_text
from unrealperson.log import get_logger, track
from unrealperson.storage import is_url
from unrealperson.synth.capture import Frame, Shard, capture
from unrealperson.synth.people.keep import kept_file
from unrealperson.synth.poses import read_poses
from unrealperson.synth.scenes import usual

CONFIG_FILE, REPORT_FILE, PEOPLE_FILE = "config.toml", "report.json", "people.jpg"
_PORTRAITS = 12

_logger = get_logger(__name__)


class _Stopped(Exception):
    """Another shard failed, or the user interrupted."""


def shards(config: SynthConfig) -> list[Shard]:
    """Splits the people into batches that walk together.

    Args:
        config: scenes, versions, people and people_per_batch.

    Returns:
        Shards in order, scene after scene, version after version; batches of a scene are counted through, so that
        each has frame numbers and times of its own.
    """
    work = []
    for scene in config.scenes:
        together = config.people_per_batch or usual(scene).people
        batch = 0
        for version in config.versions:
            for first in range(0, config.people, together):
                work.append(Shard(scene, version, batch, first, min(together, config.people - first)))
                batch += 1
    return work


def _in_turn(config: SynthConfig, work: Sequence[Shard], workers: int) -> list[Shard]:
    """Shards so ordered that the same people walk through all scenes soon after each other, in no two at once."""
    together = max(config.people_per_batch or usual(scene).people for scene in config.scenes)

    def turn(shard: Shard) -> tuple[int, int, int]:
        crowd = (config.versions.index(shard.version) * -(-config.people // together)) + shard.first // together
        return crowd // workers, config.scenes.index(shard.scene), shard.batch

    return sorted(work, key=turn)


def synthesize(config: Config, out: str | Path, *, executor: Executor | None = None) -> Manifest:
    """Makes a labelled data set, or finishes one that was begun with the same configuration.

    The same configuration gives the same files whatever `workers` is. A shard is there completely or
    not at all; the manifest is written last.

    Args:
        config: sections synth and crop count.
        out: folder to fill: unreal_vX.Y/images/P_cDDD_F.jpg, manifest.parquet, report.json, card.md, config.toml,
            samples/ with one frame and mask per camera (below v1.1, v2.1, ... where there are several scenes),
            people.jpg with the first people, and
            frames/ with all of them on `keep_frames`. A URL is filled as `data.stored` says, the crops in tar shards
            that their makers put there.
        executor: who makes the shards; None is `workers` simulators of this machine.

    Returns:
        The manifest that was written.

    Raises:
        ValueError: the folder was begun with another configuration, or others are to make shards with an endpoint of
            this machine.
        RuntimeError: the endpoint failed, or another process works in the folder.

    Source: folder layout and names of the authors' data set; identity is (Y, P), camera is (X, D).
    """
    if is_url(out):
        return _synthesize_to(StoredSet(str(out)), config, executor)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with only_process(out):
        _claim(config, out)
        if not (out / FILE_NAME).is_file():
            start_s = time.monotonic()
            work = shards(config.synth)
            missing = [shard for shard in work if not _finished(out, shard).is_dir()]
            made = _run(config, missing, out) if executor is None else _run_on(executor, config, missing, out)
            _follow(config, made, missing, len(work))
            _portray(config, out)
            _merge(work, out, seconds=time.monotonic() - start_s)
        for folder in (".people", "shards"):
            shutil.rmtree(out / folder, ignore_errors=True)
        manifest = Manifest.read(out)
        if not (out / CARD_FILE).is_file():
            write_text(out / CARD_FILE, data_card(manifest))
        return manifest


def _synthesize_to(stored: StoredSet, config: Config, executor: Executor | None) -> Manifest:
    """Makes a set at a URL, or finishes it; this machine holds no more of it than the shards that it makes."""
    _require_same(stored.begin(config), config, stored.url)
    whole = stored.manifest()
    if whole is not None:
        return whole
    start_s = time.monotonic()
    work = shards(config.synth)
    there = stored.finished()
    missing = [shard for shard in work if shard.name not in there]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # a stopped worker ends after its frame
        out = Path(folder)
        if executor is None:
            made = _run(config, missing, out, stored)
        else:
            _require_simulators(config)
            results = executor(_make_stored, (config, stored.url), missing)
            made = (None for _, frames in results for _ in range(frames))
        _follow(config, made, missing, len(work))
        save_config(config, out / CONFIG_FILE)
        _portray(config, out)
        if (out / PEOPLE_FILE).is_file():
            stored.put(PEOPLE_FILE, (out / PEOPLE_FILE).read_bytes())
    manifest, parts = stored.collect([shard.name for shard in work])
    stored.put(CARD_FILE, data_card(manifest).encode())
    report = total_report(parts, manifest, seconds=time.monotonic() - start_s)
    stored.end(manifest, report)
    log_counts(report)
    return manifest


def _follow(config: Config, made: Iterator[None], missing: Sequence[Shard], shards_in_all: int) -> None:
    """Shows the progress of the shards that are made."""
    if len(missing) < shards_in_all:
        _logger.info("%d of %d shards are there already", shards_in_all - len(missing), shards_in_all)
    recorded = len(read_poses(Path(config.synth.camera_poses))) if config.synth.camera_poses else 0
    cameras = sum(recorded or config.synth.cameras or usual(shard.scene).cameras for shard in missing)
    for _ in track(made, label="synth", total=cameras * config.synth.instants, unit="frames"):
        pass


def _claim(config: Config, out: Path) -> None:
    """Saves the configuration in a new folder, and compares it in one where something is finished."""
    path = out / CONFIG_FILE
    if not path.is_file() and any(out.iterdir()):
        raise ValueError(
            f"{out} is not empty and holds no {CONFIG_FILE} of 'unrealperson synth'; choose another folder"
        )
    if not (out / FILE_NAME).is_file() and not (out / "shards").is_dir():
        save_config(config, path)
        return
    _require_same(load_config(path), config, out)


def _require_same(begun: Config, config: Config, out: Path | str) -> None:
    for section in ("synth", "crop"):
        old, new = (dataclasses.asdict(getattr(each, section)) for each in (begun, config))
        for key, value in new.items():
            if old[key] != value and key not in FREE_KEYS:
                raise ValueError(
                    f"{out} was begun with {section}.{key} = {old[key]!r}, now it is {value!r}; "
                    "choose another folder or delete this one"
                )


def _finished(out: Path, shard: Shard) -> Path:
    return out / "shards" / shard.name


def _run(config: Config, work: Sequence[Shard], out: Path, stored: StoredSet | None = None) -> Iterator[None]:
    """Makes shards side by side, and moves them to where they are stored; yields once for each frame."""
    if not work:
        return
    workers = 1 if config.synth.endpoint else config.synth.workers or len(os.sched_getaffinity(0))
    workers = min(workers, len(work))
    kept = _KeptPeople(config.synth, work, out)
    stop = threading.Event()
    events: queue.SimpleQueue[Future[None] | None] = queue.SimpleQueue()
    with ThreadPoolExecutor(workers, thread_name_prefix="shard") as pool:
        turns = _in_turn(config.synth, work, workers)
        waiting = [pool.submit(_work, config, shard, out, kept, events, stop, stored) for shard in turns]
        for future in waiting:
            future.add_done_callback(events.put)
        try:
            left = len(work)
            while left:
                event = events.get()
                if event is None:
                    yield
                    continue
                left -= 1
                with contextlib.suppress(_Stopped):
                    event.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_on(executor: Executor, config: Config, work: Sequence[Shard], out: Path) -> Iterator[None]:
    """Has shards made elsewhere; yields once for each frame."""
    _require_simulators(config)
    for index, (frames, packed) in executor(_make_packed, config, work):
        with replacing_folder(_finished(out, work[index])) as folder:
            unpack_folder(packed, folder)
        for _ in range(frames):
            yield


def _require_simulators(config: Config) -> None:
    if config.synth.endpoint:
        raise ValueError("synth.endpoint is one running engine; shards on other machines need simulators: leave it out")


def _make_packed(config: Config, shard: Shard) -> tuple[int, bytes]:
    """How many frames a shard has, and its folder."""
    with tempfile.TemporaryDirectory() as folder:
        frames = sum(1 for _ in _make_shard(config, shard, Path(folder), None))
        return frames, pack_folder(_finished(Path(folder), shard))


def _make_stored(given: tuple[Config, str], shard: Shard) -> int:
    """Puts a shard into the set at a URL; how many frames it has."""
    config, url = given
    with tempfile.TemporaryDirectory() as folder:
        frames = sum(1 for _ in _make_shard(config, shard, Path(folder), None))
        StoredSet(url).add(_finished(Path(folder), shard))
    return frames


class _KeptPeople:
    """Files of people who walk through several scenes, each deleted after the last of them.

    Attributes:
        folder: where they lie; None where nobody is needed twice.
    """

    def __init__(self, config: SynthConfig, work: Sequence[Shard], out: Path) -> None:
        several = len(config.scenes) > 1 and not config.endpoint
        self.folder = out / ".people" if several else None
        self._lock = threading.Lock()
        self._wanted = Counter(file for shard in work for file in self._files(shard))
        if self.folder is not None:
            self.folder.mkdir(exist_ok=True)
            for path in self.folder.iterdir():
                if path not in self._wanted:
                    path.unlink()

    def done(self, shard: Shard) -> None:
        """Deletes whom no other shard needs."""
        with self._lock:
            for path in self._files(shard):
                self._wanted[path] -= 1
                if not self._wanted[path]:
                    path.unlink(missing_ok=True)

    def _files(self, shard: Shard) -> list[Path]:
        if self.folder is None:
            return []
        return [kept_file(self.folder, shard.version, shard.first + order) for order in range(shard.count)]


def _work(
    config: Config,
    shard: Shard,
    out: Path,
    kept: _KeptPeople,
    events: queue.SimpleQueue[Future[None] | None],
    stop: threading.Event,
    stored: StoredSet | None,
) -> None:
    """Makes a shard, unless another has failed; a failure stops the others after their current frame."""
    try:
        if stop.is_set():
            raise _Stopped
        for _ in _make_shard(config, shard, out, kept.folder):
            events.put(None)
            if stop.is_set():
                raise _Stopped
        if stored is not None:
            stored.add(_finished(out, shard))
            shutil.rmtree(_finished(out, shard))
        kept.done(shard)
    except BaseException:
        stop.set()
        raise


def _make_shard(config: Config, shard: Shard, out: Path, people: Path | None) -> Iterator[None]:
    """Captures and crops a shard; yields after each frame."""
    start_s = time.monotonic()
    partial = out / f".partial-{shard.name}"
    shutil.rmtree(partial, ignore_errors=True)
    files = partial / "files"
    files.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    # Scenes number their cameras alike.
    own = f"v{shard.scene}.{shard.version}" if len(config.synth.scenes) > 1 else ""
    with contextlib.closing(capture(config.synth, shard, people=people)) as frames:
        for frame in frames:
            written, reasons = write_crops(frame, files, config.crop, config.synth)
            rows += written
            counts += Counter(frames=1, people_seen=len(frame.colors) - reasons["not_visible"], accepted=len(written))
            rejected += reasons
            if config.synth.keep_frames:
                _write_frame(frame, files / "frames" / own)
            if frame.number == 0:
                _write_images(frame, files / "samples" / own)
            yield
    Manifest.from_rows(rows, partial).write()
    report = {**counts, "rejected": dict(rejected), "seconds": time.monotonic() - start_s}
    (partial / REPORT_FILE).write_text(json.dumps(report), encoding="utf-8")
    finished = _finished(out, shard)
    finished.parent.mkdir(exist_ok=True)
    partial.rename(finished)


def _write_images(frame: Frame, folder: Path) -> str:
    """Writes the frame's two images as PNG; returns the start of their names."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"c{frame.camera:03d}_{frame.number:06d}"
    Image.fromarray(frame.image).save(folder / f"{stem}_lit.png", compress_level=1)
    Image.fromarray(frame.mask).save(folder / f"{stem}_mask.png", compress_level=1)
    return stem


def _write_frame(frame: Frame, folder: Path) -> None:
    stem = _write_images(frame, folder)
    if frame.depth is not None:
        Image.fromarray(frame.depth).save(folder / f"{stem}_depth.png", compress_level=1)
    truth = {
        "scene": frame.scene,
        "version": frame.version,
        "camera": frame.camera,
        "frame": frame.number,
        "time_s": frame.time_s,
        "light": frame.light,
        "view": dataclasses.asdict(frame.view),
        "colors": frame.colors,
        "people": frame.people,
        "hours": frame.hours,
        "camera_pose": frame.camera_pose,
        "attributes": {person: frame.attributes[person] for person in frame.people if person in frame.attributes},
        "objects": frame.objects,
        "driver": frame.driver,
    }
    (folder / f"{stem}_truth.json").write_text(json.dumps(truth, sort_keys=True), encoding="utf-8")


def _portray(config: Config, out: Path) -> None:
    """Pictures the first people, in a process of its own as every renderer."""
    if config.synth.endpoint:
        return
    module = [sys.executable, "-m", "unrealperson.synth.portraits"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [*module, str(out / CONFIG_FILE), str(out / PEOPLE_FILE), str(_PORTRAITS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the people could not be pictured: {done.stderr.strip()[-2000:]}")


def _merge(work: Sequence[Shard], out: Path, *, seconds: float) -> None:
    """Moves the shards' files to their places and writes report and manifest; may be cut off and repeated."""
    parts = []
    tables = []
    for shard in work:
        folder = _finished(out, shard)
        for source in sorted((folder / "files").rglob("*")):
            if source.is_file():
                target = out / source.relative_to(folder / "files")
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
        parts.append(json.loads((folder / REPORT_FILE).read_text(encoding="utf-8")))
        tables.append(Manifest.read(folder).table)
    manifest = Manifest(pa.concat_tables(tables), out)
    lost = [path for path in manifest.path if not (out / path).is_file()]
    if lost:
        raise RuntimeError(
            f"{len(lost)} crops are gone from {out}, the first is {lost[0]}; delete the folder, start again"
        )
    report = total_report(parts, manifest, seconds=seconds)
    write_json(out / REPORT_FILE, report)
    manifest.write()
    log_counts(report)
