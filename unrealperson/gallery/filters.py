"""Which rows of a gallery a search may find, and how its hits are gathered by person."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from unrealperson.config import SearchConfig
from unrealperson.data.tracklets import GAP_FRAMES
from unrealperson.schema import UNKNOWN

Group = Literal["identity", "tracklet"]
"""One hit for each person, or for each passage of a person under a camera."""


@dataclass(frozen=True)
class Filter:
    """Rows that a search may find; what is left out does not matter.

    Attributes:
        cameras: global cameras.
        not_cameras: global cameras to leave out, such as the query's own.
        from_frame: lowest frame number.
        to_frame: frame number that is not reached.
        from_s: earliest time, seconds; rows whose time is unknown do not pass.
        to_s: time that is not reached, seconds.
        sources: folders below the root that the images lie in.
        attributes: of the person, such as {"gender": "female"}.
    """

    cameras: Sequence[int] = ()
    not_cameras: Sequence[int] = ()
    from_frame: int | None = None
    to_frame: int | None = None
    from_s: float | None = None
    to_s: float | None = None
    sources: Sequence[str] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)

    def rows(self, table: pa.Table) -> np.ndarray:
        """Which rows pass.

        Args:
            table: with the columns of a manifest.

        Returns:
            [n] bool.
        """
        passes = np.ones(len(table), bool)
        camid = table["camid"].to_numpy()
        if self.cameras:
            passes &= np.isin(camid, self.cameras)
        if self.not_cameras:
            passes &= ~np.isin(camid, self.not_cameras)
        for name, low, high in (("frame", self.from_frame, self.to_frame), ("time_s", self.from_s, self.to_s)):
            if low is None and high is None:
                continue
            known = table[name].is_valid().to_numpy()
            values = pc.fill_null(table[name], UNKNOWN).to_numpy()
            passes &= known & (values != UNKNOWN) if name == "frame" else known
            passes &= values >= low if low is not None else True
            passes &= values < high if high is not None else True
        if self.sources:
            inside = [pc.starts_with(table["path"], source.rstrip("/") + "/").to_numpy() for source in self.sources]
            passes &= np.logical_or.reduce(inside)
        if self.attributes:
            passes &= self._attributes_pass(table)
        return passes

    def _attributes_pass(self, table: pa.Table) -> np.ndarray:
        column = table["attributes"].combine_chunks()
        texts = column.dictionary.to_pylist()
        fitting = [number for number, text in enumerate(texts) if self._fits(json.loads(text))]
        return np.isin(pc.fill_null(column.indices, -1).to_numpy(zero_copy_only=False), fitting)

    def _fits(self, attributes: dict[str, Any]) -> bool:
        return all(str(attributes.get(name, "")) == value for name, value in self.attributes.items())


def distinct(group: Group, rows: Sequence[int], table: pa.Table) -> list[int]:
    """The first row of each person, or of each passage of a person under a camera.

    A row without identity is a person of its own, and one without frame number a passage of its own.

    Args:
        group: by what.
        rows: of the gallery, the most similar first.
        table: the gallery's rows, which tell where a passage begins.

    Returns:
        Positions in `rows`, increasing.
    """
    pid, camid, frame = (table[name].to_numpy() for name in ("pid", "camid", "frame"))
    seen: set[Hashable] = set()
    kept = []
    for position, row in enumerate(rows):
        key: Hashable = ("row", row)
        if pid[row] != UNKNOWN and group == "identity":
            key = int(pid[row])
        elif pid[row] != UNKNOWN and frame[row] != UNKNOWN:
            own = np.sort(frame[(pid == pid[row]) & (camid == camid[row])])
            starts = own[1:][np.diff(own) >= GAP_FRAMES]
            key = (int(pid[row]), int(camid[row]), int(np.searchsorted(starts, frame[row], side="right")))
        if key not in seen:
            seen.add(key)
            kept.append(position)
    return kept


def filter_of(config: SearchConfig) -> Filter | None:
    """The filter that a configuration asks for, or None.

    Args:
        config: section [search].
    """
    found = Filter(
        cameras=config.cameras,
        not_cameras=config.not_cameras,
        sources=config.sources,
        attributes=dict(text.split("=", 1) for text in config.attributes),
        from_frame=None if config.from_frame < 0 else config.from_frame,
        to_frame=None if config.to_frame < 0 else config.to_frame,
        from_s=None if config.from_s < 0 else config.from_s,
        to_s=None if config.to_s < 0 else config.to_s,
    )
    return None if found == Filter() else found
