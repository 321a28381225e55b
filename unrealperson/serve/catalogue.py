"""What a gallery holds at one moment, as a server tells it: entries by id, facts for filters, people, thumbnails."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from unrealperson.data.manifest import leads_outside
from unrealperson.data.sources import load_image
from unrealperson.gallery import Filter, Gallery, Group, Hit
from unrealperson.schema import UNKNOWN

MOST_VALUES = 40
"""An attribute with more values is no choice for a filter."""
_ID_BYTES = 8


@dataclass(frozen=True)
class Question:
    """How to search; equal ones are answered together.

    Attributes:
        k: hits.
        cameras: only these.
        not_cameras: not these.
        from_s: earliest time, seconds.
        to_s: time that is not reached, seconds.
        from_frame: lowest frame number.
        to_frame: frame number that is not reached.
        sources: folders below the root.
        attributes: names and values.
        group: one hit for each person or passage.
        rerank: so many first hits by their common neighbours; 0: none.
    """

    k: int = 20
    cameras: tuple[int, ...] = ()
    not_cameras: tuple[int, ...] = ()
    from_s: float | None = None
    to_s: float | None = None
    from_frame: int | None = None
    to_frame: int | None = None
    sources: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
    group: Group | None = None
    rerank: int = 0

    @property
    def where(self) -> Filter | None:
        """Its filter, or None."""
        found = Filter(
            cameras=self.cameras,
            not_cameras=self.not_cameras,
            from_s=self.from_s,
            to_s=self.to_s,
            from_frame=self.from_frame,
            to_frame=self.to_frame,
            sources=self.sources,
            attributes=dict(self.attributes),
        )
        return None if found == Filter() else found


class Catalogue:
    """One revision of a gallery, never changed: a server swaps it for the next one.

    Attributes:
        gallery: opened at that revision.
    """

    def __init__(self, gallery: Gallery, before: Catalogue | None = None) -> None:
        """Numbers the entries.

        Args:
            gallery: nobody changes or refreshes this object.
            before: an earlier revision, whose segments need not be numbered again.
        """
        self.gallery = gallery
        known = {} if before is None else before._ids_of_segment
        self._ids_of_segment: dict[str, np.ndarray] = {
            name: known[name] if name in known else _ids(table["path"].to_pylist())
            for name, table in gallery.segment_tables.items()
        }
        present = np.flatnonzero(gallery.present)
        ids = np.concatenate([*self._ids_of_segment.values(), np.empty(0, np.uint64)])[present]
        order = np.argsort(ids, kind="stable")
        self._ids, self._rows = ids[order], present[order]

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, entry: str) -> int | None:
        """Row of an entry in the gallery's table, or None where there is no such entry.

        Args:
            entry: its id.
        """
        rows = self.rows(np.array([int(entry, 16)], np.uint64))
        return None if rows[0] < 0 else int(rows[0])

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """Rows of entries.

        Args:
            ids: [n] uint64.

        Returns:
            [n] int64, -1 where there is no such entry.
        """
        if not len(self._ids):
            return np.full(len(ids), -1)
        place = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return np.where(self._ids[place] == ids, self._rows[place], -1)

    def path(self, row: int) -> str:
        """Path of an entry below the gallery's root.

        Args:
            row: in the gallery's table.
        """
        return self.gallery.table["path"][row].as_py()

    def search(self, queries: np.ndarray, question: Question) -> list[list[dict[str, Any]]]:
        """The hits of some queries, as the server gives them.

        Args:
            queries: [q, d] float32.
            question: how.
        """
        found = self.gallery.search(
            queries, k=question.k, where=question.where, group=question.group, rerank=question.rerank
        )
        return [self._answers(hits) for hits in found]

    def _answers(self, hits: Sequence[Hit]) -> list[dict[str, Any]]:
        ids = _ids([hit.path for hit in hits])
        times = self.gallery.table["time_s"].take(pa.array(self.rows(ids))).to_pylist()
        return [
            {
                "id": f"{entry:016x}",
                "path": hit.path,
                "similarity": round(hit.similarity, 6),
                "same": hit.same,
                "person": _known(hit.pid),
                "camera": _known(hit.camid),
                "frame": _known(hit.frame),
                "time_s": time_s,
            }
            for entry, hit, time_s in zip(ids.tolist(), hits, times, strict=True)
        ]

    def entry(self, row: int) -> dict[str, Any]:
        """What is known of an entry.

        Args:
            row: in the gallery's table.
        """
        known = {name: self.gallery.table[name][row].as_py() for name in ("path", "pid", "camid", "frame", "time_s")}
        attributes = self.gallery.table["attributes"][row].as_py()
        return {
            "id": entry_id(known["path"]),
            "path": known["path"],
            "person": _known(known["pid"]),
            "camera": _known(known["camid"]),
            "frame": _known(known["frame"]),
            "time_s": known["time_s"],
            "attributes": _looks(attributes),
        }

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the gallery holds, and what its entries can be chosen by."""
        rows = pa.array(np.sort(self._rows))
        table = self.gallery.table.select(["pid", "camid", "frame", "time_s", "attributes"]).take(rows)
        camid, pid, frame = (table[name].to_numpy() for name in ("camid", "pid", "frame"))
        names = dict(zip(self.gallery.encoder.cameras, self.gallery.encoder.camera_names, strict=True))
        times = pc.min_max(table["time_s"]).as_py()
        frames = frame[frame != UNKNOWN]
        threshold = self.gallery.threshold
        return {
            "images": len(table),
            "people": int(np.count_nonzero(np.unique(pid) != UNKNOWN)),
            "revision": self.gallery.revision,
            "cameras": [
                {"camera": int(camera), "name": names.get(int(camera), str(camera)), "images": int(count)}
                for camera, count in zip(*np.unique(camid[camid != UNKNOWN], return_counts=True), strict=True)
            ],
            "known_cameras": [{"camera": camera, "name": name} for camera, name in names.items()],
            "from_s": times["min"],
            "to_s": times["max"],
            "from_frame": int(frames.min()) if len(frames) else None,
            "to_frame": int(frames.max()) if len(frames) else None,
            "attributes": _choices(table["attributes"]),
            "threshold": None if threshold is None else threshold.similarity,
        }

    def identities(self, offset: int, limit: int, camera: int | None) -> dict[str, Any]:
        """Some of the people of the gallery, by number.

        Args:
            offset: people to pass over.
            limit: most people.
            camera: only people seen there; None is anywhere.
        """
        people, starts, rows = self._people if camera is None else self._group_people(camera)
        chosen = []
        for number in range(offset, min(offset + limit, len(people))):
            own = rows[starts[number] : starts[number + 1]]
            seen = self.gallery.table.select(["path", "camid", "time_s"]).take(pa.array(own))
            times = pc.min_max(seen["time_s"]).as_py()
            chosen.append(
                {
                    "person": int(people[number]),
                    "images": len(own),
                    "cameras": np.unique(seen["camid"].to_numpy()).tolist(),
                    "from_s": times["min"],
                    "to_s": times["max"],
                    "entry": entry_id(seen["path"][len(own) // 2].as_py()),
                }
            )
        return {"total": len(people), "people": chosen}

    @cached_property
    def _people(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self._group_people(None)

    def _group_people(self, camera: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """People, where the rows of each begin, and all of their rows."""
        rows = np.sort(self._rows)
        pid = self.gallery.table["pid"].to_numpy()[rows]
        fits = pid != UNKNOWN
        if camera is not None:
            fits &= self.gallery.table["camid"].to_numpy()[rows] == camera
        rows, pid = rows[fits], pid[fits]
        order = np.argsort(pid, kind="stable")
        people, starts = np.unique(pid[order], return_index=True)
        return people, np.append(starts, len(rows)), rows[order]

    def thumbnail(self, row: int, height_px: int) -> bytes:
        """A small JPEG image of an entry.

        Args:
            row: in the gallery's table.
            height_px: greatest height.

        Raises:
            ValueError: its image file is missing or damaged.
        """
        path = self.path(row)
        if leads_outside(path):
            raise ValueError(f"{path} lies outside the gallery's root")
        pixels = load_image(self.gallery.root / path)
        image = Image.fromarray(pixels)
        image.thumbnail((2 * height_px, height_px), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        image.save(out, "JPEG", quality=88)
        return out.getvalue()


def entry_id(path: str) -> str:
    """Id of an entry: 16 hexadecimal digits that its path alone decides.

    Args:
        path: below the gallery's root.
    """
    return f"{_ids([path])[0]:016x}"


def _ids(paths: Sequence[str]) -> np.ndarray:
    digests = b"".join(hashlib.blake2b(path.encode(), digest_size=_ID_BYTES).digest() for path in paths)
    return np.frombuffer(digests, ">u8").astype(np.uint64)


def _known(value: int) -> int | None:
    return None if value == UNKNOWN else value


def _choices(column: pa.ChunkedArray) -> dict[str, list[str]]:
    """Attributes that tell entries apart, and their values."""
    values: dict[str, set[str]] = {}
    for text in pc.unique(column.cast(pa.string())).to_pylist():
        for name, value in _looks(text).items():
            values.setdefault(name, set()).add(str(value))
    return {name: sorted(own) for name, own in sorted(values.items()) if 2 <= len(own) <= MOST_VALUES}


def _looks(text: str | None) -> dict[str, Any]:
    """What a row tells of somebody's looks; nothing where it is damaged."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
