"""Plots, as plotly's JavaScript draws them in the page.

Colours of text, grid and background are the page's business, which knows whether it is dark. Those of what is drawn
are told apart by people who see colours in other ways, too (Paul Tol's bright scheme), and lines differ in their
markers besides.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from pytest_ganeti_vcluster.scale.amounts import UNIT_NAMES, amount, quantity_name
from pytest_ganeti_vcluster.scale.extra import needed
from pytest_ganeti_vcluster.scale.fitting import Growth
from pytest_ganeti_vcluster.scale.lines import Direction, Line, other
from pytest_ganeti_vcluster.scale.results import Figure, Point, Size

_COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#999999", "#EE8866", "#44BB99")
_MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "pentagon", "bowtie")
_BROKEN = "#CC3311"

#: In what an axis counts bytes.
_MIB = 1 << 20

#: A stack of more shares than this has the smallest together: there are no more colours.
_MOST_SHARES = 8

#: A law is drawn by this many pieces.
_PIECES = 60


@attrs.frozen
class Plot:
    """A plot in the page: the `id` of its place, what it shows in words, and what plotly's JavaScript is to draw.

    `scales` tells whether its axes may be made logarithmic.
    """

    id: str
    label: str
    figure: dict[str, Any]
    scales: bool


@attrs.define
class Plots:
    """The plots of a page, in order."""

    all: list[Plot] = attrs.field(factory=list)

    def add(self, label: str, traces: Iterable[Any], layout: dict[str, Any], *, scales: bool) -> Plot:
        """Add one; plotly checks what it is made of. Raises `ExtraMissing`."""
        objects = needed("plotly.graph_objects", "the report")
        figure = objects.Figure(data=list(traces), layout={"template": None, **layout})
        plot = Plot(f"plot-{len(self.all) + 1}", label, json.loads(figure.to_json()), scales)
        self.all.append(plot)
        return plot


def colour(number: int) -> str:
    """Return the colour of the nth line or share."""
    return _COLOURS[number % len(_COLOURS)]


def lines_plot(
    plots: Plots, operation: str, quantity: str, drawn: Sequence[tuple[Line, Growth | None]]
) -> Plot | None:
    """Add a plot with a line for each number of what is held, and the law of each; None where there is nothing to see.

    The bars are the least and the greatest of the repetitions; a cross on top tells where it broke.
    """
    seen = [(line, growth) for line, growth in drawn if line.points]
    if max((len(line.points) for line, _growth in seen), default=0) < 2:  # noqa: PLR2004 - one point is no line
        return None
    over = seen[0][0].over
    unit = next(figure.unit for line, _growth in seen for _point, figure in line.points)
    traces: list[dict[str, Any]] = []
    for number, (line, growth) in enumerate(seen):
        name = f"{line.held:,} {other(over)}"
        traces += _line(line, name, number, unit)
        if growth is not None and growth.law is not None and not growth.is_constant:
            traces.append(_law(line, growth, number, unit))
    broken = [one for line, _growth in seen for one in line.broken]
    traces += _broken(broken, over)
    sizes = sorted({size for line, _growth in seen for size in line.sizes})
    label = f"{operation}: {quantity_name(quantity)} over {over}"
    return plots.add(label, traces, _layout(label, over, unit, quantity, sizes), scales=True)


def pairs_plot(
    plots: Plots, operation: str, quantity: str, pairs: Sequence[tuple[Line, Line]]
) -> Plot | None:
    """Add a plot with lines before (dotted) and after for each number of what is held; None where nothing is to see."""
    seen = [(before, after) for before, after in pairs if before.sizes or after.sizes]
    if max((len(before.sizes) for before, _after in seen), default=0) < 2:  # noqa: PLR2004
        return None
    over = seen[0][0].over
    unit = next(figure.unit for line, _after in seen for _point, figure in line.points)
    traces: list[dict[str, Any]] = []
    for number, (before, after) in enumerate(seen):
        held = f"{before.held:,} {other(over)}"
        traces += _line(before, f"{held}, before", number, unit, dash="dot", hollow=True)
        traces += _line(after, f"{held}, after", number, unit)
    broken = [one for pair in seen for line in pair for one in line.broken]
    traces += _broken(broken, over)
    sizes = sorted({size for pair in seen for line in pair for size in line.sizes})
    label = f"{operation}: {quantity_name(quantity)} over {over}, before and after"
    return plots.add(label, traces, _layout(label, over, unit, quantity, sizes), scales=True)


def shares_plot(plots: Plots, label: str, kind: str, shares: Sequence[tuple[str, Line]]) -> Plot | None:
    """Add bars over sizes that are stacked from shares, such as the CPU time of each daemon."""
    known = [(name, line) for name, line in shares if line.sizes]
    if not known:
        return None
    over, unit = known[0][1].over, known[0][1].figures[0].unit
    bars = [(name, dict(zip(line.sizes, line.middles))) for name, line in known[:_MOST_SHARES]]
    rest = [dict(zip(line.sizes, line.middles)) for _name, line in known[_MOST_SHARES:]]
    if rest:
        sizes = {size for one in rest for size in one}
        bars.append(
            (f"{len(rest)} others", {size: sum(one.get(size, 0.0) for one in rest) for size in sizes})
        )
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": [str(size) for size in sorted(bar)],
            "y": [_scaled(bar[size], unit) for size in sorted(bar)],
            "hovertext": [f"{html.escape(name)}: {amount(bar[size], unit)}" for size in sorted(bar)],
            "hoverinfo": "text+x",
            "marker": {"color": colour(number)},
        }
        for number, (name, bar) in enumerate(bars)
    ]
    every = sorted({size for _name, line in known for size in line.sizes})
    layout = _layout(label, over, unit, kind, every)
    layout["xaxis"] = {
        "title": {"text": f"number of {over}"},
        "type": "category",
        "categoryorder": "array",
        "categoryarray": [str(size) for size in every],
    }
    return plots.add(label, traces, {**layout, "barmode": "stack"}, scales=False)


def overview_plot(
    plots: Plots, size: Size, bars: Sequence[tuple[str, dict[str, float]]], unit: str
) -> Plot | None:
    """Add bars that lie, one for each operation, stacked from shares, at one size."""
    if not bars:
        return None
    names = list(dict.fromkeys(name for _operation, shares in bars for name in shares))
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": [operation for operation, _shares in bars],
            "x": [shares.get(name, 0.0) for _operation, shares in bars],
            "hovertext": [
                f"{html.escape(name)}: {amount(shares.get(name), unit)}" for _operation, shares in bars
            ],
            "hoverinfo": "text+y",
            "marker": {"color": colour(number)},
        }
        for number, name in enumerate(names)
    ]
    label = f"CPU time by daemon at {size[0]:,} nodes, {size[1]:,} instances"
    height = 190 + 34 * len(bars)
    layout = {
        "title": {"text": label},
        "barmode": "stack",
        "height": height,
        "xaxis": {"title": {"text": f"CPU time ({UNIT_NAMES[unit]})"}, "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "automargin": True},
        "legend": _legend(height),
        "margin": _MARGIN,
    }
    return plots.add(label, traces, layout, scales=False)


def named_lines_plot(plots: Plots, label: str, kind: str, named: Sequence[tuple[str, Line]]) -> Plot | None:
    """Add a plot with a line for each name, such as the memory of each daemon."""
    known = [(name, line) for name, line in named if line.sizes]
    if max((len(line.sizes) for _name, line in known), default=0) < 2:  # noqa: PLR2004
        return None
    over, unit = known[0][1].over, known[0][1].figures[0].unit
    traces = [one for number, (name, line) in enumerate(known) for one in _line(line, name, number, unit)]
    sizes = sorted({size for _name, line in known for size in line.sizes})
    return plots.add(label, traces, _layout(label, over, unit, kind, sizes), scales=True)


def _line(
    line: Line, name: str, number: int, unit: str, *, dash: str = "solid", hollow: bool = False
) -> list[dict[str, Any]]:
    if not line.sizes:
        return []
    middles = line.middles
    marker = _MARKERS[number % len(_MARKERS)]
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "x": list(line.sizes),
            "y": [_scaled(middle, unit) for middle in middles],
            "error_y": {
                "type": "data",
                "symmetric": False,
                "array": [
                    _scaled(max(one.values) - middle, unit) for one, middle in zip(line.figures, middles)
                ],
                "arrayminus": [
                    _scaled(middle - min(one.values), unit) for one, middle in zip(line.figures, middles)
                ],
                "thickness": 1.2,
                "width": 3,
            },
            "hovertext": [
                f"{point.nodes} nodes, {point.instances} instances<br>{html.escape(name)}: {_told(figure)}"
                for point, figure in line.points
                if figure.values
            ],
            "hoverinfo": "text",
            "line": {"color": colour(number), "width": 2, "dash": dash},
            "marker": {"symbol": f"{marker}-open" if hollow else marker, "size": 8},
        }
    ]


def _told(figure: Figure) -> str:
    runs = len(figure.values)
    if runs == 1:
        return f"{amount(figure.middle, figure.unit)} (one run)"
    least, greatest = (amount(one, figure.unit) for one in (min(figure.values), max(figure.values)))
    return f"{amount(figure.middle, figure.unit)} ({least} to {greatest} in {runs} runs)"


def _law(line: Line, growth: Growth, number: int, unit: str) -> dict[str, Any]:
    assert growth.law is not None
    first, last = line.sizes[0], line.sizes[-1]
    if first > 0:
        sizes = [first * (last / first) ** (step / _PIECES) for step in range(_PIECES + 1)]
    else:
        sizes = [last * step / _PIECES for step in range(_PIECES + 1)]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": sizes,
        "y": [_scaled(growth.law.at(size), unit) for size in sizes],
        "line": {"color": colour(number), "width": 1.2, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def _broken(broken: Sequence[tuple[Point, Figure]], over: Direction) -> list[dict[str, Any]]:
    if not broken:
        return []
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "broke",
            "x": [getattr(point, over) for point, _figure in broken],
            "y": [0.96] * len(broken),
            # An axis of its own: a figure that broke has no value to be drawn at.
            "yaxis": "y2",
            "marker": {"symbol": "x", "size": 11, "color": _BROKEN},
            "hovertext": [
                f"broke at {point}<br>{html.escape(_first_line(figure.error))}" for point, figure in broken
            ],
            "hoverinfo": "text",
        }
    ]


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 100 else line[:99] + "…"  # noqa: PLR2004 - a line in a small box


#: Pixels.
_HEIGHT = 380
_MARGIN = {"l": 62, "r": 16, "t": 46, "b": 46}
_BELOW_AXIS = 64


def _legend(height: int) -> dict[str, Any]:
    """Place the legend below the title of the x axis; plotly counts in heights of what is drawn."""
    drawn = height - _MARGIN["t"] - _MARGIN["b"]
    return {"orientation": "h", "yanchor": "top", "y": -_BELOW_AXIS / drawn, "x": 0, "traceorder": "normal"}


def _layout(label: str, over: str, unit: str, quantity: str, sizes: Sequence[int]) -> dict[str, Any]:
    counted = "MiB" if unit == "B" else UNIT_NAMES[unit]
    return {
        "title": {"text": html.escape(label)},
        "height": _HEIGHT,
        "xaxis": {"title": {"text": f"number of {over}"}, "rangemode": "tozero", "tickvals": None},
        "yaxis": {"title": {"text": f"{quantity_name(quantity)} ({counted})"}, "rangemode": "tozero"},
        "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
        "legend": _legend(_HEIGHT),
        "margin": _MARGIN,
        "hovermode": "closest",
        # For the page: where a logarithmic axis has its marks.
        "meta": {"sizes": [size for size in sizes if size > 0]},
    }


def _scaled(value: float, unit: str) -> float:
    return value / _MIB if unit == "B" else value
