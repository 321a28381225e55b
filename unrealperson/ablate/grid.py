"""The TOML grid of an ablation: a base configuration, axes of changes to it, seeds, and sets to score on."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from unrealperson.config import Config, build_section, parse_config
from unrealperson.config.check import require

BASE = "base"
"""Name of the cell without any change."""

Change = tuple[str, str, dict[str, Any]]
"""Axis, value, and the sections with the keys that it sets."""


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """Section [grid]: which cells there are, and how long each trains."""

    design: Literal["each", "all"] = "each"
    """The base and each value of each axis alone, or every combination of the axes' values."""
    seeds: tuple[int, ...] = (0,)
    """Each cell is trained once for each: initial weights, sampler, augmentation, and what is drawn from the pool."""
    images: int = 0
    """Images that each cell sees in training, in train.epochs epochs; 0: epochs are passes over the cell's own data."""

    def __post_init__(self) -> None:
        require(
            bool(self.seeds) and len(set(self.seeds)) == len(self.seeds) and min(self.seeds) >= 0,
            f"seeds must be different numbers from 0, at least one, got {list(self.seeds)}",
        )
        require(self.images >= 0, f"images must not be negative, got {self.images}")


@dataclass(frozen=True, kw_only=True)
class PoolConfig:
    """Section [pool]: the crops that a cell trains on."""

    folders: tuple[str, ...] = ()
    """Data sets that are there already, merged; none: the pool is synthesised as [synth] and [crop] say."""
    where: tuple[str, ...] = ()
    """Take only rows that meet all of these, such as "scene=1" or "hours=day" (as data subset)."""
    cameras: int = 0
    """Draw so many of the cameras; 0: all."""
    identities: int = 0
    """Draw so many of the identities; 0: all."""
    per_identity: int = 0
    """Draw at most so many images of each identity; 0: all."""
    images: int = 0
    """Draw so many images in the end; 0: all."""

    def __post_init__(self) -> None:
        for name in ("cameras", "identities", "per_identity", "images"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True)
class Cell:
    """One way to train, without its seed.

    Attributes:
        name: "base", or "axis=value" of each change, joined by commas.
        values: value of each changed axis.
        config: all sections.
        pool: what it trains on.
    """

    name: str
    values: Mapping[str, str]
    config: Config
    pool: PoolConfig


@dataclass(frozen=True)
class Grid:
    """A whole ablation.

    Attributes:
        settings: section [grid].
        cells: in the order of the file, the base first.
        sets: folders of labelled crops by their names, what each cell is scored on.
    """

    settings: GridConfig
    cells: tuple[Cell, ...]
    sets: Mapping[str, Path]

    def chosen(self, patterns: Sequence[str]) -> list[Cell]:
        """The cells that one of the patterns names; all without any.

        Args:
            patterns: names of cells, in which * stands for any text.

        Raises:
            ValueError: a pattern that names none.
        """
        for pattern in patterns:
            if not any(fnmatchcase(cell.name, pattern) for cell in self.cells):
                names = ", ".join(cell.name for cell in self.cells)
                raise ValueError(f"no cell is named {pattern!r}; there are {names}")
        return [cell for cell in self.cells if not patterns or any(fnmatchcase(cell.name, each) for each in patterns)]


def load_grid(path: str | Path, base: str | Path | None = None, *, images: int = 0) -> Grid:
    """Reads a grid and checks every cell of it.

    Args:
        path: TOML file with the sections of a configuration, which make the base, and [grid], [pool], [sets] and
            [axes.NAME]; a value of an axis is a table of changes: strong = {train.jitter = 0.4, pool.cameras = 6}.
        base: configuration file that the grid's own sections change; None: the defaults.
        images: in place of the grid's own number of images that each cell sees; 0 leaves it.

    Raises:
        ValueError: not TOML, an unknown key, a value out of range, no set, or two cells alike.
        FileNotFoundError: no such file, or a set that is not there.
    """
    path = Path(path)
    document = _read(path)
    axes, sets = document.pop("axes", {}), document.pop("sets", {})
    settings = build_section(GridConfig, _table(document.pop("grid", {}), f"{path}: [grid]"), where=f"{path}: [grid]")
    if images:
        settings = replace(settings, images=images)
    if base is not None:
        document = _merged(_read(Path(base)), document)
    if not _table(sets, f"{path}: [sets]"):
        raise ValueError(f"{path} names no set to score on; write [sets] with NAME = FOLDER of labelled crops")
    for name, folder in sets.items():
        if not isinstance(folder, str) or not Path(folder).exists():
            raise FileNotFoundError(f"{path}: [sets] {name} = {folder!r} is no folder; paths start where you are")
    cells = [_cell(path, document, changes) for changes in _combinations(path, axes, settings.design)]
    seen: dict[tuple[Config, PoolConfig], str] = {}
    for cell in cells:
        twin = seen.setdefault((cell.config, cell.pool), cell.name)
        if twin != cell.name:
            raise ValueError(f"{path}: {twin} and {cell.name} are the same cell; leave one out")
    return Grid(settings, tuple(cells), {name: Path(folder) for name, folder in sets.items()})


def _combinations(path: Path, axes: Any, design: str) -> Iterator[list[Change]]:
    """Changes of each cell."""
    columns: list[list[Change]] = []
    for axis, values in _table(axes, f"{path}: [axes]").items():
        where = f"{path}: [axes.{axis}]"
        named = _table(values, where).items()
        columns.append([(axis, value, _table(changes, f"{where} {value}")) for value, changes in named])
    yield []
    if design == "each":
        yield from ([change] for column in columns for change in column)
    else:
        every = itertools.product(*([None, *column] for column in columns))
        yield from (chosen for each in every if (chosen := [change for change in each if change]))


def _cell(path: Path, document: dict[str, Any], changes: list[Change]) -> Cell:
    values = {axis: value for axis, value, _ in changes}
    name = ",".join(f"{axis}={value}" for axis, value in values.items()) or BASE
    where = str(path) if not changes else f"{path}: cell {name}"
    for _, _, sets in changes:
        document = _merged(document, sets)
    drawn = _table(document.get("pool", {}), f"{where}: [pool]")
    pool = build_section(PoolConfig, drawn, where=f"{where}: [pool]")
    config = parse_config({key: value for key, value in document.items() if key != "pool"}, where)
    return Cell(name, values, config, pool)


def _merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Sections with the keys of others in place of their own."""
    merged = dict(document)
    for name, value in changes.items():
        both = isinstance(merged.get(name), dict) and isinstance(value, dict)
        merged[name] = {**merged[name], **value} if both else value
    return merged


def _table(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a table such as {{train.jitter = 0.4}}, got {value!r}")
    return value


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
