"""Configuration: one frozen dataclass per stage, a file each, read from TOML.

An unknown section or key is an error that names the nearest valid one. The resolved
configuration is saved beside every output with `save_config`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unrealperson.config.adapt import AdaptConfig
from unrealperson.config.crop import CropConfig
from unrealperson.config.evaluate import EvaluateConfig
from unrealperson.config.export import ExportConfig
from unrealperson.config.fit import FitConfig
from unrealperson.config.harden import HardenConfig
from unrealperson.config.search import SearchConfig
from unrealperson.config.serve import ServeConfig
from unrealperson.config.synth import SynthConfig
from unrealperson.config.train import TrainConfig
from unrealperson.files import write_text

__all__ = [
    "AdaptConfig",
    "Config",
    "CropConfig",
    "EvaluateConfig",
    "ExportConfig",
    "FitConfig",
    "HardenConfig",
    "SearchConfig",
    "ServeConfig",
    "SynthConfig",
    "TrainConfig",
    "build_section",
    "format_config",
    "load_config",
    "parse_config",
    "save_config",
]

CONFIG_VERSION = 1

T = typing.TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Config:
    """All sections; a TOML file may hold any of them."""

    synth: SynthConfig = field(default_factory=SynthConfig)
    crop: CropConfig = field(default_factory=CropConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    harden: HardenConfig = field(default_factory=HardenConfig)
    serve: ServeConfig = field(default_factory=ServeConfig)


def load_config(path: str | Path | None = None) -> Config:
    """Reads a TOML file into a `Config`; what the file leaves out keeps its default.

    Args:
        path: TOML file, or None for the defaults.

    Raises:
        ValueError: unknown section or key, wrong type, value out of range, or not TOML.
        FileNotFoundError: no such file.
    """
    if path is None:
        return Config()
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such configuration file: {path}")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}") from error
    return parse_config(document, str(path))


def parse_config(document: dict[str, Any], where: str) -> Config:
    """Builds a `Config` from sections; what they leave out keeps its default.

    Args:
        document: section name -> key -> value, as TOML or JSON give them.
        where: what the sections come from, for messages.

    Raises:
        ValueError: unknown section or key, wrong type, or value out of range.
    """
    document = dict(document)
    version = document.pop("version", CONFIG_VERSION)
    if version != CONFIG_VERSION:
        raise ValueError(f"{where} has format version {version}; this release reads version {CONFIG_VERSION}")
    sections = {section.name: section for section in dataclasses.fields(Config)}
    built = {}
    for name, table in document.items():
        if name not in sections:
            raise ValueError(f"{where}: unknown section [{name}]{_nearest(name, sections)}")
        if not isinstance(table, dict):
            raise ValueError(f"{where}: '{name}' must be a section, written [{name}], got {table!r}")
        built[name] = build_section(typing.get_type_hints(Config)[name], table, where=f"{where}: [{name}]")
    return Config(**built)


def format_config(config: Config) -> str:
    """A `Config` as TOML that `load_config` reads back unchanged.

    Args:
        config: what to write.
    """
    lines = [f"version = {CONFIG_VERSION}"]
    for section in dataclasses.fields(config):
        lines += ["", f"[{section.name}]"]
        values = getattr(config, section.name)
        lines += [f"{key.name} = {_toml(getattr(values, key.name))}" for key in dataclasses.fields(values)]
    return "\n".join(lines) + "\n"


def save_config(config: Config, path: str | Path) -> None:
    """Writes what `format_config` gives.

    Args:
        config: what to save.
        path: file to write; it appears complete or not at all.
    """
    write_text(path, format_config(config))


def build_section(section: type[T], table: dict[str, Any], *, where: str) -> T:
    """Builds one section, a frozen dataclass, from its keys; what they leave out keeps its default.

    Args:
        section: the dataclass.
        table: key -> value.
        where: what the keys come from, for messages.

    Raises:
        ValueError: unknown key, wrong type, or value out of range.
    """
    keys = {key.name: key for key in dataclasses.fields(section)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(section)
    values = {}
    for name, value in table.items():
        if name not in keys:
            raise ValueError(f"{where} has unknown key '{name}'{_nearest(name, keys)}")
        values[name] = _convert(value, hints[name], where=f"{where} {name}")
    try:
        return section(**values)
    except ValueError as error:
        raise ValueError(f"{where} {error}") from error


def _convert(value: Any, hint: Any, *, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ValueError(f"{where} must be one of {', '.join(map(repr, choices))}, got {value!r}")
        return value
    if origin is tuple and isinstance(value, list):
        wanted = [item for item in typing.get_args(hint) if item is not ...]
        if ... not in typing.get_args(hint) and len(value) != len(wanted):
            raise ValueError(f"{where} must be {len(wanted)} values, got {value!r}")
        return tuple(_convert(item, typing.get_args(hint)[0], where=where) for item in value)
    if hint is float and type(value) is int:
        value = float(value)
    expected = origin or hint
    if isinstance(expected, types.UnionType) or type(value) is not expected:
        raise ValueError(f"{where} must be {getattr(expected, '__name__', expected)}, got {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where} must be a finite number, got {value!r}")
    return value


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value)


def _nearest(name: str, valid: typing.Iterable[str]) -> str:
    valid = list(valid)
    close = difflib.get_close_matches(name, valid, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; valid ones are {', '.join(valid)}"
