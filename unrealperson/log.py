"""Logging and progress: one logger per module, progress only on a terminal."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

ROOT = "unrealperson"


def get_logger(name: str) -> logging.Logger:
    """The logger of a module.

    Args:
        name: the module's `__name__`.
    """
    return logging.getLogger(name if name.startswith(ROOT) else f"{ROOT}.{name}")


def configure_logging(*, verbose: bool = False, quiet: bool = False, as_json: bool = False) -> None:
    """Sends log lines to standard error. Called once, by the command line.

    Args:
        verbose: also show debug lines.
        quiet: only warnings and errors, no progress.
        as_json: one JSON object per line instead of text.
    """
    handler = _StderrHandler()
    handler.setFormatter(_JsonFormatter() if as_json else _TextFormatter())
    logger = logging.getLogger(ROOT)
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)


def track(
    items: Iterable[T], *, label: str, total: int | None = None, unit: str = "it", units_per_item: int = 1
) -> Iterator[T]:
    """Yields the items and shows progress with the rate and the time left.

    On a terminal this is a bar; elsewhere a log line about every ten seconds.

    Args:
        items: what to iterate over.
        label: short name of the work.
        total: number of items where `items` has no length.
        unit: what is counted.
        units_per_item: how many of them an item is, such as the images of a batch.
    """
    if total is None:
        total = len(items)  # type: ignore[arg-type]
    logger = get_logger(ROOT)
    if not logger.isEnabledFor(logging.INFO):
        yield from items
    elif sys.stderr.isatty() and not _logs_json():
        yield from _bar(items, label, total, unit, units_per_item)
    else:
        yield from _lines(items, label, total, unit, units_per_item)


def _bar(items: Iterable[T], label: str, total: int, unit: str, each: int) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(f"{unit} {{task.fields[rate]}}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as progress:
        task = progress.add_task(label, total=total * each, rate="")
        for item in items:
            yield item
            progress.advance(task, each)
            speed = progress.tasks[task].speed
            progress.update(task, rate=f"{_rounded(speed)}/s" if speed else "")


def _lines(items: Iterable[T], label: str, total: int, unit: str, each: int, every_s: float = 10.0) -> Iterator[T]:
    logger = get_logger(ROOT)
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= every_s or (done == total and now - start >= 1.0):
            gone = now - start
            left = gone / done * max(total - done, 0)
            logger.info(
                "%s: %d of %d %s, %s/s, %.0f s gone, %.0f s left",
                label, done * each, total * each, unit, _rounded(done * each / gone), gone, left,
            )  # fmt: skip
            last = now


def _rounded(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"


def _logs_json() -> bool:
    return any(isinstance(handler.formatter, _JsonFormatter) for handler in logging.getLogger(ROOT).handlers)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        mark = "" if record.levelno <= logging.INFO else record.levelname.lower() + ": "
        text = mark + record.getMessage()
        return text + "\n" + self.formatException(record.exc_info) if record.exc_info else text


class _StderrHandler(logging.Handler):
    """Writes to what sys.stderr is now: a progress bar takes its place while it is drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except OSError:
            self.handleError(record)


class _JsonFormatter(logging.Formatter):
    """One object a line; what a line was given as `extra={"fields": {...}}` stands beside its message."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": os.getpid(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
