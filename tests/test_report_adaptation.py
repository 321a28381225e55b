from __future__ import annotations

import json
import re

import numpy as np
import pytest
from learning import make_figures

from unrealperson.adapt.scoring import save_times
from unrealperson.cli import main
from unrealperson.ops import TemporalModel
from unrealperson.report.adaptation import write_adaptation_report


@pytest.fixture
def run(tmp_path):
    """A finished adaptation of 12 images: two clusters, one of them with a stranger."""
    manifest = make_figures(tmp_path / "data", identities=3, cameras=2, images=2)
    label = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, -1, -1, -1])
    folder = tmp_path / "run <1>"
    folder.mkdir()
    scores = {"direct": {"rank1": 0.5, "map": 0.25}, "adapted": {"rank1": 0.75, "map": 0.5}}
    summary = dict(method="jvtc", source=True, images=12, cameras=2, groups=2, scores=scores)
    (folder / "adaptation.json").write_text(json.dumps(summary | {"data": str(manifest.root)}))
    lines = [
        {"epoch": 1, "loss": 3.0, "groups": 2, "outliers": 3, "silhouette": -0.25, "agreement": None},
        {"epoch": 2, "loss": 2.0, "rank1": 0.75, "map": 0.5},
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    np.savez(
        folder / "labels.npz", version=1, path=np.array(manifest.path), label=label, camera=manifest.camid,
        frame=manifest.frame, pid=manifest.pid,
    )  # fmt: skip
    probability = np.zeros((2, 2, 20), np.float32)
    probability[1, 0, 3:6] = 1 / 3
    save_times(folder / "temporal.npz", TemporalModel(probability, 50), np.array([1, 2]), 25.0)
    return folder


def test_the_page_shows_scores_clusters_and_times(run):
    page = write_adaptation_report(run).read_text()
    assert "run &lt;1&gt;" in page and "<1>" not in page
    assert "75.0 %" in page and "JVTC, with the labelled source" in page
    assert page.count('<li class="hit') == 9 and page.count("another person") == 1
    assert "5 images, 2 cameras, 4 of them one person" in page
    assert "from camera 1 to camera 2" in page and "1 of 1 with" in page
    assert page.count("<style>") == 1 and "--faint:" in page and "{{" not in page
    assert page.count("<svg ") == 5 and not re.search(r"<script|https?://(?!www.w3.org)", page)


def test_what_a_run_lacks_is_said(run, tmp_path):
    (run / "temporal.npz").unlink()
    summary = json.loads((run / "adaptation.json").read_text()) | {"scores": {}, "data": "nowhere"}
    (run / "adaptation.json").write_text(json.dumps(summary))
    assert main(["report", "--quiet", "--data", str(run), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "tell no times of one clock" in page and "no labelled images" in page and "no\npicture" in page


def test_an_unfinished_run_has_no_page(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no finished adaptation"):
        write_adaptation_report(tmp_path)
