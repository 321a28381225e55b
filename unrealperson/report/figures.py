"""Charts of the report, as SVG that stands inside a page and follows its light or dark colours."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BEFORE_COLOR = "#e69f00"
AFTER_COLOR = "#0072b2"
"""Orange and blue of the Okabe-Ito palette: told apart with every kind of colour vision."""

# Stand-ins that no palette uses; the finished SVG gets the page's own colours in their place.
_INK, _FAINT, _RULE = "#010203", "#040506", "#070809"
_PAGE_COLORS = {
    _INK: "currentColor",
    _FAINT: "var(--faint)",
    _RULE: "var(--rule)",
    BEFORE_COLOR: "var(--before)",
    AFTER_COLOR: "var(--after)",
}


@dataclass(frozen=True)
class Score:
    """One score and its interval, as shares in 0 ... 1.

    Attributes:
        name: such as "Rank-1".
        value: the score.
        low: lower end of the 95 % interval, or None.
        high: upper end, or None.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None


def score_chart(name: str, before: Sequence[Score], after: Sequence[Score], *, what: str = "score") -> str:
    """Draws scores with their 95 % intervals, one row per score, before above after.

    Args:
        name: prefix of the SVG's ids, unique in the page.
        before: scores of the untrained network; may be empty.
        after: scores of the trained network; may be empty.
        what: is scored, for the axis.

    Returns:
        An <svg> element.
    """
    labels = [score.name for score in after or before]
    figure, axes = _canvas(height_in=0.62 * len(labels) + 0.75)
    for scores, color, marker, shift in ((before, BEFORE_COLOR, "o", 0.17), (after, AFTER_COLOR, "D", -0.17)):
        for score in scores:
            if score.name not in labels:
                continue
            y = len(labels) - 1 - labels.index(score.name) + (shift if before and after else 0)
            if score.low is not None and score.high is not None:
                axes.plot([100 * score.low, 100 * score.high], [y, y], color=color, linewidth=2.2, alpha=0.55)
            axes.plot([100 * score.value], [y], marker, color=color, markersize=7)
            end = max(score.value, score.high or 0.0)
            axes.text(100 * end + 2.5, y, f"{100 * score.value:.1f}", color=_INK, fontsize=9, va="center")
    axes.set_yticks(range(len(labels)), labels[::-1])
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.set_xlim(0, 110)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel(f"{what}, % (line: 95 % interval)")
    axes.grid(axis="x", color=_RULE, linewidth=0.8)
    return _svg(figure, name)


def epoch_chart(name: str, curves: dict[str, tuple[np.ndarray, np.ndarray]], *, label: str) -> str:
    """Draws values by epoch, at most two curves.

    Args:
        name: prefix of the SVG's ids, unique in the page.
        curves: by their names, epochs [n] and values [n].
        label: of the axis of values, with its unit.

    Returns:
        An <svg> element.
    """
    figure, axes = _canvas(height_in=2.6)
    looks = ((AFTER_COLOR, "o"), (BEFORE_COLOR, "s"))
    for (curve, (epoch, value)), (color, marker) in zip(curves.items(), looks, strict=False):
        axes.plot(epoch, value, f"{marker}-", color=color, linewidth=2, markersize=4)
        axes.annotate(
            curve,
            (epoch[-1], value[-1]),
            xytext=(6, 0),
            textcoords="offset points",
            color=_INK,
            fontsize=9,
            va="center",
        )
    highest = max((float(value.max()) for _, value in curves.values()), default=1.0)
    lowest = min((float(value.min()) for _, value in curves.values()), default=0.0)
    axes.set_ylim(min(0.0, 1.1 * lowest), 1.1 * highest if highest > 0 else 1.0)
    last = max((float(epoch.max()) for epoch, _ in curves.values()), default=1.0)
    axes.set_xlim(0, 1.22 * last)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.grid(axis="y", color=_RULE, linewidth=0.8)
    return _svg(figure, name)


def time_chart(name: str, seconds: np.ndarray, share: np.ndarray) -> str:
    """Draws how long people take from one camera to another.

    Args:
        name: prefix of the SVG's ids, unique in the page.
        seconds: [bins] time at the middle of each bin.
        share: [bins] probability of each.

    Returns:
        An <svg> element.
    """
    figure, axes = _canvas(height_in=1.6)
    axes.fill_between(seconds, 100 * share, color=AFTER_COLOR, alpha=0.35, linewidth=0)
    axes.plot(seconds, 100 * share, color=AFTER_COLOR, linewidth=1.5)
    axes.set_ylim(0, 105 * float(share.max()) or 1.0)
    axes.set_xlim(0, float(seconds[-1]))
    axes.set_xlabel("s")
    axes.set_ylabel("% of visits")
    return _svg(figure, name)


