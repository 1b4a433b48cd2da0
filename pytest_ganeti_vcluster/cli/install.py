"""Get a Ganeti, without root, from the distribution's packages."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import click

from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cli._progress import progress_report
from pytest_ganeti_vcluster.errors import GanetiNotFound
from pytest_ganeti_vcluster.ganeti.adaptation_check import check_adaptations
from pytest_ganeti_vcluster.ganeti.fetch import install
from pytest_ganeti_vcluster.ganeti.installation import find_installation, is_version
from pytest_ganeti_vcluster.settings import Settings


@click.command("install")
@click.argument("versions", nargs=-1, metavar="[VERSION]...")
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
def command(
    *, settings: Settings, versions: Sequence[str], force: bool, dest: Path | None, if_missing: bool
) -> None:
    """Get a Ganeti, without root, from the distribution's packages.

    VERSION is one such as 3.0 or 3.1, or several, which then stand side by side. What only Debian's backports have
    is taken from there.

    apt fetches the packages into a private folder and checks their signatures; they are unpacked into the
    cache together with a private Python environment and whatever else this machine lacks. Nothing outside
    the cache is changed. What an interrupted try fetched is used by the next. At last it is tried whether all
    adaptations to virtual nodes fit this Ganeti.
    """
    wanted = list(versions) or [one for one in settings.ganeti if is_version(one)] or [""]
    wrong = [one for one in versions if not is_version(one)]
    if wrong:
        raise click.UsageError(f"{wrong[0]!r} is no version; give one such as 3.1")
    if dest is not None and len(wanted) > 1:
        raise click.UsageError(f"--dest is for one version, and {len(wanted)} were asked for")
    for one in wanted:
        found = None
        if if_missing and not force and dest is None:
            with contextlib.suppress(GanetiNotFound):
                found = find_installation(settings, one or None)
                click.echo(f"{found} in {found.prefix} will do; nothing to install.")
        if found is None:
            with progress_report() as report:
                found, new = install(one, force=force, destination=dest, report=report)
            where = f"Ganeti {found.version} is in {found.prefix}"
            click.echo(where + ("." if new else " already; --force fetches it anew."))
        click.echo(f"All {check_adaptations(found)} adaptations to virtual nodes fit Ganeti {found.version}.")
