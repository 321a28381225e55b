"""Packages as users get them: a source distribution, wheels made of it, and their use far from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from checkout import copy_checkout

import unrealperson

pytestmark = pytest.mark.check

USE = """
import json
import numpy as np
import unrealperson
from unrealperson import ops
x = np.eye(4, dtype=np.float32)
nearest = ops.topk(x, x, k=2).indices[:, 0].tolist()
info = ops.build_info()
print(json.dumps({"file": unrealperson.__file__, "nearest": nearest, **info}))
"""


def run(*command: str, cwd: Path, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=400
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def source_distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run("-c", build, str(folder), cwd=copy_checkout(folder / "checkout"))
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.mark.parametrize("cuda", ["off", "on"])
def test_a_wheel_works_far_from_the_checkout(source_distribution: Path, tmp_path: Path, cuda: str) -> None:
    if cuda == "on" and "CUDACXX" not in os.environ and shutil.which("nvcc") is None:
        pytest.skip("no nvcc on PATH or in CUDACXX")
    wheels, target, elsewhere = tmp_path / "wheels", tmp_path / "target", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = ("-m", "pip", "--disable-pip-version-check", "-q")
    run(
        *pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(wheels), str(source_distribution),
        cwd=elsewhere, UP_CUDA=cuda,
    )  # fmt: skip
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    package = source_distribution.parent / "checkout" / "unrealperson"
    sources = {path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.is_file()}
    assert {"unrealperson/py.typed", "unrealperson/report/demo.html"} <= sources
    (module,) = {name for name in names if name.startswith("unrealperson/")} - sources
    assert module.startswith("unrealperson/ops/_C.") and module.endswith(".so") and sources <= set(names)
    assert {name.split("/")[0] for name in names} == {
        "unrealperson",
        f"unrealperson-{unrealperson.__version__}.dist-info",
    }

    run(*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel), cwd=elsewhere)
    found = json.loads(run("-c", USE, cwd=elsewhere, PYTHONPATH=str(target)))
    assert Path(found["file"]).is_relative_to(target)
    assert found["nearest"] == [0, 1, 2, 3]
    assert found["cuda"] is (cuda == "on") and bool(found["cuda_archs"]) is found["cuda"]
    assert found["version"] == unrealperson.__version__
    version = run("-m", "unrealperson.cli", "--version", cwd=elsewhere, PYTHONPATH=str(target))
    assert version == f"unrealperson {unrealperson.__version__}\n"
