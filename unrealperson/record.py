"""What a run says of itself while it trains: metrics.jsonl, and the same for TensorBoard."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from unrealperson.checkpoint import RunState
from unrealperson.files import replacing
from unrealperson.log import get_logger

logger = get_logger(__name__)

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"
EVERY_STEPS = 10
"""Steps between two lines of the record."""


class Record:
    """Counts steps and writes down their means: every few steps, and at the end of each epoch.

    Args:
        out: folder of the run; None writes nothing, as in all processes but the first.
        state: what the run says of itself; lines of steps that it does not count are dropped.
        values: loss and accuracy of each finished step of the epoch that is not finished.
        batch_size: images in one step.
        steps_per_epoch: steps of an epoch.
        tensorboard: also write what TensorBoard shows.

    Raises:
        RuntimeError: TensorBoard's package is missing.
    """

    def __init__(
        self,
        out: Path | None,
        state: RunState,
        values: list[tuple[float, float]],
        *,
        batch_size: int,
        steps_per_epoch: int,
        tensorboard: bool = False,
    ) -> None:
        self._before = state
        self._batch_size = batch_size
        self._steps_per_epoch = steps_per_epoch
        self._start = self._last = time.monotonic()
        self._since = len(values) % EVERY_STEPS
        self.epoch_values = list(values)
        self.step = state.step
        self._board = _board(out / TENSORBOARD_FOLDER, state.step) if out and tensorboard else None
        self._file = None
        if out is not None:
            cut_record(out / METRICS_FILE, lambda line: line["epoch"] <= state.epoch or line["step"] <= state.step)
            self._file = (out / METRICS_FILE).open("a", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._file, self._board):
            if each is not None:
                each.close()

    def state(self, epoch: int, epoch_step: int, *, last: bool) -> RunState:
        """The run's state after a step of an epoch.

        Args:
            epoch: 0 for the first.
            epoch_step: finished steps of it.
            last: whether the epoch is finished.
        """
        return dataclasses.replace(
            self._before,
            epoch=epoch + last,
            epoch_step=0 if last else epoch_step,
            step=self.step,
            seconds=self._seconds(),
        )

    def add(self, epoch: int, loss: float, accuracy: float, rate: float) -> bool:
        """Takes one step's values.

        Args:
            epoch: 0 for the first.
            loss: of the step.
            accuracy: share of its images that are told, 0 to 1.
            rate: learning rate.

        Returns:
            Whether it was the epoch's last step.
        """
        self.step += 1
        self._since += 1
        self.epoch_values.append((loss, accuracy))
        last = len(self.epoch_values) == self._steps_per_epoch
        if last or self._since == EVERY_STEPS:
            self._write(epoch, self.epoch_values[-self._since :], rate)
            self._last, self._since = time.monotonic(), 0
        if last:
            mean_loss, mean_accuracy = np.mean(self.epoch_values, axis=0)
            logger.info("epoch %d: loss %.3f, accuracy %.1f %%", epoch + 1, mean_loss, 100 * mean_accuracy)
            self.epoch_values.clear()
        return last

    def _seconds(self) -> float:
        """Training time, that of earlier starts included."""
        return self._before.seconds + time.monotonic() - self._start

    def _write(self, epoch: int, values: list[tuple[float, float]], rate: float) -> None:
        if self._file is None:
            return
        loss, accuracy = np.mean(values, axis=0)
        line: dict[str, Any] = {
            "epoch": epoch + 1,
            "step": self.step,
            "loss": round(float(loss), 5),
            "accuracy": round(float(accuracy), 4),
            "lr": rate,
            "images_per_s": round(len(values) * self._batch_size / max(time.monotonic() - self._last, 1e-9), 1),
            "seconds": round(self._seconds(), 2),
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._board is not None:
            for name in ("loss", "accuracy", "lr", "images_per_s"):
                self._board.add_scalar(f"train/{name}", line[name], self.step)


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RuntimeError(
            "train.tensorboard needs the package tensorboard: pip install tensorboard, or leave it out "
            f"({METRICS_FILE} holds the same numbers)"
        ) from error
    return SummaryWriter(str(folder), purge_step=step + 1)


def cut_record(path: Path, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Drops lines of a record: of what was not saved and is done again, and with a warning those that are damaged.

    Args:
        path: the record, if it is there.
        keep: tells of a line whether it stays.
    """
    if not path.is_file():
        return
    kept, damaged = [], []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        try:
            if keep(json.loads(line)):
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            if line.endswith(b"\n"):  # or else the process ended while it wrote it
                damaged.append(str(number))
    if damaged:
        logger.warning("%s: damaged lines are dropped: %s", path, ", ".join(damaged))
    with replacing(path) as partial:
        partial.write_bytes(b"".join(kept))
