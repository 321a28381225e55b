"""Images of a manifest as arrays and training batches.

What a batch holds and what happens to its images is drawn here, by the sampler and `draw_augmentation`. A back end only
carries it out: torch's below, DALI's in `dali`. So both give the same images, however many workers there are.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice, tee
from mmap import mmap
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from unrealperson.config import TrainConfig
from unrealperson.data.manifest import Manifest
from unrealperson.data.samplers import CameraBalancedSampler, IdentitySampler, RandomSampler
from unrealperson.data.sources import load_image
from unrealperson.data.transforms import Augmentation, augment, draw_augmentation, normalise
from unrealperson.log import get_logger
from unrealperson.schema import UNKNOWN, Batch

logger = get_logger(__name__)

CACHE_BYTES = 2**30
"""Decoded images are kept in memory where all of a manifest's fit in this."""
_MOST_WORKERS = 8

Plan = tuple[np.ndarray, Augmentation]
"""Rows of a batch's images, and what happens to each of them."""
BackEnd = Callable[[Iterator[Plan]], Iterator[Tensor]]
"""Gives [n, h, w, 3] uint8 for each plan, in their order; a tensor's content stays until the next is asked for."""


class Images:
    """A manifest's images at one size, decoded on first use and kept in memory where they all fit.

    Processes forked from this one share what is kept.

    Args:
        manifest: the images.
        height: of every image, pixels.
        width: of every image, pixels.
        cache_bytes: keep decoded images only if all of them need no more memory than this.
    """

    def __init__(self, manifest: Manifest, *, height: int, width: int, cache_bytes: int = CACHE_BYTES) -> None:
        self.manifest = manifest
        self.height = height
        self.width = width
        self._pixels: np.ndarray | None = None
        size = len(manifest) * height * width * 3
        if 0 < size <= cache_bytes:
            self._pixels = np.frombuffer(mmap(-1, size), np.uint8).reshape(len(manifest), height, width, 3)
            self._known = np.frombuffer(mmap(-1, len(manifest)), np.bool_)

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def kept(self) -> bool:
        """Whether images are decoded once only."""
        return self._pixels is not None

    def __getitem__(self, rows: np.ndarray | Sequence[int]) -> np.ndarray:
        """The images of the given rows.

        Args:
            rows: [n] int row of each.

        Returns:
            [n, height, width, 3] uint8 RGB.

        Raises:
            ValueError: an image cannot be read; the message names the file.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if self._pixels is None:
            return np.stack(self._decode(rows)) if len(rows) else np.empty((0, self.height, self.width, 3), np.uint8)
        new = np.unique(rows[~self._known[rows]])
        for row, image in zip(new, self._decode(new), strict=True):
            self._pixels[row] = image
        self._known[new] = True
        return self._pixels[rows]

    def _decode(self, rows: np.ndarray) -> list[np.ndarray]:
        if len(rows) < 2 or get_worker_info() is not None:  # a worker has one core
            return [self._decode_one(row) for row in rows]
        with ThreadPoolExecutor(os.cpu_count()) as threads:  # Pillow decodes outside the interpreter lock
            return list(threads.map(self._decode_one, rows))

    def _decode_one(self, row: int) -> np.ndarray:
        return load_image(self.manifest.image_path(row), size=(self.height, self.width))


def make_loader(
    manifest: Manifest, config: TrainConfig, *, rank: int = 0, world: int = 1, device: torch.device | None = None
) -> TrainLoader:
    """The training batches of a manifest, by the back end that the configuration names.

    Args:
        manifest: rows to train on; every identity and camera known.
        config: section [train]: size, augmentation, sampler, seed, loader, workers.
        rank: which of the processes that train together this is; each gets its part of every batch.
        world: how many there are.
        device: where the batches go; DALI decodes on it. None: the CPU.

    Raises:
        ValueError: batches that cannot be shared alike, or weights of unknown sources.
        RuntimeError: the back end is not installed.
    """
    if config.batch_size % world:
        raise ValueError(
            f"a batch of {config.batch_size} images cannot be shared by {world} processes alike; change "
            "train.cameras_per_batch, identities_per_camera or images_per_identity"
        )
    device = device or torch.device("cpu")
    back_end: BackEnd
    if config.loader == "dali":
        from unrealperson.data.dali import DaliBackEnd

        back_end = DaliBackEnd(
            manifest, config, batch_size=config.batch_size // world, threads=_workers(config) or 1, device=device
        )
    else:
        images = Images(manifest, height=config.height, width=config.width)
        needed = not (images.kept and device.type == "cpu")
        back_end = TorchBackEnd(images, workers=_workers(config, needed=needed), pin=device.type == "cuda")
    return TrainLoader(manifest, config, back_end, rank=rank, world=world, device=device)


def _workers(config: TrainConfig, *, needed: bool = True) -> int:
    """How many work ahead of training: as configured, or a process's share of the cores where it is needed."""
    if config.workers >= 0:
        return config.workers
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return min(max(1, (os.cpu_count() or 1) // processes), _MOST_WORKERS) if needed else 0


class TrainLoader:
    """Augmented, normalised training batches of a manifest.

    Args:
        manifest: rows to train on; every identity and camera known.
        config: section [train]: augmentation, sampler, seed.
        back_end: reads, decodes and augments.
        rank: which of the processes that train together this is; each gets its part of every batch.
        world: how many there are.
        device: where the batches go.

    Attributes:
        identity_keys: [classes] int64 global identity of each label.
        camera_keys: [cameras] int64 global camera of each camera index.
    """

    def __init__(
        self,
        manifest: Manifest,
        config: TrainConfig,
        back_end: BackEnd,
        *,
        rank: int,
        world: int,
        device: torch.device,
    ) -> None:
        self.identity_keys, self.label = np.unique(manifest.pid, return_inverse=True)
        self.camera_keys, self.camera = np.unique(manifest.camid, return_inverse=True)
        self.sampler = _sampler(self.label, self.camera, _source_weights(manifest, config.source_weights), config)
        self._manifest = manifest
        self._config = config
        self._back_end = back_end
        self._device = device
        part = config.batch_size // world
        self._part = slice(rank * part, (rank + 1) * part)

    def __len__(self) -> int:
        """Batches in one epoch."""
        return len(self.sampler)

    def epoch(self, number: int, first: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, a pure function of the configuration and the epoch's number.

        Args:
            number: 0 for the first epoch.
            first: batches to leave out, those that training has done.
        """
        ahead, plans = tee(self._plans(number, first))
        for pixels, (rows, _) in zip(self._back_end(ahead), plans, strict=False):
            images = normalise(pixels.to(self._device, non_blocking=True))
            yield Batch(images, torch.from_numpy(self.label[rows]), torch.from_numpy(self.camera[rows]))

    def paths(self, number: int, index: int) -> list[str]:
        """The images of one batch, those of all processes.

        Args:
            number: epoch, 0 for the first.
            index: batch of the epoch, 0 for the first.
        """
        rows = next(islice(self.sampler.epoch(number), index, None))
        return [self._manifest.path[row] for row in rows]

    def _plans(self, number: int, first: int) -> Iterator[Plan]:
        rng = np.random.default_rng([self._config.seed, number, 1])
        for index, rows in enumerate(self.sampler.epoch(number)):
            drawn = draw_augmentation(len(rows), self._config, rng)
            if index >= first:
                yield rows[self._part], drawn[self._part]


class TorchBackEnd:
    """Decodes and augments in the processes of a torch DataLoader, a few batches ahead of training.

    Args:
        images: the manifest's images.
        workers: processes; 0: this one, when a batch is asked for.
        pin: put batches into memory that a GPU copies from.
    """

    def __init__(self, images: Images, *, workers: int, pin: bool = False) -> None:
        self._plans = _Plans()
        self._loader: DataLoader[Tensor | ValueError] = DataLoader(
            _Augmented(images),
            batch_size=None,
            sampler=self._plans,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin,
            worker_init_fn=_start_worker,
            multiprocessing_context=multiprocessing.get_context("fork") if workers else None,
            generator=torch.Generator(),
        )

    def __call__(self, plans: Iterator[Plan]) -> Iterator[Tensor]:
        self._plans.current = plans
        try:
            for pixels in self._begun():
                if isinstance(pixels, ValueError):
                    raise pixels
                yield pixels
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise RuntimeError(
                f"a process that loads images was killed, perhaps for lack of memory ({error}); give the same command "
                "again, with a smaller train.workers"
            ) from None

    def _begun(self) -> Iterator[Tensor | ValueError]:
        """Starts the workers, or takes those of the last epoch, on a thread of its own.

        On the main thread torch would set a handler of SIGCHLD, which raises wherever the process happens to be, even
        where Python can only print it. Without it a lost worker is told when its batch is awaited.
        """
        begun: Future[Iterator[Tensor | ValueError]] = Future()

        def begin() -> None:
            try:
                begun.set_result(iter(self._loader))
            except BaseException as error:
                begun.set_exception(error)

        with warnings.catch_warnings():  # of a fork beside threads: the workers use no lock that those may hold
            warnings.filterwarnings("ignore", message=".*use of fork", category=DeprecationWarning)
            threading.Thread(target=begin).start()
            return begun.result()


class _Plans:
    """An epoch's plans as what torch calls a sampler; the workers stay for the next epoch's."""

    current: Iterable[Plan] = ()

    def __iter__(self) -> Iterator[Plan]:
        return iter(self.current)


class _Augmented(Dataset[Tensor | ValueError]):
    def __init__(self, images: Images) -> None:
        self._images = images

    def __getitem__(self, plan: Plan) -> Tensor | ValueError:
        rows, drawn = plan
        try:
            return torch.from_numpy(augment(self._images[rows], drawn))
        except ValueError as error:  # raised here, a worker's error would carry its whole traceback as text
            return error


def _start_worker(_: int) -> None:
    # A signal to the whole group, such as Ctrl-C, is for the process that trains, which ends the workers.
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _sampler(
    label: np.ndarray, camera: np.ndarray, weight: np.ndarray | None, config: TrainConfig
) -> CameraBalancedSampler | IdentitySampler | RandomSampler:
    shared: dict[str, Any] = {"seed": config.seed, "weight": weight, "epoch_images": config.epoch_images}
    if config.sampler == "random":
        return RandomSampler(len(label), batch_size=config.batch_size, **shared)
    images = config.images_per_identity
    if config.sampler == "identity":
        return IdentitySampler(label, identities=config.batch_size // images, images_per_identity=images, **shared)
    return CameraBalancedSampler(
        label,
        camera,
        cameras_per_batch=config.cameras_per_batch,
        identities_per_camera=config.identities_per_camera,
        images_per_identity=images,
        **shared,
    )


def _source_weights(manifest: Manifest, weights: tuple[str, ...]) -> np.ndarray | None:
    """[n] float64 weight of each image's source, or None where no source has one."""
    if not weights:
        return None
    scene, version = (np.asarray(manifest.table[name].fill_null(UNKNOWN)) for name in ("scene", "version"))
    result = np.ones(len(manifest))
    for text in weights:
        match = re.fullmatch(r"(\d+|\*)\.(\d+|\*)=(\d+(?:\.\d*)?)", text.replace(" ", ""))
        if match is None:
            raise ValueError(f'train.source_weights holds {text!r}; write "X.Y=weight", such as "1.3=2" or "*.1=0.5"')
        own = np.ones(len(manifest), dtype=bool)
        for column, wanted in zip((scene, version), match.groups()[:2], strict=True):
            own &= (column == int(wanted)) if wanted != "*" else (column != UNKNOWN)
        if not own.any():
            raise ValueError(f"train.source_weights names {text!r}, but {manifest.root} holds no image of that source")
        result[own] = float(match[3])
    if not result.any():
        raise ValueError("train.source_weights leaves no image to train on: all weights are 0")
    return result


def training_rows(manifest: Manifest) -> Manifest:
    """The rows to train on, checked.

    Args:
        manifest: crops; rows with split "train" are chosen, all where no row has a split.

    Raises:
        ValueError: nothing to train on, or nothing to learn from it.
    """
    split = manifest.split
    chosen = split == "train" if (split != "").any() else np.ones(len(manifest), dtype=bool)
    if not chosen.any():
        raise ValueError(
            f"no row of {manifest.root} has split 'train' (there are {', '.join(sorted(set(split))) or 'no rows'}); "
            "lower synth.test_people, or give a data set with a training part"
        )
    usable = chosen & (manifest.pid != UNKNOWN)
    nowhere = not (manifest.camid[usable] != UNKNOWN).any()
    if not nowhere:
        usable &= manifest.camid != UNKNOWN
    if usable.sum() < chosen.sum():
        logger.warning("%d images without identity or camera are not trained on", chosen.sum() - usable.sum())
    rows = manifest.select(usable)
    identities, counts = np.unique(rows.pid, return_counts=True)
    cameras = np.unique(rows.camid)
    where = f"the training part of {manifest.root}"
    if len(identities) < 2:
        known = "1 known identity" if len(identities) == 1 else "no known identity"
        raise ValueError(f"{where} has {known}; training tells at least 2 apart")
    if nowhere:
        logger.warning("%s tells no camera: its images count as one, and nothing is learnt across cameras", where)
    elif len(cameras) < 2:
        raise ValueError(
            f"{where} has 1 known camera; a network that recognises people across cameras needs images from at least 2"
        )
    if counts.max() < 2:
        raise ValueError(f"{where} has one image per identity; training needs several images of a person")
    return rows
