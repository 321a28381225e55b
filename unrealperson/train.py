"""Training on labelled crops: camera-balanced batches, cross-entropy over the identities."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from torch.nn import functional as F

from unrealperson.checkpoint import (
    RunState,
    load_optimizer,
    load_state,
    load_weights,
    prepare_run,
    save_checkpoint,
)
from unrealperson.config import Config, TrainConfig
from unrealperson.data.loader import TrainLoader, training_rows
from unrealperson.data.manifest import Manifest
from unrealperson.files import only_process, write_text
from unrealperson.log import get_logger, track
from unrealperson.models import reuse_memory
from unrealperson.models.cbn import reset_statistics
from unrealperson.models.reid import ReidModel, build_model
from unrealperson.schema import Batch

logger = get_logger(__name__)

METRICS_FILE = "metrics.jsonl"
EVERY_STEPS = 10
"""Steps between two lines of the record."""


def train(manifest: Manifest, config: Config, out: str | Path) -> Path:
    """Trains a network, or goes on with what `out` holds; a finished run returns at once.

    The result depends on the configuration and the images alone: a run that was cut off and went on
    ends with the same weights as one that was not, on the same machine and number of threads.

    Args:
        manifest: crops; rows with split "train" are used, all rows where no row has a split.
        config: sections [train]; all sections are saved with the run.
        out: folder of the run.

    Returns:
        `out`, which holds model.safetensors, config.toml and metrics.jsonl.

    Raises:
        ValueError: no training row, too few identities, cameras or images, an unreadable image, or a folder
            that holds another run.
        RuntimeError: the loss is not finite, or another process trains in `out`.

    Source: paper section 4.1 (SGD, cross-entropy, learning rate decayed once).
    """
    out = Path(out)
    rows = training_rows(manifest)
    loader = TrainLoader(rows, config.train)
    out.mkdir(parents=True, exist_ok=True)
    with only_process(out):
        return _train(loader, rows, config, out)


def _train(loader: TrainLoader, rows: Manifest, config: Config, out: Path) -> Path:
    settings = config.train
    resumed = prepare_run(out, config)
    state = RunState(
        epoch=0,
        identity_keys=tuple(loader.identity_keys.tolist()),
        camera_keys=tuple(loader.camera_keys.tolist()),
        data_sha256=rows.sha256(),
        data_root=str(rows.root.absolute()),
    )
    if resumed:
        earlier = load_state(out)
        if earlier.data_sha256 != state.data_sha256:
            raise ValueError(f"{out} was trained on other data; choose another --out, or delete the folder")
        state = earlier
        if state.epoch >= settings.epochs:
            logger.info("%s is trained already, %d epochs", out, state.epoch)
            return out
        logger.info("going on with %s after epoch %d", out, state.epoch)
    reuse_memory()
    model = build_model(
        settings, classes=len(state.identity_keys), cameras=len(state.camera_keys), pretrained=not resumed
    ).train()
    optimizer = torch.optim.SGD(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    if resumed:
        load_weights(out, model)
        load_optimizer(out, optimizer, state.epoch)
    logger.info(
        "training on %d images of %d identities under %d cameras, %d steps of %d images",
        len(rows), len(state.identity_keys), len(state.camera_keys), len(loader) * settings.epochs, settings.batch_size,
    )  # fmt: skip
    _cut_record(out / METRICS_FILE, state.epoch)
    with (out / METRICS_FILE).open("a", encoding="utf-8") as record:
        steps = _steps(loader, state.epoch, settings.epochs)
        total = len(loader) * (settings.epochs - state.epoch)
        meter = _Meter(state, settings.batch_size, len(loader), record)
        for epoch, batch in track(steps, label="train", total=total, unit="steps"):
            if meter.epoch_step == 0:
                reset_statistics(model)
            rate = learning_rate(settings, epoch)
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss, accuracy = _step(model, optimizer, batch)
            if not math.isfinite(loss):
                raise RuntimeError(
                    f"the loss became {loss} in epoch {epoch + 1}, step {meter.step + 1}, at learning rate {rate:g}; "
                    f"lower train.learning_rate (the last good epoch is kept in {out})"
                )
            if meter.update(epoch, loss, accuracy, rate):
                finished = epoch + 1 == settings.epochs
                save_checkpoint(out, model, meter.state(epoch + 1), optimizer=None if finished else optimizer)
    return out


def learning_rate(config: TrainConfig, epoch: int) -> float:
    """The step size of an epoch.

    Args:
        config: section [train].
        epoch: 0 for the first; from `decay_epoch` on the rate is a tenth.
    """
    return config.learning_rate * (0.1 if epoch >= config.decay_epoch else 1.0)


def _steps(loader: TrainLoader, first: int, last: int) -> Iterator[tuple[int, Batch]]:
    for epoch in range(first, last):
        for batch in loader.epoch(epoch):
            yield epoch, batch


def _step(model: ReidModel, optimizer: torch.optim.Optimizer, batch: Batch) -> tuple[float, float]:
    _, logits = model(batch.images, batch.camera)
    loss = F.cross_entropy(logits, batch.label)
    optimizer.zero_grad()
    value = loss.item()
    if math.isfinite(value):
        loss.backward()
        optimizer.step()
    return value, (logits.argmax(1) == batch.label).float().mean().item()


class _Meter:
    """Counts steps and writes the record: every few steps, and once an epoch its means."""

    def __init__(self, state: RunState, batch_size: int, steps_per_epoch: int, record: TextIO) -> None:
        self._before = state
        self._batch_size = batch_size
        self._steps_per_epoch = steps_per_epoch
        self._record = record
        self._start = self._last = time.monotonic()
        self._epoch_values: list[tuple[float, float]] = []
        self._since = 0
        self.step = state.step

    @property
    def epoch_step(self) -> int:
        """Steps done in this epoch."""
        return len(self._epoch_values)

    @property
    def seconds(self) -> float:
        """Training time, that of earlier starts included."""
        return self._before.seconds + time.monotonic() - self._start

    def state(self, epoch: int) -> RunState:
        """The run's state after an epoch."""
        before = self._before
        return RunState(
            epoch, before.identity_keys, before.camera_keys, before.data_sha256, before.data_root,
            step=self.step, seconds=self.seconds,
        )  # fmt: skip

    def update(self, epoch: int, loss: float, accuracy: float, rate: float) -> bool:
        """Takes one step's values; returns whether it was the epoch's last."""
        self.step += 1
        self._since += 1
        self._epoch_values.append((loss, accuracy))
        last = len(self._epoch_values) == self._steps_per_epoch
        if last or self._since == EVERY_STEPS:
            recent = self._epoch_values[-self._since :]
            self._write(epoch, recent, rate)
        if last:
            mean_loss, mean_accuracy = np.mean(self._epoch_values, axis=0)
            logger.info("epoch %d: loss %.3f, accuracy %.1f %%", epoch + 1, mean_loss, 100 * mean_accuracy)
            self._epoch_values.clear()
            self._since = 0
        return last

    def _write(self, epoch: int, values: list[tuple[float, float]], rate: float) -> None:
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


def _cut_record(path: Path, epoch: int) -> None:
    """Drops the lines of epochs that were not finished and are trained again."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["epoch"] <= epoch:
                kept.append(line + "\n")
        except (json.JSONDecodeError, KeyError):
            break
    write_text(path, "".join(kept))
