"""A tiny site: data set, run, model, gallery, and for each verb what it makes where nobody disturbs it."""

from __future__ import annotations

import functools
import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from trials.boxes import show_boxes
from trials.running import ROOT, Hinder, run
from unrealperson.config import Config, SynthConfig, format_config
from unrealperson.data.manifest import Manifest

SIZE = {"people": 6, "test-people": 2, "people-per-batch": 3, "cameras": 2, "instants": 4, "lights": 1,
        "width": 160, "height": 120, "workers": 1, "interval-s": 0.05, "timeout-s": 100}  # fmt: skip
CROP = {"min-pixels": 60, "border": 1, "min-area": 60}
TRAIN = {"backbone": "osnet_x0_25", "weights": "none", "height": 64, "width": 32, "epochs": 2, "decay-epoch": 2,
         "pad": 2, "cameras-per-batch": 2, "identities-per-camera": 2, "images-per-identity": 2,
         "checkpoint-minutes": 1e-4}  # fmt: skip
ADAPT = {"method": "cluster_contrast", "epochs": 2, "steps": 2, "identities": 2, "images-per-identity": 2, "k1": 4,
         "k2": 2, "min-samples": 2, "score-every": 0}  # fmt: skip


def flags(section: str, settings: dict[str, Any]) -> list[str]:
    """Settings as flags of a section.

    Args:
        section: of the configuration.
        settings: key -> value.
    """
    return [word for key, value in settings.items() for word in (f"--{section}.{key}", str(value))]