def loss_chart(name: str, step: np.ndarray, loss: np.ndarray, drops: Sequence[float] = ()) -> str:
    """Draws the training loss.

    Args:
        name: prefix of the SVG's ids, unique in the page.
        step: [n] optimiser step of each record.
        loss: [n] loss, nats; what is not finite is left out.
        drops: steps at which the learning rate falls.

    Returns:
        An <svg> element.
    """
    return _curve(name, step, loss, drops, label="training loss, nats")


def accuracy_chart(name: str, step: np.ndarray, accuracy: np.ndarray, drops: Sequence[float] = ()) -> str:
    """Draws the share of training images whose identity the classifier names.

    Args:
        name: prefix of the SVG's ids, unique in the page.
        step: [n] optimiser step of each record.
        accuracy: [n] share in 0 ... 1; what is not finite is left out.
        drops: steps at which the learning rate falls.

    Returns:
        An <svg> element.
    """
    return _curve(name, step, 100 * accuracy, drops, label="training accuracy, %", top=100.0)


def images_chart(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """Draws rank-1 and mAP against the images that each camera's statistics come from.

    Args:
        name: prefix of the SVG's ids, unique in the page.
        rows: images (0: none of the camera's own), statistics, and rank1 and map with _low and _high, shares.

    Returns:
        An <svg> element.
    """
    figure, axes = _canvas(height_in=3.2)
    own = [row for row in rows if row["images"]]
    images = np.array([row["images"] for row in own])
    for key, label, color, marker in (("rank1", "rank-1", AFTER_COLOR, "D"), ("map", "mAP", BEFORE_COLOR, "o")):
        value = 100 * np.array([row[key] for row in own])
        low, high = (100 * np.array([row[f"{key}_{end}"] for row in own]) for end in ("low", "high"))
        axes.fill_between(images, low, high, color=color, alpha=0.2, linewidth=0)
        axes.plot(images, value, color=color, marker=marker, linewidth=2, markersize=5)
        axes.annotate(label, (images[-1], value[-1]), (8, 0), textcoords="offset points", color=color, va="center")
        for row, style in zip([row for row in rows if not row["images"]], (":", (0, (5, 3))), strict=False):
            axes.axhline(100 * row[key], color=color, linewidth=1.2, linestyle=style)
    axes.set_xscale("log", base=2)
    ticks = [count for count, after in itertools.zip_longest(images, images[1:]) if not after or after > 1.3 * count]
    axes.set_xticks(ticks, [str(count) for count in ticks])
    axes.minorticks_off()
    axes.set_xlim(images[0] / 1.15, images[-1] * 1.6)
    axes.set_ylim(0, 100)
    axes.set_xlabel("images of each camera (band: lowest to highest draw)")
    axes.set_ylabel("score, %")
    axes.grid(axis="y", color=_RULE, linewidth=0.8)
    return _svg(figure, name)


def errors_chart(
    name: str,
    curve: dict[str, Sequence[float]],
    thresholds: Sequence[float] = (),
    *,
    of: str = "the first place",
    what: str = "searches",
) -> str:
    """Draws false accepts and false rejects of an open-set search, or of pairs of images, against the threshold.

    Args:
        name: prefix of the SVG's ids, unique in the page.
        curve: threshold (cosine similarity), far and frr (shares in 0 ... 1), of one length.
        thresholds: those to mark.
        of: whose similarity the threshold is on.
        what: is shared out.

    Returns:
        An <svg> element.
    """
    figure, axes = _canvas(height_in=3.0)
    threshold = np.array(curve["threshold"])
    for key, label, color, style in (
        ("far", "false accepts", BEFORE_COLOR, "--"),
        ("frr", "false rejects", AFTER_COLOR, "-"),
    ):
        value = 100 * np.array(curve[key])
        axes.plot(threshold, value, style, color=color, linewidth=2)
        place = len(value) // 6 if key == "far" else 0
        axes.annotate(label, (threshold[place], value[place]), (3, 7), textcoords="offset points", color=color)
    for position in thresholds:
        axes.axvline(position, color=_FAINT, linewidth=1, linestyle=(0, (3, 3)))
        axes.text(
            position, 1.01, f"{position:.3f}", color=_FAINT, fontsize=8, ha="center",
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    axes.set_ylim(0, 108)
    axes.set_yticks(range(0, 101, 20))
    axes.set_xlabel(f"threshold on the cosine similarity of {of}")
    axes.set_ylabel(f"share of {what}, %")
    axes.grid(axis="y", color=_RULE, linewidth=0.8)
    return _svg(figure, name)


def spread_chart(
    name: str, panels: dict[str, dict[str, dict[str, Sequence[float]]]], *, label: str, caption: str = ""
) -> str:
    """Draws the values of several seeds for each row, a panel beside the other, at most two kinds of values in each.

    Args:
        name: prefix of the SVG's ids, unique in the page.
        panels: by panel, kind and row the values of the seeds.
        label: of the axis of values, with its unit.
        caption: line below the panels.

    Returns:
        An <svg> element.
    """
    rows = list(dict.fromkeys(row for kinds in panels.values() for values in kinds.values() for row in values))
    figure, every = _canvases(height_in=0.34 * len(rows) + 1.1, width_in=1.6 + 2.7 * len(panels), columns=len(panels))
    for number, (axes, (panel, kinds)) in enumerate(zip(every, panels.items(), strict=True)):
        looks = ((BEFORE_COLOR, "o", 0.14), (AFTER_COLOR, "D", -0.14))
        for (kind, values), (color, marker, shift) in zip(kinds.items(), looks, strict=False):
            for row, seeds in values.items():
                y = len(rows) - 1 - rows.index(row) + (shift if len(kinds) > 1 else 0)
                axes.plot(seeds, [y] * len(seeds), marker, color=color, markersize=4, alpha=0.7, linestyle="none")
                mean = sum(seeds) / len(seeds)
                axes.plot([mean, mean], [y - 0.13, y + 0.13], color=color, linewidth=2)
            axes.plot([], [], marker, color=color, markersize=5, label=kind, linestyle="none")
        axes.set_title(panel, color=_INK, fontsize=9)
        axes.set_yticks(range(len(rows)), rows[::-1] if number == 0 else [""] * len(rows))
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlim(0, None)
        axes.set_xlabel(label)
        axes.grid(axis="both", color=_RULE, linewidth=0.8)
    handles, kinds_shown = every[0].get_legend_handles_labels()
    if len(kinds_shown) > 1:
        figure.legend(
            handles, kinds_shown, loc="outside upper right", ncols=2, frameon=False, labelcolor=_INK, fontsize=8
        )
    if caption:
        figure.supxlabel(caption, color=_FAINT, fontsize=8)
    return _svg(figure, name)


def gap_chart(name: str, rows: Sequence[tuple[str, float, float, float]]) -> str:
    """Draws how far two sets lie from a third, before and after, one row an attribute.

    Args:
        name: prefix of the SVG's ids, unique in the page.
        rows: attribute, distance before, after, and the least that can be.

    Returns:
        An <svg> element.
    """
    figure, axes = _canvas(height_in=0.32 * len(rows) + 0.75)
    for number, (_, before, after, floor) in enumerate(rows):
        y = len(rows) - 1 - number
        axes.plot([before, after], [y, y], color=_RULE, linewidth=2.2)
        axes.plot([floor, floor], [y - 0.25, y + 0.25], color=_FAINT, linewidth=1.5)
        axes.plot([before], [y], "o", color=BEFORE_COLOR, markersize=7)
        axes.plot([after], [y], "D", color=AFTER_COLOR, markersize=6)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows][::-1])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(0, None)
    axes.set_xlabel("distance to the site")
    axes.grid(axis="x", color=_RULE, linewidth=0.8)
    return _svg(figure, name)


