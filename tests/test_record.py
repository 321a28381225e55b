from __future__ import annotations

import json
import sys
import types

import pytest

from unrealperson.checkpoint import RunState
from unrealperson.record import Record, cut_record


def state(**values) -> RunState:
    return RunState(0, (1, 2), (1, 2), "abc", "data", **values)


def read(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_means_of_steps_and_the_end_of_epochs(tmp_path):
    with Record(tmp_path, state(), [], batch_size=4, steps_per_epoch=12) as record:
        ends = [record.add(epoch, step, 0.5, 0.1) for epoch in range(2) for step in range(12)]
    assert [index for index, last in enumerate(ends) if last] == [11, 23]
    lines = read(tmp_path)
    assert [(line["epoch"], line["step"], line["loss"]) for line in lines] == [
        (1, 10, 4.5), (1, 12, 10.5), (2, 22, 4.5), (2, 24, 10.5),
    ]  # fmt: skip


def test_lines_of_steps_that_were_not_saved_go(tmp_path):
    with Record(tmp_path, state(), [], batch_size=4, steps_per_epoch=30) as record:
        for step in range(25):
            record.add(0, step, 0.5, 0.1)
        saved = record.state(0, 15, last=False), record.epoch_values[:15]
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 1, "step": 25, "lo')
    begun = RunState(**{**saved[0].__dict__, "step": 15})
    with Record(tmp_path, begun, saved[1], batch_size=4, steps_per_epoch=30) as record:
        for step in range(15, 30):
            record.add(0, step, 0.5, 0.1)
    assert [(line["step"], line["loss"]) for line in read(tmp_path)] == [(10, 4.5), (20, 14.5), (30, 24.5)]


def test_only_the_first_process_writes():
    with Record(None, state(), [], batch_size=4, steps_per_epoch=1, tensorboard=True) as record:
        assert record.add(0, 1.0, 0.5, 0.1)


def test_tensorboard_shows_the_same_numbers(tmp_path, monkeypatch):
    shown, options = [], []

    class SummaryWriter:
        def __init__(self, folder, **values):
            options.append((folder, values))

        def add_scalar(self, *values):
            shown.append(values)

        def close(self):
            shown.append("closed")

    module = types.SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    with Record(tmp_path, state(step=6), [], batch_size=4, steps_per_epoch=2, tensorboard=True) as record:
        record.add(0, 1.0, 0.25, 0.1)
        record.add(0, 2.0, 0.75, 0.1)
    assert options == [(str(tmp_path / "tensorboard"), {"purge_step": 7})]
    assert shown[:3] == [("train/loss", 1.5, 8), ("train/accuracy", 0.5, 8), ("train/lr", 0.1, 8)]
    assert shown[-1] == "closed"


def test_tensorboard_reads_what_is_written(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Record(tmp_path, state(), [], batch_size=4, steps_per_epoch=1, tensorboard=True) as record:
        record.add(0, 1.5, 0.25, 0.1)
    read_back = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in read_back.Scalars("train/loss")] == [(1, 1.5)]


def test_damaged_lines_go_with_a_warning_and_one_that_was_cut_off_without(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"epoch": epoch}).encode() + b"\n" for epoch in (1, 2, 3)]
    path.write_bytes(lines[0] + b'{"epoc\xe8": 1}\n{"other": 1}\n' + lines[1] + lines[2] + b'{"ep')
    cut_record(path, lambda line: line["epoch"] < 3)
    assert path.read_bytes() == lines[0] + lines[1]
    assert "metrics.jsonl: damaged lines are dropped: 2, 3" in caplog.text
