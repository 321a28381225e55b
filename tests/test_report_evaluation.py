"""The page about an evaluation, through the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from learning import make_figures

from unrealperson.cli import main
from unrealperson.report.evaluation import write_evaluation
from unrealperson.report.figures import errors_chart, images_chart

FLAGS = (
    "--train.backbone", "osnet_x0_25", "--train.weights", "none", "--train.height", "64", "--train.width", "32",
    "--evaluate.bootstrap", "20", "--evaluate.min-statistics-images", "4", "--evaluate.curve-images", "2", "4",
    "--evaluate.curve-draws", "1", "--evaluate.false-accepts", "0.5", "0.01", "--evaluate.batch-size", "9",
)  # fmt: skip


@pytest.fixture(scope="module")
def figures(tmp_path_factory) -> Path:
    """Figures with a little truth: view and light by camera, and one person without images under a second camera."""
    manifest = make_figures(tmp_path_factory.mktemp("figures"), identities=3, cameras=2)
    manifest = manifest.select((manifest.pid != 12) | (manifest.camid == 1))
    for name, values in (("yaw_deg", (0.0, 180.0)), ("light", (0, 1))):
        manifest = manifest.replaced(name, np.array(values)[manifest.camid - 1].tolist())
    manifest.write()
    return manifest.root


@pytest.fixture(scope="module")
def evaluation(figures, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("scores")
    config = out / "config_of_the_run.toml"
    keys = {key[8:]: value for key, value in zip(FLAGS[:8:2], FLAGS[1:8:2], strict=True)}
    quoted = {key: value if value.isdigit() else f'"{value}"' for key, value in keys.items()}
    config.write_text("[train]\n" + "".join(f"{key} = {value}\n" for key, value in quoted.items()))
    command = ["evaluate", "--config", str(config), "--data", str(figures), "--out", str(out), "--factors", "--curve"]
    assert main([*command, "--evaluate.rerank", "True", "--evaluate.joint", "True", *FLAGS[8:]]) == 0
    return out


def test_evaluation_leaves_numbers_lines_and_a_page(evaluation, capsys):
    metrics = json.loads((evaluation / "metrics.json").read_text())
    assert {"camera_pairs", "open_set", "factors", "curve", "reranked", "joint", "statistics"} <= set(metrics)
    text = (evaluation / "metrics.txt").read_text()
    for line in ("rank-1", "re-ranked by", "looks and times", "1 query left out, own camera only", "open set,",
                 "view (side", "light (light step", "images of each camera", "none: training"):  # fmt: skip
        assert line in text
    page = (evaluation / "report.html").read_text()
    assert page.count("<svg") == 1 + 1 + 1 + len(metrics["factors"])
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "<script" not in page and not re.search(r'(src|href)="(?!data:|#)', page)
    for words in ("How well people are found", "When to believe a hit", "Images per camera", "What makes it hard",
                  "Queries left out", "named another", "cannot be told from so few searches"):  # fmt: skip
        assert words in page
    for group in metrics["factors"][0]["groups"]:
        assert f"{100 * group['rank1']:.1f}" in page


def test_the_report_verb_writes_the_page_again(evaluation, tmp_path):
    assert main(["report", "--data", str(evaluation), "--out", str(tmp_path / "again.html")]) == 0
    assert (tmp_path / "again.html").read_text() == (evaluation / "report.html").read_text()
    with pytest.raises(FileNotFoundError):
        write_evaluation(tmp_path, tmp_path / "none.html")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--query", "nowhere.jpg"), "there is no image or folder nowhere.jpg to look for"),
        (("--evaluate.where", "hours=night"), r"none of 15 rows meets evaluate.where = \['hours=night'\]"),
        (("--evaluate.where", "hat=red"), "there is no column or attribute 'hat'"),
        (("--evaluate.threshold", "7"), "evaluate.threshold must lie in -1 ... 1, got 7.0"),
        (("--evaluate.curve-images", "1"), "evaluate.curve_images must be 2 or more"),
    ],
)
def test_a_mistake_is_told_in_one_line(figures, capsys, flags, message):
    assert main(["evaluate", "--data", str(figures), *flags]) == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))


def test_a_page_needs_no_intervals(evaluation, tmp_path):
    def without(value):
        if isinstance(value, dict):
            return {key: {} if key == "interval" else without(each) for key, each in value.items()}
        return [without(each) for each in value] if isinstance(value, list) else value

    for name in ("ranking.json", "config.toml"):
        (tmp_path / name).write_bytes((evaluation / name).read_bytes())
    metrics = without(json.loads((evaluation / "metrics.json").read_text()))
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert "What makes it hard" in write_evaluation(tmp_path, tmp_path / "page.html").read_text()


def test_help_teaches_by_examples(capsys):
    assert main(["evaluate", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in ("--factors --curve", "--query 0002_c1s1_000451_03.jpg"):
        assert words in text


def test_charts_hold_their_numbers_as_text():
    rows = [
        {"images": images, "statistics": "own"} | dict.fromkeys(("rank1", "rank1_low", "rank1_high"), 0.5)
        | dict.fromkeys(("map", "map_low", "map_high"), 0.25)
        for images in (0, 2, 300, 320)
    ]  # fmt: skip
    words = set(re.findall(r">[\w-]+<", images_chart("a", rows)))
    assert {">2<", ">320<", ">rank-1<", ">mAP<"} <= words and ">300<" not in words  # 300 would lie over 320
    chart = errors_chart("b", {"threshold": [0.1, 0.5], "far": [1, 0], "frr": [0.2, 0.9]}, [0.25])
    assert ">0.250<" in chart and ">false accepts<" in chart
