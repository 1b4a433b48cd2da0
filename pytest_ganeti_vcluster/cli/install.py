"""Get a Ganeti, without root, from the distribution's packages."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cli._progress import progress_report
from pytest_ganeti_vcluster.errors import GanetiNotFound
from pytest_ganeti_vcluster.ganeti.fetch import install
from pytest_ganeti_vcluster.ganeti.installation import find_installation, is_version
from pytest_ganeti_vcluster.settings import Settings


@click.command("install")
@click.option("--version", "wanted", default="", metavar="VERSION", help="Which Ganeti, such as 3.0.")
@click.option("--force", is_flag=True, help="Fetch it anew even if it is there.")
@click.option(
    "--dest",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to install into, for --vcluster-ganeti.  [default: the cache, where it is found]",
)
@click.option(
    "--if-missing",
    is_flag=True,
    help="Do nothing where there is a usable Ganeti, be it the system's.",
)
@with_settings("ganeti")
def command(*, settings: Settings, wanted: str, force: bool, dest: Path | None, if_missing: bool) -> None:
    """Get a Ganeti, without root, from the distribution's packages.

    apt fetches the packages into a private folder and checks their signatures; they are unpacked into the
    cache together with a private Python environment and whatever else this machine lacks. Nothing outside
    the cache is changed. What an interrupted try fetched is used by the next.
    """
    if not wanted and settings.ganeti is not None and is_version(settings.ganeti):
        wanted = settings.ganeti
    if if_missing and not force and dest is None:
        with contextlib.suppress(GanetiNotFound):
            found = find_installation(settings, wanted or None)
            click.echo(f"{found} in {found.prefix} will do; nothing to install.")
            return
    with progress_report() as report:
        installed, new = install(wanted, force=force, destination=dest, report=report)
    where = f"Ganeti {installed.version} is in {installed.prefix}"
    click.echo(where + ("." if new else " already; --force fetches it anew."))
