"""Pages made from templates, with all that they need inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from pytest_ganeti_vcluster.errors import ResultsError
from pytest_ganeti_vcluster.keeper.locking import replace_text
from pytest_ganeti_vcluster.scale.comparison import Comparison
from pytest_ganeti_vcluster.scale.extra import needed
from pytest_ganeti_vcluster.scale.page import compared, measured
from pytest_ganeti_vcluster.scale.page.plots import Plots
from pytest_ganeti_vcluster.scale.results import Sweep

_FOLDER = Path(__file__).parent
_PURPOSE = "the report"


def sweep_page(sweep: Sweep) -> str:
    """Return the page of a sweep as HTML. Raises `ExtraMissing`."""
    plots = Plots()
    return _render("sweep.html.j2", measured.gather(sweep, plots), plots)


def comparison_page(comparison: Comparison) -> str:
    """Return the page of a comparison as HTML. Raises `ExtraMissing`."""
    plots = Plots()
    return _render("comparison.html.j2", compared.gather(comparison, plots), plots)


def write_page(text: str, path: Path) -> None:
    """Write a page, whole or not at all. Raises `ResultsError`."""
    try:
        replace_text(path, text)
    except OSError as err:
        raise ResultsError(
            f"{path} cannot be written",
            seen=str(err),
            cure="give --output a file in a folder of yours that has room",
        ) from err


def _render(template: str, content: dict[str, Any], plots: Plots) -> str:
    jinja2 = needed("jinja2", _PURPOSE)
    plotly = needed("plotly.offline", _PURPOSE)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # It is text of the library's own, made to stand in a script element.
    script = needed("markupsafe", _PURPOSE).Markup(plotly.get_plotlyjs())
    text: str = environment.get_template(template).render(
        **content, plots=[attrs.asdict(plot) for plot in plots.all], plotly=script
    )
    return text
