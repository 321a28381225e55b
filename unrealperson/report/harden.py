"""One self-contained HTML page about mined confusions: who is taken for whom, why, and what is rendered against it."""

from __future__ import annotations

import json
from pathlib import Path

from unrealperson.report.page import write_page
from unrealperson.report.pictures import Album

_PICTURE_BYTES = 4 * 10**6


def write_hardening_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Builds one HTML page from what `harden` left.

    Args:
        folder: folder with hardening.json.
        out: page to write; None is report.html in the folder.

    Returns:
        The page's path.

    Raises:
        FileNotFoundError: nothing was mined there.
    """
    folder = Path(folder)
    path = folder / "hardening.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no mined confusions (hardening.json); 'unrealperson harden' makes them")
    summary = json.loads(path.read_text("utf-8"))
    album = Album(_PICTURE_BYTES)
    data = Path(summary["data"])
    for pair in summary["pairs"]:
        pair["pictures"] = [album.crop(data, name) for name in pair["paths"]]
    return write_page("harden.html", folder / "report.html" if out is None else Path(out), **summary)
