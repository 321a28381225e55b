"""The verbs that look at, divide, join, export and repair data sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import tyro

from unrealperson.log import get_logger
from unrealperson.verb import OptionalPath, Switch, Verb

logger = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Regenerate(Verb):
    """Makes one crop of a synthetic data set again from its row in the manifest.

    Writes it to --out, or to its own place where it is missing or damaged. Exit status 0: the same to the byte as
    recorded; 1: it differs, as on another driver or kind of CPU.

    Example: unrealperson regenerate data/unreal_v1.1/images/0003_c002_000004.jpg --out again.jpg
    """

    summary: ClassVar[str] = "one crop again, from its row in the manifest"
    image: Annotated[Path, tyro.conf.Positional]
    """The crop, in its data set."""
    out: OptionalPath = None
    """File to write; left out: the crop's own place, where it is missing or damaged."""
    place: str = ""
    """FILE.py:FUNCTION that built the scene (synth.place), where there was one: a data set may not choose code."""

    def execute(self) -> int:
        from unrealperson.synth.regenerate import regenerate

        same = regenerate(self.image, self.out, place=self.place)
        print(f"{self.out or self.image}: {'identical' if same else 'differs'}")
        return 0 if same else 1


@dataclass(frozen=True, kw_only=True)
class DataCheck(Verb):
    """Describes a data set and reads every image: missing, damaged, changed since it was made, or there twice.

    Exit status 0: every image is there and is what its row says; 1: not so. Duplicates are only named.

    Example: unrealperson data check --data data
    """

    summary: ClassVar[str] = "a data set -> statistics, damage, duplicates"
    data: Path
    """Data set or folder of crops."""

    def execute(self) -> int:
        from unrealperson.data.check import check
        from unrealperson.data.sources import read_images

        found = check(read_images(self.data, keep_unreadable=True))
        for name, value in found.statistics.items():
            print(f"{name:<24} {value}")
        for name in ("missing", "damaged", "changed"):
            paths = getattr(found, name)
            print(f"{name:<24} {len(paths)}{': ' if paths else ''}{', '.join(paths[:5])}")
        print(f"{'duplicates':<24} {sum(len(group) - 1 for group in found.duplicates)}")
        for group in found.duplicates[:5]:
            print(f"    {' = '.join(group)}")
        return 0 if found.healthy else 1


@dataclass(frozen=True, kw_only=True)
class DataSubset(Verb):
    """Writes a part of a data set as one of its own: first the conditions, then the draw, then the splits.

    Example: unrealperson data subset --data data --out part --identities 3000 --per-identity 40
    """

    summary: ClassVar[str] = "a data set -> a filtered or drawn part of it"
    data: Path
    """Data set or folder of crops."""
    out: Path
    """Folder to make."""
    where: tuple[str, ...] = ()
    """Conditions on columns and attributes: "visibility>=0.5", "hours=night", "gender=female"."""
    identities: int = 0
    """Identities to draw; 0 keeps all."""
    per_identity: int = 0
    """Most images of each identity; 0 keeps all."""
    test: int = 0
    """Identities to mark as test, all others as train; 0 leaves the splits alone."""
    queries: Switch = False
    """Mark one image of each identity and camera as query, all others as gallery."""
    seed: int = 0
    """Seed of all draws."""

    def execute(self) -> None:
        from unrealperson.data.sources import read_images
        from unrealperson.data.subsets import draw, draw_queries, split_identities, where, write_set

        if self.test and self.queries:
            raise ValueError("--test and --queries both mark the rows; give one of them")
        manifest = where(read_images(self.data), self.where)
        manifest = draw(manifest, identities=self.identities, per_identity=self.per_identity, seed=self.seed)
        if self.test:
            manifest = split_identities(manifest, self.test, seed=self.seed)
        if self.queries:
            manifest = draw_queries(manifest, seed=self.seed)
        logger.info("%s: %s", self.out, write_set(manifest, self.out).summary())


@dataclass(frozen=True, kw_only=True)
class DataMerge(Verb):
    """Writes several data sets as one; people and cameras that are not the same get different numbers.

    Example: unrealperson data merge --data day night --out both
    """

    summary: ClassVar[str] = "several data sets -> one"
    data: tuple[Path, ...]
    """Data sets or folders of crops."""
    out: Path
    """Folder to make."""

    def execute(self) -> None:
        from unrealperson.data.sources import read_images
        from unrealperson.data.subsets import merge, write_set

        manifest = merge([read_images(folder) for folder in self.data])
        logger.info("%s: %s", self.out, write_set(manifest, self.out).summary())


@dataclass(frozen=True, kw_only=True)
class DataExport(Verb):
    """Writes a data set in the form that other tools read.

    market: folders of Market-1501; mars: tracklets in folders of MARS; list: list_unreal_train.txt of the original;
    webdataset: tar shards; coco and mot: boxes of whole frames, all people where the set keeps its frames.

    Example: unrealperson data export --data data --out market --format market
    """

    summary: ClassVar[str] = "a data set -> Market, MARS, COCO, MOT, WebDataset, list"
    data: Path
    """Data set or folder of crops."""
    out: Path
    """Folder to make."""
    format: Literal["market", "mars", "list", "webdataset", "coco", "mot"]
    """What to write."""
    seed: int = 0
    """Seed of the queries, where the set has none."""

    def execute(self) -> None:
        from unrealperson.data.sources import read_images
        from unrealperson.data.writers import write_as

        write_as(self.format, read_images(self.data), self.out, seed=self.seed)
        logger.info("%s: %s", self.out, self.format)
