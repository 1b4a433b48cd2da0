"""Measure Ganeti as the cluster grows, and make reports of it."""

from __future__ import annotations

import click

from pytest_ganeti_vcluster.cli._groups import GroupOfSentences
from pytest_ganeti_vcluster.cli._scale_results import compare, report
from pytest_ganeti_vcluster.cli._scale_run import run


@click.group("scale", cls=GroupOfSentences, context_settings={"max_content_width": 100})
def command() -> None:
    """Measure Ganeti as the cluster grows, and make reports of it.

    `run` measures clusters of several sizes, `report` shows what was measured and how it grows, `compare` two results:
    before and after a patch, one version against another.
    """


command.add_command(run)
command.add_command(report)
command.add_command(compare)