def digests(folder: Path, *skipped: str) -> dict[str, str]:
    """SHA-256 of each file below a folder but those of the given names.

    Args:
        folder: where.
        skipped: names of files that are left out.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in skipped]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@dataclass(frozen=True)
class Task:
    """A verb with its inputs.

    Attributes:
        name: of the verb.
        arguments: of the command line, for a folder to write.
        result: what counts of what it made there, the same after each undisturbed run.
        finished: what is finished there while it still runs, and must be there in the end too.
        prepare: brings the folder to where the verb starts.
        hinder: called in the verb's process before it.
    """

    name: str
    arguments: Callable[[Path], list[str]]
    result: Callable[[Path], Any]
    finished: Callable[[Path], set[Any]]
    prepare: Callable[[Path], None] = lambda out: None
    hinder: Hinder | None = None


class Site:
    """Everything below one folder; what the same code has made there already is taken as it is.

    Attributes:
        root: the folder, one for each state of the package.
        tasks: by name.
    """

    def __init__(self, root: Path) -> None:
        code = sorted((ROOT / "unrealperson").rglob("*.py"))
        root = root / hashlib.sha256(b"".join(path.read_bytes() for path in code)).hexdigest()[:12]
        self.root = root
        (root / "wanted").mkdir(parents=True, exist_ok=True)
        (root / "boxes.toml").write_text(format_config(Config(synth=SynthConfig(
            people=6, test_people=2, people_per_batch=3, cameras=2, instants=4, lights=1, width=160, height=120,
            interval_s=0.05,
        ))))  # fmt: skip
        self.tasks = {task.name: task for task in self._tasks()}

    def data(self) -> Path:
        """The synthetic set."""
        return self.wanted("synth")[0]

    def wanted(self, name: str) -> tuple[Path, Any, float]:
        """Where a verb's undisturbed output lies, what counts of it, and the verb's CPU seconds.

        Args:
            name: of the task.
        """
        task = self.tasks[name]
        out, told = self.root / "wanted" / name, self.root / "wanted" / f"{name}.txt"
        if not told.is_file():
            shutil.rmtree(out, ignore_errors=True)
            task.prepare(out)
            end = run(*task.arguments(out), hinder=task.hinder)
            if end.status != 0:
                raise RuntimeError(f"'{name}' fails undisturbed: {end.words}")
            told.write_text(str(end.cpu_s))
        return out, _kept_result(task, out), float(told.read_text())

    @functools.cached_property
    def model(self) -> Path:
        """A small ONNX file."""
        from encoders import make_model

        path = self.root / "model.onnx"
        return path if path.is_file() else make_model(path)

    @functools.cached_property
    def crops(self) -> Path:
        """Half of the set's crops, as PNG and JPEG files without a manifest, in two folders."""
        folder = self.root / "crops"
        if not folder.is_dir():
            manifest, partial_folder = Manifest.read(self.data()), self.root / "crops.partial"
            for row in range(24):
                with Image.open(manifest.image_path(row % len(manifest))) as image:
                    suffix = (".png", ".jpg")[row % 2]
                    path = partial_folder / str(row // 12) / f"{row % 4 + 1:04d}_c{row % 2 + 1}s1_{row:06d}_00{suffix}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    image.rotate(row).save(path)
            partial_folder.rename(folder)
        return folder

    @functools.cached_property
    def original(self) -> Path:
        """A frame, its colours and poses as the original's toolkit writes them."""
        folder = self.root / "original"
        if not folder.is_dir():
            samples = self.data() / "samples"
            folder.mkdir()
            for kind in ("lit", "mask"):
                shutil.copyfile(next(samples.glob(f"c001_*_{kind}.png")), folder / f"c001_0_{kind}.png")
            with Image.open(folder / "c001_0_mask.png") as mask:
                shown = np.unique(np.asarray(mask).reshape(-1, 3), axis=0)
            named = {f"MHMainClass_C_{number}": "(R={},G={},B={},A=255)".format(*color)
                     for number, color in enumerate(color for color in shown.tolist() if any(color))}  # fmt: skip
            (folder / "object_color.pkl").write_bytes(pickle.dumps(named))
            rows = [(f"-100.000 {25 * number}.500 300.000", "-15.000 90.000 0.000") for number in range(9)]
            (folder / "caminfo_1.pkl").write_bytes(pickle.dumps(rows))
        return folder

    def _tasks(self) -> list[Task]:
        synth, crop, train = flags("synth", SIZE), flags("crop", CROP), flags("train", TRAIN)
        return [
            Task(
                "synth", lambda out: ["synth", "--out", str(out), *synth, *crop],
                lambda out: (Manifest.read(out).sha256(), digests(out, "report.json", "manifest.parquet")),
                _shards, hinder=partial(show_boxes, str(self.root / "boxes.toml")),
            ),
            Task(
                "train", lambda out: ["train", "--data", str(self.data()), "--out", str(out), *train],
                _training, _lines,
            ),
            Task(
                "adapt", lambda out: ["adapt", "--run", str(self.wanted("train")[0]), "--target", str(self.data()),
                                      "--out", str(out), *flags("adapt", ADAPT)],
                _training, _lines,
            ),
            Task(
                "index", lambda out: ["index", "--model", str(self.model), "--data", str(self.crops),
                                      "--out", str(out)],
                digests, lambda out: set(),
            ),
            Task(
                "gallery add", lambda out: ["gallery", "add", "--gallery", str(out), "--data", str(self.crops / "1")],
                digests, _rows, prepare=self._half_gallery,
            ),
            Task(
                "extract", lambda out: ["extract", "--run", str(self.wanted("train")[0]), "--data", str(self.crops),
                                        "--out", str(out)],
                lambda out: hashlib.sha256(out.read_bytes()).hexdigest(), lambda out: set(),
            ),
        ]  # fmt: skip

    def _half_gallery(self, out: Path) -> None:
        """A gallery of the first folder of crops, whose root is that of both."""
        from unrealperson.config import SearchConfig
        from unrealperson.data.sources import read_images
        from unrealperson.gallery import Gallery

        kept = self.root / "galleries" / "half"  # not beside its crops, so that it names them by their whole path
        if not kept.is_dir():
            rows = read_images(self.crops)
            Gallery.build(self.model, rows.select(np.arange(12)), kept, SearchConfig(precision="int8"))
        shutil.copytree(kept, out)


def _kept_result(task: Task, out: Path) -> Any:
    return task.result(out)


def _shards(out: Path) -> set[Any]:
    """Files of finished shards: they are moved afterwards, never written again."""
    return {path.stat().st_ino for path in [*out.glob("shards/*/files/**/*.jpg"), *out.glob("unreal_*/**/*.jpg")]}


def _lines(out: Path) -> set[Any]:
    """Lines of the record that the checkpoint counts."""
    from unrealperson.checkpoint import load_state

    if not (out / "model.safetensors").is_file():
        return set()
    state, path = load_state(out), out / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]
    return {json.dumps(line) for line in lines if line["step"] <= state.step}


def _rows(out: Path) -> set[Any]:
    from unrealperson.gallery import Gallery

    gallery = Gallery.open(out)
    vectors = gallery.features.astype(np.float32)  # of one segment they come as they are stored
    return {(path, vector.tobytes()) for path, vector in zip(gallery.manifest.path, vectors, strict=True)}


def _training(out: Path) -> Any:
    """Weights, losses and other files: all but times and paths."""
    timed = ("seconds", "images_per_s", "run", "data")
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    weights = {name: hashlib.sha256(value.tobytes()).hexdigest()
               for name, value in load_file(out / "model.safetensors").items()}  # fmt: skip
    steady = [{key: value for key, value in line.items() if key not in timed} for line in lines]
    return weights, steady, digests(out, "metrics.jsonl", "model.safetensors", "report.html")
