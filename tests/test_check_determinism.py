"""One configuration and seed in two places that differ in all that must not count: every stage gives the same.

The places differ in the package's folder, home, user, locale, time zone, text encoding, hash seed, temporary folder,
working folder, threads of each library, and numbers of workers. Only torch's threads change bits: sums of gradients are
split among them, so learning is compared with one thread, and beside it, roughly, with two.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from checkout import ROOT, copy_checkout

pytestmark = pytest.mark.check

STAGES = """
import hashlib, json, sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import unrealperson
from unrealperson.config import Config, CropConfig, EvaluateConfig, SearchConfig, SynthConfig, TrainConfig
from unrealperson.crop import crop_folder
from unrealperson.synth.shards import synthesize

out, workers, threads = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
synth = SynthConfig(people=8, test_people=4, people_per_batch=4, cameras=2, instants=3, lights=2, width=320, height=240,
                    keep_frames=True, workers=workers)
config = Config(
    synth=synth, crop=CropConfig(min_pixels=60, border=1, min_area=60),
    train=TrainConfig(height=64, width=32, epochs=2, decay_epoch=1, pad=2, cameras_per_batch=2,
                      identities_per_camera=2, images_per_identity=2, workers=workers - 1),
)
told = {"package": str(Path(unrealperson.__file__).parent)}

def digest(folder, *patterns):
    found = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in folder.rglob(pattern)):
        found.update(path.relative_to(folder).as_posix().encode() + b"\\0" + path.read_bytes())
    return found.hexdigest()

made = synthesize(config, out / "set")
told["rows"], told["crops"], told["manifest"] = len(made), digest(out / "set", "*.jpg"), made.sha256()
told["frames"] = digest(out / "set" / "frames", "*.png", "*.json")
again = crop_folder(out / "set" / "frames", out / "cropped", config.crop)
told["cropped"] = [again.sha256(), digest(out / "cropped", "*.jpg")]

import onnx
import torch
from safetensors.torch import load_file

from unrealperson.evaluate import evaluate_run, extract_run
from unrealperson.export.convert import export
from unrealperson.gallery import Gallery
from unrealperson.train import train

torch.set_num_threads(1)
run = train(made, config, out / "run")
found = hashlib.sha256()
for name, value in sorted(load_file(run / "model.safetensors").items()):
    found.update(name.encode() + value.numpy().tobytes())
told["weights"] = found.hexdigest()
def losses(run):
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]

told["loss"] = losses(run)
vectors = extract_run(run, made, config).vectors
told["features"] = hashlib.sha256(vectors.tobytes()).hexdigest()
scores = evaluate_run(run, out / "set", None, replace(config, evaluate=EvaluateConfig(rerank=True)))
told["scores"] = {name: scores[name] for name in ("map", "minp", "interval")}
export(run, out / "model.onnx", config, made)
graph = onnx.load(out / "model.onnx").graph  # the metadata beside it tell how long training took
told["onnx"] = hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()
Gallery.build(out / "model.onnx", made, out / "gallery", SearchConfig())
told["gallery"] = digest(out / "gallery", "*.npy", "*.arrow")
if threads > 1:
    torch.set_num_threads(threads)
    told["loss of threads"] = losses(train(made, config, out / "threads"))
    told["cosine of threads"] = float((extract_run(run, made, config).vectors * vectors).sum(1).min())
print(json.dumps(told))
"""
BYTES = ("rows", "crops", "manifest", "frames", "cropped", "weights", "loss", "features", "scores", "onnx", "gallery")


def start(place: Path, package: Path, *, workers: int, threads: int, **environment: str) -> subprocess.Popen[str]:
    """Runs all stages in a place of its own."""
    for name in ("home", "tmp", "work"):
        (place / name).mkdir(parents=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON", "OMP"))}
    cache = os.environ.get("UNREALPERSON_CACHE", str(Path.home() / ".cache" / "unrealperson"))
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "LP_NUM_THREADS")
    own = kept | dict.fromkeys(counts, str(threads)) | {
        "HOME": str(place / "home"), "TMPDIR": str(place / "tmp"), "PYTHONPATH": str(package), "USER": place.name,
        "UNREALPERSON_CACHE": cache,  # the body's mesh, read once
        **environment,
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", STAGES, str(place / "out"), str(workers), str(threads)],
        cwd=place / "work", env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    told, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    return json.loads(told.splitlines()[-1])


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    for name in ("panda3d", "unrealcv", "anny", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the stages need {name}: pip install 'unrealperson[synth,cpu]'")
    folder = tmp_path_factory.mktemp("places")
    copy = copy_checkout(folder / "another place ü")
    for module in (ROOT / "unrealperson").rglob("*.so"):
        shutil.copy2(module, copy / module.relative_to(ROOT))
    here = start(folder / "first", ROOT, workers=1, threads=1, LC_ALL="C", TZ="UTC", PYTHONHASHSEED="1", PYTHONUTF8="0")
    one = finish(here)
    there = start(
        folder / "second", copy, workers=2, threads=2, LC_ALL="C.UTF-8", TZ="Pacific/Kiritimati", PYTHONHASHSEED="2",
        PYTHONUTF8="1",
    )  # fmt: skip
    two = finish(there)
    assert one["package"] == str(ROOT / "unrealperson") and two["package"] == str(copy / "unrealperson")
    return one, two


@pytest.mark.parametrize("stage", BYTES)
def test_every_stage_is_the_same_in_another_place(places: tuple[dict[str, Any], dict[str, Any]], stage: str) -> None:
    one, two = places
    assert one["rows"] >= 8 and one[stage] == two[stage]


def test_threads_of_torch_change_little(places: tuple[dict[str, Any], dict[str, Any]]) -> None:
    two = places[1]
    assert two["loss of threads"] == pytest.approx(two["loss"], rel=1e-2)
    assert two["cosine of threads"] > 0.9999
