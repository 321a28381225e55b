"""Builds the native module with CMake; everything else about the package stands in pyproject.toml."""

import glob
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


def program(name: str) -> str:
    """Path of a build tool: beside this interpreter, where pip puts it, or on PATH."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is needed to build unrealperson and was not found; fix: pip install {name}")
    return found


class CMakeBuild(build_ext):
    """Runs CMake once; environment UP_CUDA (auto, on, off), UP_SANITIZE and CMAKE_ARGS reach it."""

    def build_extension(self, ext: Extension) -> None:
        import pybind11

        source = Path(__file__).parent.resolve()
        folder = Path(self.get_ext_fullpath(ext.name)).resolve().parent
        build = source / "build" / f"native-{sys.implementation.cache_tag}"
        configure = [
            program("cmake"),
            *("-S", str(source), "-B", str(build), "-G", "Ninja"),
            f"-DCMAKE_MAKE_PROGRAM={program('ninja')}",
            f"-DCMAKE_LIBRARY_OUTPUT_DIRECTORY={folder}",
            f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}",
            f"-DUP_VERSION={self.distribution.get_version()}",
            f"-DUP_CUDA={os.environ.get('UP_CUDA', 'auto')}",
            f"-DUP_SANITIZE={os.environ.get('UP_SANITIZE', '')}",
            *os.environ.get("CMAKE_ARGS", "").split(),
        ]
        # A build folder made by pip's isolated environment names tools that are gone afterwards.
        if build.exists() and subprocess.run(configure).returncode != 0:
            shutil.rmtree(build)
        subprocess.run(configure, check=True)
        subprocess.run([program("cmake"), "--build", str(build)], check=True)


# `depends` is what brings these files into the source distribution.
native = Extension(
    "unrealperson.ops._C",
    sources=[],
    depends=["CMakeLists.txt", *sorted(filter(os.path.isfile, glob.glob("csrc/**", recursive=True)))],
)
setup(ext_modules=[native], cmdclass={"build_ext": CMakeBuild})