def histogram_chart(name: str, sets: dict[str, np.ndarray], *, label: str) -> str:
    """Draws how a value is distributed in three sets: the first as an area, the others as lines.

    Args:
        name: prefix of the SVG's ids, unique in the page.
        sets: values [n] by the name of the set.
        label: of the axis of values, with its unit.

    Returns:
        An <svg> element.
    """
    figure, axes = _canvas(height_in=1.9)
    low, high = np.quantile(np.concatenate(list(sets.values())), [0.005, 0.995])
    edges = np.linspace(low, high if high > low else low + 1.0, 25)
    middles = (edges[1:] + edges[:-1]) / 2
    looks = ((_FAINT, "-"), (BEFORE_COLOR, "--"), (AFTER_COLOR, "-"))
    for number, ((shown, value), (color, style)) in enumerate(zip(sets.items(), looks, strict=False)):
        share = 100 * np.histogram(np.clip(value, edges[0], edges[-1]), edges)[0] / max(len(value), 1)
        if number == 0:
            axes.fill_between(middles, share, step="mid", color=color, alpha=0.3, linewidth=0, label=shown)
        else:
            axes.plot(middles, share, style, color=color, linewidth=2, drawstyle="steps-mid", label=shown)
    axes.legend(frameon=False, labelcolor=_INK, fontsize=8)
    axes.set_ylim(0, None)
    axes.set_xlabel(label)
    axes.set_ylabel("% of crops")
    return _svg(figure, name)


