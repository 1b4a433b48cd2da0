"""The pages: everything is in them, nothing is loaded from elsewhere, and what results say is text and no program."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import attrs
import pytest

from pytest_ganeti_vcluster.errors import ExtraMissing, ResultsError
from pytest_ganeti_vcluster.scale.amounts import amount
from pytest_ganeti_vcluster.scale.comparison import compare
from pytest_ganeti_vcluster.scale.page.rendering import comparison_page, sweep_page, write_page
from pytest_ganeti_vcluster.scale.results import Figure, Point, Sweep
from tests.scale.made import sweep, whole

#: What a browser fetches, or runs.
FETCHING = {
    "src",
    "href",
    "srcset",
    "data",
    "poster",
    "action",
    "formaction",
    "background",
    "xlink:href",
    "ping",
}


class Page(HTMLParser):
    """What is in a page: its elements, its text outside of scripts and styles, its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[tuple[str | None, str]] = []
        self.styles = ""
        self._inside: tuple[str, dict[str, str | None]] = ("", {})
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = (tag, dict(attrs))
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))

    def handle_endtag(self, tag: str) -> None:
        del tag
        self._inside = ("", {})

    def handle_data(self, data: str) -> None:
        tag = self._inside[0]
        if tag == "script":
            kind, before = self.scripts[-1]
            self.scripts[-1] = (kind, before + data)
        elif tag == "style":
            self.styles += data
        else:
            self.text += data

    def plots(self) -> list[dict[str, Any]]:
        (found,) = [text for kind, text in self.scripts if kind == "application/json"]
        plots: list[dict[str, Any]] = json.loads(found)
        return plots

    def ids(self) -> set[str | None]:
        return {attributes.get("id") for _tag, attributes in self.elements}


@pytest.fixture(scope="module")
def measured() -> Sweep:
    return whole()


@pytest.fixture(scope="module")
def page(measured: Sweep) -> Page:
    return Page(sweep_page(measured))


@pytest.fixture(scope="module")
def comparing(measured: Sweep) -> Page:
    after = whole(faster=0.5, seed=2, label="patched", ganeti="3.1.1", engine="namespaces")
    return Page(comparison_page(compare(measured, after)))


