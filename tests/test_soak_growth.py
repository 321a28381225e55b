"""The measurement of growth: exponents, warnings, and one stage at its smallest size."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "soak" / "growth.py"


@pytest.fixture(scope="module")
def growth():
    specification = importlib.util.spec_from_file_location("growth", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    before = list(sys.path)
    specification.loader.exec_module(module)
    yield module
    sys.path[:] = before


@pytest.mark.parametrize(
    ("cost", "power"),
    [
        ([5 + n for n in (1, 4, 16)], 1.0),
        ([9 + 2 * n**2 for n in (1, 4, 16)], 2.0),
        ([3 + n**0.5 for n in (1, 4, 16)], 0.5),
    ],
)
def test_the_fixed_cost_is_left_out(growth, cost, power) -> None:
    assert growth.exponent(cost) == pytest.approx(power)


@pytest.mark.parametrize("cost", [[5.0, 5.1, 5.2], [3.0, 2.0, 9.0], [1.0, 9.0, 8.0]])
def test_what_hardly_grows_has_no_exponent(growth, cost) -> None:
    assert math.isnan(growth.exponent(cost))


def test_a_table_a_figure_and_a_warning(growth, tmp_path: Path, monkeypatch, capsys) -> None:
    rows = [
        {"stage": stage, "times": times, "cpu_s": 1 + times**power, "wall_s": 9.0, "memory_mb": 100.0}
        for stage, power in (("crop", 1.0), ("index", 1.5), ("cluster", 2.0))
        for times in growth.TIMES
    ]
    (tmp_path / "growth.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["growth.py", "--out", str(tmp_path), "--stages", "crop,index,cluster"])
    assert growth.main() == 0, "what is there is not measured again"
    told = capsys.readouterr().out
    assert "| 2.000, 5.000, 17.000 | 1.00 | 100, 100, 100 | - |" in told
    assert "WARNING: index: cpu grows as n^1.50: to be mended" in told
    assert "WARNING: cluster: cpu grows as n^2.00: every image is compared with every other" in told
    assert told.count("WARNING") == 2 and (tmp_path / "growth.svg").read_text("utf-8").startswith("<?xml")
    monkeypatch.setattr(sys, "argv", ["growth.py", "--out", str(tmp_path), "--stages", "fly"])
    with pytest.raises(SystemExit):
        growth.main()
    assert "there is no stage fly; there are synth, crop" in capsys.readouterr().err


def test_a_stage_is_measured(growth) -> None:
    pytest.importorskip("psutil")
    row = growth.measure("index", 1)
    assert row["stage"] == "index" and 0 < row["cpu_s"] and row["memory_mb"] > 10
