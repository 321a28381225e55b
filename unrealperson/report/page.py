"""HTML pages that need no other file: a template of this package, one style sheet, and numbers as people read them."""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path
from typing import Any

from unrealperson import __version__
from unrealperson.files import write_text

MAX_PAGE_BYTES = 6 * 10**6


def write_page(template: str, out: Path, **parts: Any) -> Path:
    """Fills a template of this package and writes the page, which needs no other file.

    Args:
        template: its file name.
        out: page to write; it appears complete or not at all.
        parts: what the template shows.

    Returns:
        The path of the page.
    """
    import jinja2

    files = resources.files("unrealperson.report")
    loader = jinja2.FunctionLoader(lambda name: files.joinpath(name).read_text("utf-8"))
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"percent": _percent, "count": _count, "duration": _duration, "points": _points}
    page = environment.get_template(template)
    text = page.render(style=files.joinpath("page.css").read_text("utf-8"), version=__version__, **parts)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, text)
    return out


def _percent(share: float | None, digits: int = 1) -> str:
    return "not known" if share is None or not math.isfinite(share) else f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def _points(points: float) -> str:
    rounded = round(points, 1)
    return f"{rounded:+.1f}".replace("-", "\N{MINUS SIGN}") if rounded else "0.0"


def _count(number: float, one: str = "", many: str = "") -> str:
    noun = one if number == 1 else many or f"{one}s"
    return f"{number:,.0f} {noun}" if one else f"{number:,.0f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest:02d} s"
