"""Training on labelled crops, in one process or in several that torchrun starts."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

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
from unrealperson.distributed import Team, join_team
from unrealperson.files import only_process, write_text
from unrealperson.log import get_logger, track
from unrealperson.models import reuse_memory
from unrealperson.models.cbn import reset_statistics
from unrealperson.models.losses import Losses
from unrealperson.models.reid import ReidModel, build_model
from unrealperson.schema import Batch

logger = get_logger(__name__)

METRICS_FILE = "metrics.jsonl"
EVERY_STEPS = 10
"""Steps between two lines of the record."""
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
        `out`, which holds model.safetensors, config.toml and metrics.jsonl.

    Raises:
        ValueError: no training row, too few identities, cameras or images, an unreadable image, or a folder
            that holds another run.
        RuntimeError: the loss is not finite, weights are missing, or another process trains in `out`.
        SystemExit: SIGTERM came; what was done is saved.

    Source: paper section 4.1 (SGD, cross-entropy, learning rate decayed once).
    """
    out = Path(out)
    rows = training_rows(manifest)
    with join_team() as team, ExitStack() as stack:
        loader = make_loader(rows, config.train, rank=team.rank, world=team.world, device=team.device)
        if team.first:
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(only_process(out))
        state = _state(loader, rows, config, out) if team.first else None
        state = team.share(state)
        if state is not None and state.epoch < config.train.epochs:
            _Training(loader, config.train, out, state, team).run()
    return out


def learning_rate(config: TrainConfig, epoch: int) -> float:
    """The step size of an epoch.

    Args:
        config: section [train].
        epoch: 0 for the first; from `decay_epoch` on the rate is a tenth.
    """
    if epoch < config.warmup_epochs:
        return config.learning_rate * (0.01 + 0.99 * epoch / config.warmup_epochs)
    second = 0 < config.second_decay_epoch <= epoch
    return config.learning_rate * (0.1 if epoch >= config.decay_epoch else 1.0) * (0.1 if second else 1.0)


