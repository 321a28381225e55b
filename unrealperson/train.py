"""Training on crops, in one process or in several that torchrun starts."""

from __future__ import annotations

import math
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from unrealperson.cards import CARD_FILE, model_card
from unrealperson.checkpoint import (
    RunState,
    load_optimizer,
    load_start,
    load_state,
    load_weights,
    prepare_run,
    save_checkpoint,
)
from unrealperson.config import Config, TrainConfig
from unrealperson.data.loader import TrainLoader, make_loader, training_rows
from unrealperson.data.manifest import Manifest
from unrealperson.data.subsets import one_identity_per_image
from unrealperson.data.tracklets import tracklet_sampler
from unrealperson.descent import Descent, learning_rate
from unrealperson.distributed import Team, join_team
from unrealperson.files import only_process, write_text
from unrealperson.log import get_logger, track
from unrealperson.models import reuse_memory
from unrealperson.models.cbn import reset_statistics
from unrealperson.models.reid import build_model
from unrealperson.objectives import build_objective, load_own_state, own_state
from unrealperson.record import Record
from unrealperson.schema import UNKNOWN, Batch

logger = get_logger(__name__)

TERMINATED = 143
"""Exit status of a process that SIGTERM ended, as shells have it."""


def train(manifest: Manifest, config: Config, out: str | Path) -> Path:
    """Trains a network, or goes on with what `out` holds; a finished run returns at once.

    The result depends on the configuration and the images alone: a run that was cut off and went on
    ends with the same weights as one that was not, on the same machine and number of threads.
    Under torchrun each batch is shared by the processes, and the loss is that of one process.

    Args:
        manifest: crops; rows with split "train" are used, all rows where no row has a split.
        config: sections [train]; all sections are saved with the run.
        out: folder of the run.

    Returns:
        `out`, which holds model.safetensors, config.toml, metrics.jsonl and card.md.

    Raises:
        ValueError: no training row, too few identities, cameras, images or frames, an unreadable image, an unknown
            compiler, or a folder that holds another run.
        RuntimeError: the loss is not finite, weights are missing, or another process trains in `out`.
        SystemExit: SIGTERM came; what was done is saved.

    Source: paper section 4.1 (SGD, cross-entropy, learning rate decayed once).
    """
    out = Path(out)
    contrast = config.train.objective == "contrast"
    rows = one_identity_per_image(manifest) if contrast else training_rows(manifest)
    _require_compiler(config.train.compiler)
    with join_team() as team, ExitStack() as stack:
        loader = make_loader(rows, config.train, rank=team.rank, world=team.world, device=team.device)
        if config.train.frames > 1:
            tracklets = tracklet_sampler(rows, loader.label, loader.camera, config.train, world=team.world)
            loader.sampler = tracklets  # type: ignore[assignment]
        if team.first:
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(only_process(out))
        state = _state(loader, rows, config, out) if team.first else None
        state = team.share(state)
        if state is not None and state.epoch < config.train.epochs:
            _Training(loader, config.train, out, state, team).run()
        if state is not None and team.first and not (out / CARD_FILE).is_file():
            write_text(out / CARD_FILE, model_card(config, rows, data_sha256=state.data_sha256))
    return out


def _state(loader: TrainLoader, rows: Manifest, config: Config, out: Path) -> RunState:
    """The run's state, the folder claimed for it."""
    resumed = prepare_run(out, config)
    contrast = config.train.objective == "contrast"
    state = RunState(
        epoch=0,
        identity_keys=(UNKNOWN,) if contrast else tuple(loader.identity_keys.tolist()),
        camera_keys=tuple(loader.camera_keys.tolist()),
        data_sha256=rows.sha256(),
        data_root=str(rows.root.absolute()),
    )
    if not resumed:
        return state
    earlier = load_state(out)
    if earlier.data_sha256 != state.data_sha256:
        raise ValueError(f"{out} was trained on other data; choose another --out, or delete the folder")
    if earlier.epoch >= config.train.epochs:
        logger.info("%s is trained already, %d epochs", out, earlier.epoch)
    else:
        logger.info("going on with %s after epoch %d, step %d", out, earlier.epoch, earlier.step)
    return earlier