@pytest.mark.parametrize("name", ["page", "comparing"])
def test_a_page_loads_nothing_from_elsewhere(name: str, request: pytest.FixtureRequest) -> None:
    page: Page = request.getfixturevalue(name)
    targets = [
        value or ""
        for _tag, attributes in page.elements
        for attribute, value in attributes.items()
        if attribute in FETCHING
    ]
    assert targets
    assert [target for target in targets if not target.startswith("#")] == []
    assert {target[1:] for target in targets} <= page.ids()
    assert not {"link", "iframe", "object", "embed", "img", "base", "form"} & {
        tag for tag, _ in page.elements
    }
    assert "url(" not in page.styles
    assert "@import" not in page.styles
    # Browsers hold it to that, scripts of the library included.
    policies = [
        one["content"] for _tag, one in page.elements if one.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    assert str(policies[0]).startswith("default-src 'none'; ")
    assert not re.search(r"https?:|\*|unsafe-eval|connect-src", str(policies[0]))
    assert any("plotly.js v" in text for _kind, text in page.scripts)


def test_every_operation_is_in_the_page_with_its_figures(page: Page, measured: Sweep) -> None:
    for operation, _quantity in measured.keys:
        assert operation in page.text
        # What the sweep itself took has no place of its own.
        assert (f"op-{operation.replace(' ', '-')}" in page.ids()) is (operation != "point")
    for point in measured.points:
        for figure in point.figures:
            assert amount(figure.middle, figure.unit) in page.text
    drawn = [value for plot in page.plots() for trace in plot["figure"]["data"] for value in trace["y"]]
    for _point, figure in measured.figures("gnt-node list", "wall"):
        assert figure.middle in drawn
    labels = [plot["label"] for plot in page.plots()]
    for label in (
        "gnt-cluster verify: time over nodes",
        "gnt-cluster verify: time over instances",
        "gnt-node list: RPCs over nodes",
        "gnt-cluster verify: CPU time by daemon, over nodes, 1,000 instances",
        "gnt-cluster verify: CPU time by daemon, over instances, 100 nodes",
        "gnt-cluster verify: RPCs by kind, over nodes, 1,000 instances",
        "gnt-cluster verify: time until quiet over nodes",
        "job queue: rate over nodes",
        "idle: memory (PSS) by daemon, over nodes, 1,000 instances",
        "CPU time by daemon at 100 nodes, 1,000 instances",
    ):
        assert label in labels


def test_every_plot_has_its_place_a_title_and_units(page: Page) -> None:
    plots = page.plots()
    assert {plot["id"] for plot in plots} <= page.ids()
    for plot in plots:
        layout = plot["figure"]["layout"]
        assert layout["title"]["text"]
        assert layout["xaxis"]["title"]["text"]
        assert plot["label"].startswith("CPU") or re.search(r"\(.+\)$", layout["yaxis"]["title"]["text"])


def test_the_heading_says_on_what_and_how_it_was_measured(page: Page) -> None:
    for text in (
        "How Ganeti 3.0.2 grows: as packaged",
        "loopback",
        "2 cores, 24 GiB, Example CPU at 2 GHz, Linux 6.1.0, Python 3.11.2",
        "Clusters of 5 nodes joined by gnt-node add",
        "Clusters of 10, 20, 50 and 100 nodes joined in bulk",
        "200 and 1,000 instances were populated",
        "repetitions",
    ):
        assert text in page.text


def test_growth_is_told_and_ways_of_making_that_are_mixed(page: Page) -> None:
    assert "between linear and quadratic" in page.text
    assert "constant" in page.text
    assert "mixed tiers" in page.text
    slopes = re.search(
        r"noded(?P<figures>.*?)luxid", page.text[page.text.index("Memory by daemon") :], re.DOTALL
    )
    assert slopes is not None
    assert re.search(r"7\.\d+ MiB ± |6\.\d+ MiB ± |8\.\d+ MiB ± ", slopes["figures"])


def test_what_broke_is_told_and_drawn(page: Page) -> None:
    assert "timed out after 60 s\nSSL connection timeout <node93>" in page.text
    broken = [
        trace
        for plot in page.plots()
        if plot["label"] == "gnt-cluster verify: time over nodes"
        for trace in plot["figure"]["data"]
        if trace.get("name") == "broke"
    ]
    assert [trace["x"] for trace in broken] == [[100]]
    assert "Nowhere" in Page(sweep_page(sweep([point(5), point(10)]))).text


def test_the_comparison_has_ratios_growth_and_what_is_not_alike(comparing: Page) -> None:
    text = comparing.text
    assert "as packaged → patched" in text
    assert "× 0.50" in text
    assert "better" in text
    assert "within noise" in text
    assert "one run only" in text
    assert "engine loopback before, namespaces after" in text
    assert "lie apart by chance 10.0% of the time" in text
    (plot,) = [
        plot
        for plot in comparing.plots()
        if plot["label"] == "gnt-cluster verify: time over nodes, before and after"
    ]
    names = [trace.get("name") for trace in plot["figure"]["data"]]
    assert {"0 instances, before", "0 instances, after", "1,000 instances, after", "broke"} <= set(names)


def point(nodes: int, *, text: str = "verify", error: str = "") -> Point:
    return Point(
        nodes=nodes,
        instances=0,
        joined="bulk",
        figures=[Figure(text, "wall", "s", (nodes, nodes + 1), error)],
    )


EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\"'"


def test_what_results_say_is_never_run(tmp_path: Path) -> None:
    measured = sweep(
        [point(5, text=EVIL, error=EVIL), point(10, text=EVIL)], label=EVIL, options={EVIL: EVIL}, ganeti=EVIL
    )
    for text in (sweep_page(measured), comparison_page(compare(measured, measured))):
        page = Page(text)
        assert "img" not in {tag for tag, _attributes in page.elements}
        # Data, the library, and the page's own program.
        assert [kind for kind, _text in page.scripts] == ["application/json", None, None]
        for plot in page.plots():
            assert "<img" not in json.dumps([plot["figure"]["layout"], *plot["figure"]["data"]])


def test_a_sweep_of_a_single_point_and_one_without_values_have_pages_too() -> None:
    one = Page(sweep_page(sweep([point(5)])))
    assert "one size only" in one.text
    assert one.plots() == []
    nothing = attrs.evolve(point(5), figures=[Figure("boot", "wall", "s", (), "did not come up")])
    told = Page(sweep_page(sweep([nothing])))
    assert "did not come up" in told.text
    assert "What broke" not in told.text
    empty = Page(sweep_page(sweep()))
    assert "How Ganeti 3.0.2 grows" in empty.text
    again = Page(comparison_page(compare(sweep([nothing]), sweep([point(5)]))))
    assert "did not come up" not in again.text


@pytest.mark.parametrize("missing", ["plotly", "jinja2", "scipy"])
def test_what_is_missing_is_told_with_what_to_type(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ExtraMissing) as caught:
        sweep_page(sweep([point(5), point(10), point(20)]))
    assert f"needs {missing}, which is not installed" in str(caught.value)
    assert "pip install 'pytest-ganeti-vcluster[scale]'" in str(caught.value)


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="cannot be written"):
        write_page("text", tmp_path / "none" / "page.html")
