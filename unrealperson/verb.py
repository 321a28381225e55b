"""What every verb of the command line is: inputs, outputs, configuration sections, and one call."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from unrealperson.config import Config, load_config
from unrealperson.executor import Executor, RayCluster

OptionalPath = Annotated[Path | None, tyro.conf.arg(metavar="PATH")]
Place = Annotated[str, tyro.conf.arg(metavar="PATH|URL")]
"""A folder of this machine, or one that a URL such as s3://bucket/folder names."""
VALUED = tyro.conf.FlagConversionOff  # --section.key takes a value, booleans too
Switch = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True, kw_only=True)
class Verb(ABC):
    """A verb of the command line; its fields are its flags, its docstring their help."""

    config: OptionalPath = None
    """TOML file with configuration sections; flags on the command line win over it."""
    verbose: Annotated[Switch, tyro.conf.arg(aliases=["-v"])] = False
    """Show debug lines, and the traceback of an error."""
    quiet: Switch = False
    """Show only warnings and errors."""
    log_json: Switch = False
    """Write log lines as JSON objects."""

    summary: ClassVar[str]
    resumes: ClassVar[bool] = False
    """Whether the same command goes on where it was stopped."""

    @abstractmethod
    def execute(self) -> int | None:
        """Runs the stage; returns the exit status where it is not 0."""

    @classmethod
    def base_config(cls, arguments: list[str]) -> Path | None:
        """The file whose settings hold where the command line names no --config; None: the defaults."""
        return None

    def resolved(self) -> Config:
        """The configuration file with the sections of this verb in place of its own."""
        given = {
            section.name: getattr(self, section.name)
            for section in dataclasses.fields(Config)
            if hasattr(self, section.name)
        }
        return dataclasses.replace(load_config(self.config), **given)


@dataclass(frozen=True, kw_only=True)
class ShardedVerb(Verb):
    """A verb whose work is divided into shards that any machine can make."""

    executor: Literal["processes", "ray"] = "processes"
    """Who makes the shards: processes of this machine, or tasks of a Ray cluster; the output is the same."""
    ray_address: str = ""
    """host:port of a running Ray cluster; left out: RAY_ADDRESS, or Ray is started here for this run."""

    @contextmanager
    def cluster(self) -> Iterator[Executor | None]:
        """The cluster while the block runs, or None for this machine's processes.

        Raises:
            ValueError: an address without the executor that it is for.
            RuntimeError: no such cluster.
        """
        if self.executor == "processes":
            if self.ray_address:
                raise ValueError("--ray-address is for --executor ray; give both, or neither")
            yield None
            return
        cluster = RayCluster(self.ray_address)
        try:
            yield cluster
        finally:
            cluster.close()


def require_no_folder(out: Path, example: str) -> None:
    """Refuses a folder where a file is to be written, before the minutes of work that the file is the last step of.

    Args:
        out: file to write.
        example: name that it could have.

    Raises:
        ValueError: it is a folder.
    """
    if out.is_dir():
        raise ValueError(f"{out} is a folder; give the file to write, such as {out / example}")