def standalone(svg: str) -> str:
    """An <svg> element of a page as a file of its own: on white, with the page's light colours.

    Args:
        svg: what a chart function returns.
    """
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}pt" '
        f'height="{height}pt" style="background:#fff;color:#1a1a1a;font-family:sans-serif;--faint:#666;--rule:#ddd;'
        f'--before:{BEFORE_COLOR};--after:{AFTER_COLOR}" '
    )
    return svg.replace("<svg ", head, 1) + "\n"


def presence_chart(name: str, edges: np.ndarray, counts: dict[str, np.ndarray], *, label: str) -> str:
    """Draws when images were taken, one row for each camera.

    Args:
        name: prefix of the SVG's ids, unique in the page.
        edges: [bins + 1] of the bins of time.
        counts: by the camera's name, [bins] images; all rows have one scale.
        label: of the axis of time, with its unit.

    Returns:
        An <svg> element.
    """
    figure, axes = _canvas(height_in=0.7 + 0.32 * len(counts))
    most = max(1, *(int(count.max()) for count in counts.values()))
    for row, count in enumerate(counts.values()):
        axes.stairs(-row + 0.85 * count / most, edges, baseline=-row, fill=True, color=AFTER_COLOR)
        axes.axhline(-row, color=_RULE, linewidth=0.8)
    axes.set_yticks([0.3 - row for row in range(len(counts))], list(counts))
    axes.set_ylim(-len(counts) + 0.9, 1)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel(label)
    return _svg(figure, name)


def _curve(
    name: str, step: np.ndarray, value: np.ndarray, drops: Sequence[float], *, label: str, top: float | None = None
) -> str:
    figure, axes = _canvas(height_in=2.6)
    finite = np.isfinite(step) & np.isfinite(value)
    step, value = step[finite], value[finite]
    if len(step) > 60:
        axes.plot(*_binned(step, value, 400), color=AFTER_COLOR, linewidth=0.8, alpha=0.35)
        step, value = _binned(step, value, 40)
        axes.plot(step, value, color=AFTER_COLOR, linewidth=2)
    else:
        axes.plot(step, value, "o-", color=AFTER_COLOR, linewidth=2, markersize=3.5)
    for position in drops:
        axes.axvline(position, color=_FAINT, linewidth=1, linestyle=(0, (3, 3)))
        axes.text(
            position, 1.02, "rate falls", color=_FAINT, fontsize=8, ha="center", transform=axes.get_xaxis_transform()
        )
    highest = float(value.max()) if len(value) else 1.0
    axes.set_ylim(0, top if top is not None else 1.05 * highest or 1.0)
    axes.set_xlim(0, 1.02 * float(step.max()) if len(step) else 1)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("optimiser step")
    axes.set_ylabel(label)
    axes.grid(axis="y", color=_RULE, linewidth=0.8)
    return _svg(figure, name)


def _binned(step: np.ndarray, value: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    groups = min(bins, len(step))
    return (
        np.array([part.mean() for part in np.array_split(step, groups)]),
        np.array([part.mean() for part in np.array_split(value, groups)]),
    )


def _canvas(height_in: float) -> tuple[Figure, Axes]:
    figure, (axes,) = _canvases(height_in, width_in=5.0, columns=1)
    return figure, axes


def _canvases(height_in: float, width_in: float, columns: int) -> tuple[Figure, Sequence[Axes]]:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        every = figure.subplots(1, columns, squeeze=False)[0]
    for axes in every:
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(_FAINT)
        axes.tick_params(colors=_INK, length=0)
        axes.xaxis.label.set_color(_FAINT)
        axes.yaxis.label.set_color(_FAINT)
        axes.set_axisbelow(True)
    return figure, every


def _svg(figure: Figure, name: str) -> str:
    import matplotlib

    stream = io.StringIO()
    # Text stays text (it can be read out, searched and follows the page's font); a fixed salt gives the same bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)
    # Matplotlib names its own font, as 'font' or as 'font-family' by version; the page's own font stands instead.
    text = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", text)
    text = re.sub(r"font-family: [^;\"]+;? ?", "", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    for stand_in, color in _PAGE_COLORS.items():
        text = text.replace(stand_in, color)
    return re.sub(r'^<svg [^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', text, count=1)