def _state(loader: TrainLoader, rows: Manifest, config: Config, out: Path) -> RunState:
    """The run's state, the folder claimed for it."""
    resumed = prepare_run(out, config)
    state = RunState(
        epoch=0,
        identity_keys=tuple(loader.identity_keys.tolist()),
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


class _Step(nn.Module):
    """Network and losses of one batch, as one module, so that DDP sees the whole step."""

    def __init__(self, model: ReidModel, losses: Losses, config: TrainConfig, team: Team) -> None:
        super().__init__()
        self.model = model
        self.losses = losses
        self._gather = team.gather if team.world > 1 else None
        self._device = team.device.type
        self._mixed = config.precision == "bfloat16"

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, and the share of images whose identity is told."""
        with torch.autocast(self._device, torch.bfloat16, enabled=self._mixed):
            features, logits = self.model(batch.images, batch.camera)
        loss = self.losses(features, logits, batch.label, self._gather)
        return loss, (logits.argmax(1) == batch.label).float().mean()


class _Training:
    """One run from where it stands to its end."""

    def __init__(self, loader: TrainLoader, config: TrainConfig, out: Path, state: RunState, team: Team) -> None:
        self._loader, self._config, self._out, self._team = loader, config, out, team
        self._start = state
        reuse_memory()
        classes, cameras = len(state.identity_keys), len(state.camera_keys)
        resumed = state.step > 0
        model = build_model(
            config, classes=classes, cameras=cameras, pretrained=not (resumed or config.from_run),
            process_group=team.norm_group,
        )  # fmt: skip
        if config.from_run and not resumed:
            load_start(config.from_run, model, config)
        self._model = model.train().to(team.device)
        losses = Losses(config, dimension=model.dimension, classes=classes).to(team.device)
        self._step = _Step(model, losses, config, team)
        self._optimizer = _optimizer(model, config)
        self._mean = {name: value.detach().clone() for name, value in model.named_parameters()} if config.ema else {}
        self._values: list[tuple[float, float]] = []
        if resumed:
            self._resume()
        self._run: nn.Module = self._step
        if team.world > 1:
            with warnings.catch_warnings():  # newer torch names the option otherwise, older torch only so
                warnings.simplefilter("ignore", FutureWarning)
                self._run = DistributedDataParallel(self._step, broadcast_buffers=False)

    def run(self) -> None:
        """Trains to the last epoch.

        Raises:
            RuntimeError: the loss is not finite.
            SystemExit: SIGTERM came; what was done is saved.
        """
        loader, config, team, state = self._loader, self._config, self._team, self._start
        logger.info(
            "training on %d images of %d identities under %d cameras, %d steps of %d images",
            len(loader.label), len(state.identity_keys), len(state.camera_keys), len(loader) * config.epochs,
            config.batch_size,
        )  # fmt: skip
        if team.first:
            _cut_record(self._out / METRICS_FILE, state.epoch, state.step)
        with ExitStack() as stack:
            record = None
            if team.first:
                record = stack.enter_context((self._out / METRICS_FILE).open("a", encoding="utf-8"))
            told = stack.enter_context(_told_to_end())
            meter = _Meter(state, self._values, config.batch_size, len(loader), record)
            saved_s = time.monotonic()
            total = len(loader) * (config.epochs - state.epoch) - state.epoch_step
            for epoch, index, batch in track(self._batches(), label="train", total=total, unit="steps"):
                if index == 0:
                    reset_statistics(self._model)
                rate = learning_rate(config, epoch)
                loss, accuracy, stop = self._train_batch(batch, epoch, index, rate, told)
                last = meter.update(epoch, loss, accuracy, rate)
                if not (last or (index + 1) % config.accumulate == 0):
                    continue
                due = 0 < 60 * config.checkpoint_minutes < time.monotonic() - saved_s
                if last or due or stop:
                    if team.first:
                        self._save(meter.state(epoch, index + 1, last=last), meter)
                    saved_s = time.monotonic()
                if stop and not (last and epoch + 1 == config.epochs):
                    logger.warning(
                        "told to end; %s is saved after step %d and goes on from there", self._out, meter.step
                    )
                    raise SystemExit(TERMINATED)

    def _batches(self) -> Iterator[tuple[int, int, Batch]]:
        for epoch in range(self._start.epoch, self._config.epochs):
            first = self._start.epoch_step if epoch == self._start.epoch else 0
            for index, batch in enumerate(self._loader.epoch(epoch, first), first):
                yield epoch, index, batch.to(self._team.device)

    def _train_batch(
        self, batch: Batch, epoch: int, index: int, rate: float, told: list[int]
    ) -> tuple[float, float, bool]:
        config = self._config
        size = len(self._loader)
        ends = (index + 1) % config.accumulate == 0 or index + 1 == size
        if isinstance(self._run, DistributedDataParallel):
            self._run.require_backward_grad_sync = ends
        loss, accuracy = self._run(batch)
        value, correct, stop = self._team.mean([loss.item(), accuracy.item(), float(bool(told))])
        if not math.isfinite(value):
            paths = self._loader.paths(epoch, index)
            raise RuntimeError(
                f"the loss became {value} in epoch {epoch + 1}, step {epoch * size + index + 1}, at learning rate "
                f"{rate:g}; lower train.learning_rate (the last good state is kept in {self._out}); the batch: "
                + ", ".join(paths[:8])
                + (f" and {len(paths) - 8} more" if len(paths) > 8 else "")
            )
        if index % config.accumulate == 0:
            self._optimizer.zero_grad()
        (loss / config.accumulate if config.accumulate > 1 else loss).backward()
        if ends:
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            self._optimizer.step()
            with torch.no_grad():
                for name, value_of in self._model.named_parameters() if self._mean else ():
                    self._mean[name].lerp_(value_of, 1 - config.ema)
        return value, correct, stop > 0

    def _save(self, state: RunState, meter: _Meter) -> None:
        finished = state.epoch == self._config.epochs
        extra = {"values": meter.epoch_values, "losses": self._step.losses.state_dict()}
        if self._mean:
            extra["weights"] = dict(self._model.named_parameters())
        save_checkpoint(
            self._out, self._model, state, optimizer=None if finished else self._optimizer, extra=extra,
            weights=self._mean,
        )  # fmt: skip

    def _resume(self) -> None:
        load_weights(self._out, self._model)
        extra = load_optimizer(self._out, self._optimizer, self._start)
        try:
            self._step.losses.load_state_dict(extra["losses"])
            self._values = [(float(loss), float(accuracy)) for loss, accuracy in extra["values"]]
            with torch.no_grad():
                for name, value in self._model.named_parameters() if self._mean else ():
                    self._mean[name].copy_(value)
                    value.copy_(extra["weights"][name])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"training cannot go on in {self._out}: {error}; delete it to start again") from error


def _optimizer(model: ReidModel, config: TrainConfig) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        parameters, lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )


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


class _Meter:
    """Counts steps and writes the record: every few steps, and once an epoch its means."""

    def __init__(
        self,
        state: RunState,
        values: list[tuple[float, float]],
        batch_size: int,
        steps_per_epoch: int,
        record: TextIO | None,
    ) -> None:
        self._before = state
        self._batch_size = batch_size
        self._steps_per_epoch = steps_per_epoch
        self._record = record
        self._start = self._last = time.monotonic()
        self.epoch_values = list(values)
        self._since = len(values) % EVERY_STEPS
        self.step = state.step

    @property
    def seconds(self) -> float:
        """Training time, that of earlier starts included."""
        return self._before.seconds + time.monotonic() - self._start

    def state(self, epoch: int, epoch_step: int, *, last: bool) -> RunState:
        """The run's state after a step of an epoch."""
        return dataclasses.replace(
            self._before,
            epoch=epoch + last,
            epoch_step=0 if last else epoch_step,
            step=self.step,
            seconds=self.seconds,
        )

    def update(self, epoch: int, loss: float, accuracy: float, rate: float) -> bool:
        """Takes one step's values; returns whether it was the epoch's last."""
        self.step += 1
        self._since += 1
        self.epoch_values.append((loss, accuracy))
        last = len(self.epoch_values) == self._steps_per_epoch
        if last or self._since == EVERY_STEPS:
            recent = self.epoch_values[-self._since :]
            self._write(epoch, recent, rate)
        if last:
            mean_loss, mean_accuracy = np.mean(self.epoch_values, axis=0)
            logger.info("epoch %d: loss %.3f, accuracy %.1f %%", epoch + 1, mean_loss, 100 * mean_accuracy)
            self.epoch_values.clear()
            self._since = 0
        return last

    def _write(self, epoch: int, values: list[tuple[float, float]], rate: float) -> None:
        if self._record is None:
            return
        now = time.monotonic()
        loss, accuracy = np.mean(values, axis=0)
        line: dict[str, Any] = {
            "epoch": epoch + 1,
            "step": self.step,
            "loss": round(float(loss), 5),
            "accuracy": round(float(accuracy), 4),
            "lr": rate,
            "images_per_s": round(len(values) * self._batch_size / max(now - self._last, 1e-9), 1),
            "seconds": round(self.seconds, 2),
        }
        self._record.write(json.dumps(line) + "\n")
        self._record.flush()
        self._last, self._since = now, 0


def _cut_record(path: Path, epoch: int, step: int) -> None:
    """Drops the lines of steps that were not saved and are trained again."""
    if not path.is_file():
        return
    kept = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
            if line["epoch"] <= epoch or line["step"] <= step:
                kept.append(text + "\n")
        except (json.JSONDecodeError, KeyError):
            break
    write_text(path, "".join(kept))
