"""Parts and unions of data sets: filters, seeded draws, splits by identity, and the folders that hold the result."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from unrealperson.cards import CARD_FILE, data_card
from unrealperson.data.manifest import COLUMNS, Manifest
from unrealperson.data.sources import read_bytes
from unrealperson.files import replacing_folder, write_text
from unrealperson.log import get_logger
from unrealperson.schema import UNKNOWN

_logger = get_logger(__name__)
_condition = re.compile(r"\s*(\w+)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*")
PEOPLE_KEYS = (
    "seed",
    "body",
    "colors",
    "clothes",
    "accessories",
    "textures",
    "pictures",
    "picture_share",
    "groups",
)
"""Keys of [synth] that a person (Y, P) depends on."""
_PID_STEP, _CAMID_STEP = 10**12, 10**9


def where(manifest: Manifest, conditions: Iterable[str]) -> Manifest:
    """Rows that meet all conditions.

    Args:
        manifest: rows to choose among.
        conditions: texts such as "visibility>=0.5", "split=train", "hours!=night" or "gender=female": a column or an
            attribute, one of = != > >= < <=, and a value. Unknown values meet only !=.

    Raises:
        ValueError: no condition, an unknown name, or a comparison by size with something that is no number.
    """
    chosen = np.ones(len(manifest), dtype=bool)
    for text in conditions:
        match = _condition.fullmatch(text)
        if match is None:
            raise ValueError(f"a condition must be NAME=VALUE, or with != > >= < <=, got '{text}'")
        chosen &= _meets(manifest, *match.groups())
    return manifest.select(chosen)


def draw(
    manifest: Manifest,
    *,
    identities: int = 0,
    per_identity: int = 0,
    seed: int = 0,
) -> Manifest:
    """A random part of a data set, in the order of its rows.

    The same seed draws the same identities whatever `per_identity` is.

    Args:
        manifest: rows to draw from.
        identities: how many known identities to keep; 0 keeps all, and the images without identity.
        per_identity: most images to keep of each identity; 0 keeps all.
        seed: of the draw.

    Raises:
        ValueError: negative numbers, or more identities than there are.

    Source: 3,000 identities with 40 images each train the paper's main model (section 4.2).
    """
    if identities < 0 or per_identity < 0:
        raise ValueError(f"identities and per_identity must be 0 or more, got {identities} and {per_identity}")
    if identities > len(manifest.identities):
        raise ValueError(f"{identities} identities are wanted, {len(manifest.identities)} are there")
    rng = np.random.default_rng(seed)
    chosen = np.ones(len(manifest), dtype=bool)
    order = rng.permutation(manifest.identities)
    if identities:
        chosen = np.isin(manifest.pid, order[:identities])
    if per_identity:
        for pid, rows in _rows_by_identity(manifest, np.flatnonzero(chosen)):
            # A generator of its own: the draw of one identity does not depend on which others are kept.
            own = np.random.default_rng([seed, pid])
            chosen[own.permutation(rows)[per_identity:]] = False
    return manifest.select(chosen)


def split_identities(manifest: Manifest, test: int, *, seed: int = 0) -> Manifest:
    """Marks some identities as test and all others as train; nobody is in both.

    Args:
        manifest: rows to mark; images without identity are marked as train.
        test: how many identities to test with.
        seed: of the draw.

    Raises:
        ValueError: fewer than 1, or no identity left to train with.
    """
    if not 0 < test < len(manifest.identities):
        raise ValueError(f"test must lie in 1 ... {len(manifest.identities) - 1} identities, got {test}")
    drawn = np.random.default_rng(seed).permutation(manifest.identities)[:test]
    return manifest.replaced("split", np.where(np.isin(manifest.pid, drawn), "test", "train").tolist())


def one_identity_per_image(manifest: Manifest) -> Manifest:
    """Training images, each as an identity of its own: what learning without labels tells apart.

    Args:
        manifest: images; rows with split "train" are chosen, all where no row has a split.

    Raises:
        ValueError: fewer than two images to train on.
    """
    split = manifest.split
    chosen = manifest.select(split == "train" if (split != "").any() else slice(None))
    if len(chosen) < 2:
        raise ValueError(f"{manifest.root} has {len(chosen)} images to train on; learning tells at least 2 apart")
    return chosen.replaced("pid", np.arange(len(chosen)))


def draw_queries(manifest: Manifest, *, seed: int = 0) -> Manifest:
    """Marks one random image of each identity and camera as query and all others as gallery.

    Only identities that two cameras saw get queries; where cameras are not known, one image of each identity with two
    images or more is a query.

    Args:
        manifest: rows to mark.
        seed: of the draw.

    Raises:
        ValueError: nobody can be a query.
    """
    rng = np.random.default_rng(seed)
    split = np.full(len(manifest), "gallery", dtype="<U7")
    cameras_known = bool((manifest.camid != UNKNOWN).any())
    for _, rows in _rows_by_identity(manifest, np.arange(len(manifest))):
        cameras = np.unique(manifest.camid[rows])
        cameras = cameras[cameras != UNKNOWN]
        if cameras_known and len(cameras) > 1:
            for camera in cameras.tolist():
                split[rng.choice(rows[manifest.camid[rows] == camera])] = "query"
        elif not cameras_known and len(rows) > 1:
            split[rng.choice(rows)] = "query"
    if not (split == "query").any():
        raise ValueError(
            f"{manifest.root} has no identity that two cameras saw (or two images of one, where cameras are unknown); "
            "nobody can be a query"
        )
    if not cameras_known:
        _logger.warning("%s: no camera is known, so matches within one camera count as well", manifest.root)
    return manifest.replaced("split", split.tolist())


def merge(manifests: Sequence[Manifest]) -> Manifest:
    """One manifest of several data sets, whose people and cameras stay apart where they are not the same.

    Synthetic sets whose people come from one seed and wardrobe share identities (Y, P) and cameras (X, D). Every other
    set gets numbers of its own.

    Args:
        manifests: at least one.

    Raises:
        ValueError: none given, or one file in two of them.
    """
    if not manifests:
        raise ValueError("manifests must hold at least one manifest, got none")
    origins = [_origin(manifest) or number for number, manifest in enumerate(manifests)]
    numbers = (("pid", _PID_STEP), ("camid", _CAMID_STEP))
    widths: dict[str | int, int] = {}  # a set that was merged before takes several steps
    for origin, manifest in zip(origins, manifests, strict=True):
        wide = max(int(manifest.column(name).max(initial=0)) // step + 1 for name, step in numbers)
        widths[origin] = max(widths.get(origin, 0), wide)
    if sum(widths.values()) * _PID_STEP > np.iinfo(np.int64).max:
        raise ValueError(f"an identity or camera has too large a number; those below {_PID_STEP} can be merged")
    start = dict(zip(widths, itertools.accumulate(widths.values(), initial=0), strict=False))
    renumbered = []
    for origin, manifest in zip(origins, manifests, strict=True):
        for name, step in numbers:
            values = manifest.column(name)
            manifest = manifest.replaced(name, np.where(values == UNKNOWN, UNKNOWN, values + start[origin] * step))
        renumbered.append(manifest)
    return Manifest.concatenate(renumbered)


def write_set(manifest: Manifest, out: str | Path) -> Manifest:
    """Makes a folder of a manifest and its images, complete or not at all.

    Images are linked where the file system can, otherwise copied. Those of a merged manifest keep their path below
    their own set where that is unique.

    Args:
        manifest: the rows.
        out: folder to make.

    Returns:
        The manifest in the new folder.

    Raises:
        ValueError: the folder is taken, nothing to write, or a missing image.
    """
    if not len(manifest):
        raise ValueError("no row is left to write; loosen the conditions")
    paths = _short_paths(manifest.path)
    with replacing_folder(out) as folder:
        for row, path in enumerate(paths):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            source = manifest.image_path(row)
            try:
                place_image(source, target)
            except ValueError as error:
                raise ValueError(f"{error}; 'unrealperson data check' tells what else is missing") from error
        written = Manifest(manifest.replaced("path", paths).table, folder)
        written.write()
        if any(recipe is not None for recipe in written.column("recipe")):
            write_text(folder / CARD_FILE, data_card(written))
    return Manifest.read(out)


def place_image(source: Path, target: Path) -> None:
    """Links a file to another place, or copies it where links can not be.

    Args:
        source: the file, or an image in a tar shard.
        target: its second name; must not exist.

    Raises:
        ValueError: there is no such file.
    """
    try:
        os.link(source.resolve(), target)
    except FileExistsError:
        raise
    except OSError:
        target.write_bytes(read_bytes(source))


def _rows_by_identity(manifest: Manifest, rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each known identity, increasing, and its rows among those given, in their order."""
    pid = manifest.pid[rows]
    order = np.argsort(pid, kind="stable")
    keys, starts = np.unique(pid[order], return_index=True)
    for key, own in zip(keys.tolist(), np.split(rows[order], starts[1:]), strict=True):
        if key != UNKNOWN:
            yield key, own


