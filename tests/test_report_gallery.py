"""The page about a gallery, through the command line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from encoders import make_model
from test_gallery_changes import people, start
from test_gallery_verbs import save_crops

from unrealperson.cli import main
from unrealperson.config import SearchConfig
from unrealperson.gallery import Gallery, index_images


def page_of(folder: Path, out: Path) -> str:
    assert main(["report", "--data", str(folder), "--out", str(out), "--quiet"]) == 0
    page = out.read_text()
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids)) and "<script" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    return page


def test_a_page_shows_what_a_gallery_holds_and_finds(tmp_path: Path) -> None:
    save_crops(tmp_path / "crops", first=0, count=12)
    model = make_model(tmp_path / "model.onnx")
    gallery = index_images(model, tmp_path / "crops", tmp_path / "gallery", SearchConfig())
    page = page_of(gallery.folder, tmp_path / "page.html")
    assert page.count("<svg") == 2 and page.count('class="card search"') == 6
    for words in (
        "24 images of 12 named people under 2 cameras",
        "frame number",
        "264 pairs of different people",
        "sought under the other cameras",
        "The gallery keeps no threshold yet",
        "16 numbers each, float32",
    ):
        assert words in " ".join(page.split()), words
    found = gallery.calibrate_threshold(0.05)
    assert f"The gallery keeps the threshold {found.similarity:.4f}" in page_of(gallery.folder, tmp_path / "page.html")


def test_a_page_of_images_that_nobody_has_named(tmp_path: Path) -> None:
    gallery = start(make_model(tmp_path / "model.onnx"), tmp_path)
    manifest, vectors = people(gallery.root, count=3)
    nameless = manifest.replaced("pid", [-1] * len(manifest)).replaced("camid", [-1] * len(manifest))
    gallery.add_features(
        nameless.replaced("frame", [-1] * len(manifest)).replaced("time_s", [None] * len(manifest)), vectors
    )
    page = page_of(gallery.folder, tmp_path / "page.html")
    assert "<svg" not in page and "One person or two" not in page and "no image" in page
    assert "19 images without identity" in page


@pytest.mark.parametrize("rate", [0.1, 0.02])
def test_errors_agree_with_the_threshold(tmp_path: Path, rate: float) -> None:
    gallery = start(make_model(tmp_path / "model.onnx"), tmp_path)
    gallery.add_features(*people(gallery.root))
    pairs = Gallery.open(gallery.folder).pairs()
    found, curve = pairs.threshold(rate), pairs.errors(2000)
    place = int(np.searchsorted(curve["threshold"], found.similarity))
    assert curve["far"][place] <= rate < curve["far"][max(0, place - 100)]
    assert 1 - curve["frr"][place] == pytest.approx(found.true_accept_rate, abs=0.02)