class _Training:
    """One run from where it stands to its end."""

    def __init__(self, loader: TrainLoader, config: TrainConfig, out: Path, state: RunState, team: Team) -> None:
        self._loader, self._config, self._out, self._team = loader, config, out, team
        self._start = state
        self._size = len(loader)
        reuse_memory()
        classes, cameras = len(state.identity_keys), len(state.camera_keys)
        resumed = state.step > 0
        model = build_model(
            config, classes=classes, cameras=cameras, pretrained=not (resumed or config.from_run),
            process_group=team.norm_group,
        )  # fmt: skip
        if resumed:
            load_weights(out, model)
        elif config.from_run:
            load_start(config.from_run, model, config)
        self._model = model.train()
        self._objective = build_objective(model, config, team)
        self._descent = Descent(self._objective, model, config, team.device)
        self._values = self._resume() if resumed else []
        if config.compiler:
            model.compile(backend=config.compiler)
        self._run: nn.Module = self._objective
        if team.world > 1:
            with warnings.catch_warnings():  # newer torch names the option otherwise, older torch only so
                warnings.simplefilter("ignore", FutureWarning)
                self._run = DistributedDataParallel(self._objective, broadcast_buffers=False)

    def run(self) -> None:
        """Trains to the last epoch.

        Raises:
            RuntimeError: the loss is not finite.
            SystemExit: SIGTERM came; what was done is saved.
        """
        config, team, start, size = self._config, self._team, self._start, self._size
        logger.info(
            "training on %d images of %d identities under %d cameras, %d steps of %d images",
            len(self._loader.label), len(start.identity_keys), len(start.camera_keys), size * config.epochs,
            config.batch_size,
        )  # fmt: skip
        with Record(
            self._out if team.first else None, start, self._values, batch_size=config.batch_size, steps_per_epoch=size,
            tensorboard=config.tensorboard,
        ) as record, _told_to_end() as told:  # fmt: skip
            saved_s = time.monotonic()
            steps = size * (config.epochs - start.epoch) - start.epoch_step
            for epoch, index, batch in track(
                self._batches(), label="train", total=steps, unit="images", units_per_item=config.batch_size
            ):
                if index == 0:
                    reset_statistics(self._model)
                rate = learning_rate(config, epoch)
                loss, accuracy, stop = self._train_batch(batch, epoch, index, rate, told)
                last = record.add(epoch, loss, accuracy, rate)
                if not self._steps_after(index):
                    continue
                due = 0 < 60 * config.checkpoint_minutes < time.monotonic() - saved_s
                if last or due or stop:
                    if team.first:
                        self._save(record.state(epoch, index + 1, last=last), record.epoch_values)
                    saved_s = time.monotonic()
                if stop and not (last and epoch + 1 == config.epochs):
                    logger.warning(
                        "told to end; %s is saved after step %d and goes on from there", self._out, record.step
                    )
                    raise SystemExit(TERMINATED)

    def _batches(self) -> Iterator[tuple[int, int, Batch]]:
        for epoch in range(self._start.epoch, self._config.epochs):
            first = self._start.epoch_step if epoch == self._start.epoch else 0
            for index, batch in enumerate(self._loader.epoch(epoch, first), first):
                yield epoch, index, batch.to(self._team.device)

    def _steps_after(self, index: int) -> bool:
        """Whether the weights change after a batch of the epoch."""
        return (index + 1) % self._config.accumulate == 0 or index + 1 == self._size

    def _train_batch(
        self, batch: Batch, epoch: int, index: int, rate: float, told: list[int]
    ) -> tuple[float, float, bool]:
        """Loss, share of what is told, and whether a process was told to end."""
        first = index - index % self._config.accumulate
        together = min(self._config.accumulate, self._size - first)
        steps = self._steps_after(index)
        if isinstance(self._run, DistributedDataParallel):
            self._run.require_backward_grad_sync = steps
        loss, accuracy = self._run(batch)
        value, correct, stop = self._team.mean([loss.item(), accuracy.item(), float(bool(told))])
        if not math.isfinite(value):
            raise self._broken(f"the loss became {value}", epoch, range(index, index + 1), rate)
        self._descent.add(loss, 1 / together)
        if steps and not self._descent.step(rate):
            raise self._broken("the gradients became infinite or nan", epoch, range(first, index + 1), rate)
        return value, correct, stop > 0

    def _broken(self, what: str, epoch: int, indices: range, rate: float) -> RuntimeError:
        paths = [path for index in indices for path in self._loader.paths(epoch, index)]
        return RuntimeError(
            f"{what} in epoch {epoch + 1}, step {epoch * self._size + indices[-1] + 1}, at learning rate {rate:g}; "
            f"lower train.learning_rate (the last good state is kept in {self._out}); the batch: "
            + ", ".join(paths[:8])
            + (f" and {len(paths) - 8} more" if len(paths) > 8 else "")
        )

    def _save(self, state: RunState, values: list[tuple[float, float]]) -> None:
        finished = state.epoch == self._config.epochs
        extra = {"values": values, "objective": own_state(self._objective), **self._descent.state()}
        save_checkpoint(
            self._out, self._model, state, optimizer=None if finished else self._descent.optimizer, extra=extra,
            weights=self._descent.mean,
        )  # fmt: skip

    def _resume(self) -> list[tuple[float, float]]:
        """Goes on from the checkpoint; returns loss and accuracy of the finished steps of the epoch."""
        extra = load_optimizer(self._out, self._descent.optimizer, self._start)
        try:
            load_own_state(self._objective, extra["objective"])
            self._descent.load(extra)
            return [(float(loss), float(accuracy)) for loss, accuracy in extra["values"]]
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"training cannot go on in {self._out}: {error}; delete it to start again") from error


def _require_compiler(name: str) -> None:
    known = torch.compiler.list_backends(exclude_tags=()) if name else []
    if name and name not in known:
        raise ValueError(f"train.compiler = {name!r} is no backend of torch.compile; there are {', '.join(known)}")


@contextmanager
def _told_to_end() -> Iterator[list[int]]:
    """Yields a list that is no longer empty once SIGTERM came, which then does not end the process."""
    told: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread only
        yield told
        return
    previous = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, previous)
