"""The verbs that search a gallery and change it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar

import tyro

from unrealperson.config import SearchConfig
from unrealperson.log import get_logger
from unrealperson.verb import VALUED, OptionalPath, Verb

logger = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Search(Verb):
    """Finds the most similar crops of a gallery.

    The query's camera and frame number are read from its name as 'index' reads them (0002_c1s1_000451_03.jpg: camera 1,
    frame 451), unless --camera and --frame say otherwise. Where 'gallery threshold' has found from which similarity
    two crops show one person, each line tells whether it is passed.

    Example: unrealperson search --gallery gallery query.jpg --search.group identity --search.rerank True

    By looks and times, other cameras, within an hour: unrealperson search --gallery gallery 0002_c1s1_000451_03.jpg
    --search.joint True --search.not-cameras 1 --search.from-s 3600 --search.to-s 7200
    """

    summary: ClassVar[str] = "a gallery and one image -> the most similar crops"
    image: Annotated[Path, tyro.conf.Positional]
    """The query: one crop of a person."""
    gallery: Path
    """Folder of 'index'."""
    camera: str = ""
    """Number or name of the query's camera, whose statistics are used; -1: unknown; left out: as its name tells."""
    frame: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None
    """The query's frame number, for joint scores; left out: as its file's name tells."""
    search: Annotated[SearchConfig, VALUED] = field(default_factory=SearchConfig)

    def execute(self) -> None:
        from unrealperson.data.sources import read_name
        from unrealperson.gallery import Gallery, filter_of
        from unrealperson.schema import UNKNOWN

        gallery = Gallery.open(self.gallery, device=self.search.device)
        told = read_name(self.image)
        camid = gallery.encoder.camera_id(self.camera) if self.camera else told.get("camid", UNKNOWN)
        frame = told.get("frame", UNKNOWN) if self.frame is None else self.frame
        if camid != UNKNOWN:
            logger.info("the query is of camera %d%s", camid, "" if frame == UNKNOWN else f", frame {frame}")
        held = {camera for camera in gallery.manifest.cameras if camera != UNKNOWN}
        if strange := sorted({*self.search.cameras, *self.search.not_cameras} - held):
            shown = ", ".join(map(str, sorted(held))) or "none"
            logger.warning(
                "the gallery has no image of camera %s; its cameras: %s", ", ".join(map(str, strange)), shown
            )
        sighting = None
        if self.search.joint:
            times = self.resolved().evaluate
            sighting = gallery.sighting(camid, frame, bin_frames=times.bin_frames, sigma=times.temporal_sigma)
        hits = gallery.search_image(
            self.image,
            k=self.search.k,
            camid=camid,
            where=filter_of(self.search),
            group=None if self.search.group == "none" else self.search.group,
            rerank=self.search.rerank_hits if self.search.rerank else 0,
            sighting=sighting,
        )
        for rank, hit in enumerate(hits, 1):
            verdict = "" if hit.same is None else "  same person" if hit.same else "  another person"
            print(f"{rank:3d}  {hit.similarity:7.4f}  {hit.path}{verdict}")
        if not hits:
            logger.warning("no crop of the gallery passes the filter")


@dataclass(frozen=True, kw_only=True)
class GalleryAdd(Verb):
    """Adds a folder of crops to a gallery: all of them or, where it is interrupted, none.

    The folder lies in that of the gallery's own images. What is there already is left as it is, so the same command
    takes up what has come since.

    Example: unrealperson gallery add --gallery gallery --data my_crops/monday
    """

    summary: ClassVar[str] = "crops -> a gallery that holds them too"
    gallery: Path
    """Folder of 'index'."""
    data: Path
    """Folder of crops, in the folder that was indexed."""
    search: Annotated[SearchConfig, VALUED] = field(default_factory=SearchConfig)

    def execute(self) -> None:
        from unrealperson.data.sources import read_images
        from unrealperson.gallery import Gallery

        gallery = Gallery.open(self.gallery)
        rows = read_images(self.data, skip_unreadable=True)
        added = gallery.add(rows, batch_size=self.search.batch_size)
        logger.info("%s: %d of %d crops added; it holds %d", self.gallery, added, len(rows), len(gallery))


