"""Measure Ganeti as the cluster grows, and make reports of it."""

from __future__ import annotations

import click

from pytest_ganeti_vcluster.cli._scale_results import compare, report


@click.group("scale", context_settings={"max_content_width": 100})
def command() -> None:
    """Measure Ganeti as the cluster grows, and make reports of it."""


command.add_command(report)
command.add_command(compare)
