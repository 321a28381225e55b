"""The quick part of soak/: what trials count and conclude, and some of the cheapest of them."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "soak"))

pytest.importorskip("psutil", reason="needs psutil: pip install 'unrealperson[test]'")

from endurance import trend, verdict  # noqa: E402
from faults import KINDS, carry_out, planned, table  # noqa: E402
from trials.journal import Journal  # noqa: E402
from trials.running import End  # noqa: E402
from trials.site import Site  # noqa: E402

CHEAP = ("damage: ONNX", "kill: index", "full disk: index", "kill: serve")


def test_every_kind_is_among_the_first_trials_in_its_share() -> None:
    plan = planned(sum(kind.share for kind in KINDS))
    assert Counter(kind.name for kind in plan) == {kind.name: kind.share for kind in KINDS}
    assert len({kind.name for kind in plan[:70]}) == len(KINDS)
    assert planned(30) == plan[:30] and len(planned(450)) == 450 and len(plan) > 200


def test_the_table_counts() -> None:
    lines = [{"kind": "kill: train", "result": "clean resume"}] * 3 + [{"kind": "endpoint", "result": "wrong"}]
    assert table(lines).splitlines()[2:] == [
        "| kill: train | 3 | 3 |  |",
        "| endpoint | 1 |  | 1 |",
        "| all | 4 | 3 | 1 |",
    ]


@pytest.mark.parametrize(
    ("status", "words", "clear"),
    [
        (2, "unrealperson: error: data/a.jpg is damaged", True),
        (2, "Traceback (most recent call last):\nunrealperson: error: x", False),
        (2, "unrealperson: error: " + 999 * "x", False),
        (1, "unrealperson: error: x", False),
        (-11, "unrealperson: error: x", False),
        (None, "", False),
    ],
)
def test_what_counts_as_a_clear_error(status: int | None, words: str, clear: bool) -> None:
    assert End(status, words, 0.0).is_clear_error is clear


def test_a_journal_goes_on_after_a_line_that_was_cut_off(tmp_path: Path) -> None:
    Journal(tmp_path / "a.jsonl").add({"number": 1})
    with (tmp_path / "a.jsonl").open("a") as stream:
        stream.write('{"number": ')
    journal = Journal(tmp_path / "a.jsonl")
    journal.add({"number": 2})
    assert Journal(tmp_path / "a.jsonl").lines == journal.lines == [{"number": 1}, {"number": 2}]


def test_a_leak_is_told_from_warming_up_and_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 3, 80)
    warm = np.where(np.arange(80) < 15, 100.0, 400.0) + noise
    assert trend(list(warm), "memory").flat and not trend(list(warm + np.arange(80)), "memory").flat
    assert trend([20.0] * 80, "files").flat and not trend(list(20 + np.arange(80) // 8), "files").flat
    line = {"seconds": 1.0, "cpu_s": 1.0, "images": 9, "bytes": 1 << 20}
    same = {name: {"memory": 100.0, "files": 9, "threads": 3} for name in ("main", "simulator", "server")}
    assert verdict([line | same] * 8)[1]
    growing = [line | same | {"server": same["server"] | {"threads": number}} for number in range(8)]
    assert (
        not verdict(growing)[1] and "| server | threads | 6 | 2.0 | 7.0 | +5.0 | 2.0 | GROWS |" in verdict(growing)[0]
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


def try_one(name: str, number: int, site: Site, folder: Path) -> None:
    (kind,) = (kind for kind in KINDS if kind.name == name)
    outcome = carry_out(kind, number, 1, site, folder)
    assert outcome.result not in ("wrong", "cannot know"), outcome


@pytest.mark.parametrize("name", CHEAP)
def test_a_cheap_trial(name: str, site: Site, tmp_path: Path) -> None:
    try_one(name, 0, site, tmp_path)


@pytest.mark.check
@pytest.mark.parametrize(
    "name",
    ["kill: synth", "kill: simulator", "kill: train", "kill: loading worker", "kill: gallery add", "full disk: synth",
     "full disk: train", "clock: train", "damage: PNG", "damage: Parquet", "damage: safetensors", "damage: checkpoint",
     "damage: gallery", "endpoint"],
)  # fmt: skip
def test_a_trial(name: str, site: Site, tmp_path: Path) -> None:
    pytest.importorskip("unrealcv", reason="synthesis needs unrealcv: pip install 'unrealperson[synth]'")
    try_one(name, 1, site, tmp_path)
