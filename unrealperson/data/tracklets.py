"""Tracklets for video re-identification: one person under one camera, frame after frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrealperson.config import TrainConfig
from unrealperson.data.manifest import Manifest
from unrealperson.data.samplers import CameraBalancedSampler, IdentitySampler, RandomSampler
from unrealperson.schema import UNKNOWN

GAP_FRAMES = 10
"""Frames that are further apart begin a new tracklet."""


@dataclass(frozen=True)
class Tracklet:
    """Crops of one person under one camera.

    Attributes:
        pid: global identity.
        camid: global camera.
        number: from 1, counted for each identity and camera.
        rows: rows of the manifest, by increasing frame number.
    """

    pid: int
    camid: int
    number: int
    rows: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)


def find_tracklets(manifest: Manifest, *, gap_frames: int = GAP_FRAMES, least: int = 1) -> list[Tracklet]:
    """Groups crops into tracklets by identity, camera and frame number.

    Args:
        manifest: crops; those without identity, camera or frame number are in no tracklet.
        gap_frames: crops whose frame numbers differ by this or more lie in different tracklets.
        least: tracklets of fewer crops are left out.

    Raises:
        ValueError: a gap below 1, or two crops of one person in one frame.

    Source: toolkit/interplate_video.py of the authors' code, which sorts frame numbers as text, loses the last
        tracklet and runs on from one folder to the next.
    """
    if gap_frames < 1:
        raise ValueError(f"gap_frames must be at least 1, got {gap_frames}")
    pid, camid, frame = manifest.pid, manifest.camid, manifest.frame
    known = np.flatnonzero((pid != UNKNOWN) & (camid != UNKNOWN) & (frame != UNKNOWN))
    order = known[np.lexsort((frame[known], camid[known], pid[known]))]
    found: list[Tracklet] = []
    rows: list[int] = []
    number = 1

    def finish() -> None:
        if len(rows) >= least:
            found.append(Tracklet(int(pid[rows[0]]), int(camid[rows[0]]), number, tuple(rows)))

    for row in order.tolist():
        if rows:
            last = rows[-1]
            same = pid[last] == pid[row] and camid[last] == camid[row]
            if same and frame[last] == frame[row]:
                raise ValueError(f"{manifest.path[last]} and {manifest.path[row]} show one person in one frame")
            if not same or frame[row] - frame[last] >= gap_frames:
                finish()
                number = number + (len(rows) >= least) if same else 1
                rows = []
        rows.append(row)
    if rows:
        finish()
    return found


class TrackletSampler:
    """Draws some frames of each tracklet that another sampler draws.

    A tracklet is cut into as many parts of nearly equal length as frames are wanted, and one frame of each is drawn;
    of a shorter one frames come more than once.

    Args:
        tracklets: rows of the manifest of each tracklet.
        sampler: draws the tracklets of a batch.
        frames: of each tracklet in a batch.
        seed: an epoch's batches are a pure function of the seed and the epoch's number.

    Source: Li et al., "Diversity Regularized Spatiotemporal Attention", CVPR 2018 (restricted random sampling).
    """

    def __init__(
        self,
        tracklets: Sequence[Sequence[int]],
        sampler: CameraBalancedSampler | IdentitySampler | RandomSampler,
        *,
        frames: int,
        seed: int,
    ) -> None:
        self._rows = [np.asarray(rows, np.int64) for rows in tracklets]
        self._sampler = sampler
        self._frames = frames
        self._seed = seed

    @property
    def batch_size(self) -> int:
        """Images in one batch."""
        return self._sampler.batch_size * self._frames

    def __len__(self) -> int:
        """Batches in one epoch: as many tracklets as the data set holds, to the nearest batch."""
        return len(self._sampler)

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """The batches of one epoch.

        Args:
            number: 0 for the first epoch.

        Yields:
            [batch_size] int64 row of each image, the frames of a tracklet next to each other in their order.
        """
        rng = np.random.default_rng([self._seed, number, 2])
        for chosen in self._sampler.epoch(number):
            place = (np.arange(self._frames) + rng.random((len(chosen), self._frames))) / self._frames
            yield np.concatenate(
                [self._rows[i][(part * len(self._rows[i])).astype(int)] for i, part in zip(chosen, place, strict=True)]
            )


def tracklet_sampler(
    manifest: Manifest, label: np.ndarray, camera: np.ndarray, config: TrainConfig, *, world: int = 1
) -> TrackletSampler:
    """The sampler of tracklets that a configuration asks for.

    Args:
        manifest: training crops.
        label: [n] int64 identity of each.
        camera: [n] int64 camera of each.
        config: section [train]: frames, sampler, cameras_per_batch, identities_per_camera, images_per_identity, seed.
        world: processes that share each batch.

    Raises:
        ValueError: no tracklet of two frames, or batches that cannot be shared.
    """
    tracklets = [tracklet.rows for tracklet in find_tracklets(manifest)]
    if max(map(len, tracklets), default=0) < 2:
        raise ValueError(
            f"{manifest.root} has no tracklet, two crops of a person under one camera less than {GAP_FRAMES} frame "
            "numbers apart; set train.frames = 1 to train on single images"
        )
    batch_size = config.batch_size // config.frames
    if batch_size % world:
        raise ValueError(f"a batch of {batch_size} tracklets cannot be shared by {world} processes alike")
    first = np.array([rows[0] for rows in tracklets])
    sampler: CameraBalancedSampler | IdentitySampler | RandomSampler
    shared: dict[str, Any] = {"seed": config.seed, "epoch_images": config.epoch_images // config.frames}
    if config.sampler == "random":
        sampler = RandomSampler(len(first), batch_size=batch_size, **shared)
    elif config.sampler == "identity":
        each = config.images_per_identity
        sampler = IdentitySampler(label[first], identities=batch_size // each, images_per_identity=each, **shared)
    else:
        sampler = CameraBalancedSampler(
            label[first],
            camera[first],
            cameras_per_batch=config.cameras_per_batch,
            identities_per_camera=config.identities_per_camera,
            images_per_identity=config.images_per_identity,
            **shared,
        )
    return TrackletSampler(tracklets, sampler, frames=config.frames, seed=config.seed)


@dataclass(frozen=True)
class Filled:
    """A frame of a tracklet in which the person has no crop but is seen where the line between its neighbours says.

    Attributes:
        frame: F.
        box: xyxy pixels in the frame, half-open.
    """

    frame: int
    box: tuple[int, int, int, int]


def fill_gaps(manifest: Manifest, tracklet: Tracklet, own_pixels: Callable[[int], np.ndarray | None]) -> list[Filled]:
    """Boxes for the frames that a tracklet leaves out, each checked against the frame's mask.

    Args:
        manifest: crops of the tracklet; rows without a tight box fill nothing.
        tracklet: one of `find_tracklets`.
        own_pixels: gives the tracklet's person in the frame of a number as a bool mask [H, W]; None where there is no
            such frame.

    Returns:
        By increasing frame; frames in which the person is elsewhere or hidden are left out.
    """
    boxes = manifest.select(tracklet.rows).column("tight_box")
    frames = manifest.frame[list(tracklet.rows)].tolist()
    filled = []
    for first, last, before, after in zip(frames, frames[1:], boxes, boxes[1:], strict=False):
        if before is None or after is None:
            continue
        for frame in range(first + 1, last):
            box = interpolate_box(before, after, (frame - first) / (last - first))
            own = own_pixels(frame)
            if own is not None and agrees(box, own):
                filled.append(Filled(frame, box))
    return filled


def interpolate_box(before: Sequence[float], after: Sequence[float], share: float) -> tuple[int, int, int, int]:
    """The box between two boxes, moving in a straight line.

    Args:
        before: xyxy pixels, half-open.
        after: the same, later.
        share: 0 at `before`, 1 at `after`.
    """
    left, top, right, bottom = (
        round(float(first) * (1 - share) + float(last) * share) for first, last in zip(before, after, strict=True)
    )
    return left, top, right, bottom


def agrees(
    box: Sequence[int],
    own: np.ndarray,  # [H, W] bool
    *,
    min_share: float = 0.8,
    min_fill: float = 0.2,
) -> bool:
    """Whether an interpolated box shows the person: it holds most of the person's pixels and they fill it.

    Args:
        box: xyxy pixels, half-open.
        own: [H, W] bool: the person's pixels in the frame.
        min_share: least share of the person's pixels inside the box.
        min_fill: least share of the box that is the person.
    """
    left, top, right, bottom = (max(int(value), 0) for value in box)
    inside, every = int(own[top:bottom, left:right].sum()), int(own.sum())
    area = max(right - left, 0) * max(bottom - top, 0)
    return every > 0 and area > 0 and inside >= min_share * every and inside >= min_fill * area