@dataclass(frozen=True, kw_only=True)
class GalleryRemove(Verb):
    """Removes crops from a gallery; their image files stay where they are.

    Example: unrealperson gallery remove --gallery gallery monday/0002_c1s1_000451_03.jpg
    """

    summary: ClassVar[str] = "paths of crops -> a gallery without them"
    paths: Annotated[tuple[str, ...], tyro.conf.Positional]
    """As 'search' prints them, or paths of the files."""
    gallery: Path
    """Folder of 'index'."""

    def execute(self) -> None:
        from unrealperson.gallery import Gallery

        gallery = Gallery.open(self.gallery)
        root = gallery.root
        below = {
            Path(path).resolve().relative_to(root).as_posix() if Path(path).resolve().is_relative_to(root) else path
            for path in self.paths
        }
        removed = gallery.remove([*below, *self.paths])
        if not removed:
            raise ValueError(
                f"{self.gallery} holds none of these crops; give paths as 'unrealperson search' prints them"
            )
        logger.info("%s: %d crops removed; it holds %d", self.gallery, removed, len(gallery))


@dataclass(frozen=True, kw_only=True)
class GalleryThreshold(Verb):
    """Finds from which similarity two crops show one person, at a stated share of false alarms, and keeps it with the
    gallery: hits tell from then on.

    Labelled crops are needed: --pairs, synthetic ones or, better, some of your own site, or else the gallery's own.

    Example: unrealperson gallery threshold --gallery gallery --pairs my_labelled_crops --search.false-accept-rate 0.001
    """

    summary: ClassVar[str] = "labelled crops -> from which similarity two show one person"
    gallery: Path
    """Folder of 'index'."""
    pairs: OptionalPath = None
    """Folder of labelled crops; left out: those of the gallery."""
    search: Annotated[SearchConfig, VALUED] = field(default_factory=SearchConfig)

    def execute(self) -> None:
        from unrealperson.data.sources import read_images
        from unrealperson.gallery import Gallery

        gallery = Gallery.open(self.gallery)
        pairs = None
        if self.pairs is not None:
            pairs = gallery.encode(read_images(self.pairs, skip_unreadable=True), batch_size=self.search.batch_size)
        found = gallery.calibrate_threshold(self.search.false_accept_rate, pairs=pairs)
        print(
            f"one person from a similarity of {found.similarity:.4f} on: {100 * found.false_accept_rate:g} % of "
            f"{found.different_pairs} pairs of different people pass, {100 * found.true_accept_rate:.1f} % of "
            f"{found.same_pairs} pairs of one person under two cameras"
        )


@dataclass(frozen=True, kw_only=True)
class GallerySave(Verb):
    """Puts all that was added into one file without what was removed, and builds the back end's index anew.

    Example: unrealperson gallery save --gallery gallery
    """

    summary: ClassVar[str] = "a gallery of many additions -> one in one piece"
    gallery: Path
    """Folder of 'index'."""

    def execute(self) -> None:
        from unrealperson.gallery import Gallery

        gallery = Gallery.open(self.gallery)
        gallery.save()
        logger.info("%s: %d crops in one piece", self.gallery, len(gallery))


@dataclass(frozen=True, kw_only=True)
class GalleryCheck(Verb):
    """Compares the checksums of all files of a gallery; a damaged one is named.

    Example: unrealperson gallery check --gallery gallery
    """

    summary: ClassVar[str] = "a gallery -> whether its files are whole"
    gallery: Path
    """Folder of 'index'."""

    def execute(self) -> None:
        from unrealperson.gallery import Gallery

        gallery = Gallery.open(self.gallery)
        gallery.verify()
        print(f"{self.gallery} is whole: {len(gallery)} crops")