def _origin(manifest: Manifest) -> str | None:
    """What makes the people of a synthetic set, as text; None where it is not known or not one thing."""
    recipes = set(manifest.column("recipe").tolist())
    if None in recipes:
        return None
    made = [json.loads(recipe)["synth"] for recipe in recipes]
    origins = {json.dumps({key: each.get(key) for key in PEOPLE_KEYS}) for each in made}
    return origins.pop() if len(origins) == 1 else None


def _short_paths(paths: Sequence[str]) -> list[str]:
    """Paths from unreal_vX.Y on, where that keeps them apart, so that the original's loader finds the layout."""
    short = [path[path.index("unreal_v") :] if "/unreal_v" in path else path for path in paths]
    return short if len(set(short)) == len(short) else list(paths)


def _meets(manifest: Manifest, name: str, sign: str, value: str) -> np.ndarray:
    if name in COLUMNS.names:
        values = manifest.column(name)
        known = ~manifest.table[name].is_null().to_numpy()
        if values.dtype.kind in "if":
            known &= values != UNKNOWN if name in ("pid", "camid", "frame") else True
        else:
            values = np.array(["" if each is None else str(each) for each in values], dtype=np.str_)
    elif name in manifest.attribute_names:
        values = manifest.attribute(name)
        known = values != ""
    else:
        raise ValueError(
            f"there is no column or attribute '{name}'; columns are {', '.join(COLUMNS.names)}; attributes are "
            f"{', '.join(manifest.attribute_names) or 'none'}"
        )
    if values.dtype.kind == "U" and sign in ("=", "!="):
        same = values == value
    else:
        number = _as_number(value, f"'{name}{sign}{value}'")
        if values.dtype.kind == "U":
            values = np.array([_as_number(each, f"{name} '{each}'") if each else np.nan for each in values])
        if sign in ("=", "!="):
            same = values == number
        else:
            compare = {">": np.greater, ">=": np.greater_equal, "<": np.less, "<=": np.less_equal}[sign]
            return known & compare(values, number)
    return ~(known & same) if sign == "!=" else known & same


def _as_number(text: str, where_from: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{where_from} must compare numbers, got '{text}'") from error
