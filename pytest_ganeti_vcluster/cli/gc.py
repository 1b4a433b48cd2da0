"""Reap what killed runs left, and remove kept clusters and images that are of no use."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.cluster.making.image_key import of_no_use
from pytest_ganeti_vcluster.images.info import ImageInfo
from pytest_ganeti_vcluster.images.store import ImageStore, Removed
from pytest_ganeti_vcluster.keeper.processes import ProcessInfo
from pytest_ganeti_vcluster.keeper.reap import Reaped, kept_roots, reap_stale, remove_kept
from pytest_ganeti_vcluster.settings import Settings

_MIB = 1 << 20


@click.command("gc")
@click.option("--kept", is_flag=True, help="Also remove the folders of clusters that ended and were kept.")
@click.option("--images", is_flag=True, help="Also remove all images that nobody is building.")
@with_settings("root", "image-cache", "image-limit")
def command(*, kept: bool, images: bool, settings: Settings) -> int:
    """Reap what killed runs left, and remove kept clusters and images that are of no use.

    Ends the processes and removes the folders of clusters whose keeper was killed or whose machine went down;
    running clusters are left alone. Of the images of ready clusters it removes those that were never finished,
    those that nobody will ask for, because they were made by another version of this program or of a Ganeti that is
    gone or has changed, and, above the limit, those that were not used for longest; it lists the others. The exit
    status is 1 where something could not be ended or removed, else 0.
    """
    failed = _collect_clusters(settings.root, kept=kept)
    store = ImageStore.of(settings)
    if store is not None:
        failed += _collect_images(store, everything=images)
    return 1 if failed else 0


def _collect_clusters(base: Path, *, kept: bool) -> int:
    """Reap and tell; how many could not be ended or removed."""
    failed = 0
    reaped = reap_stale(base)
    for found in reaped:
        click.echo(_describe(found))
        failed += bool(found.stuck) or not (found.removed or found.root in kept_roots(base))
    if not reaped:
        click.echo(f"Nothing stale below {base}.")
    found_kept = kept_roots(base)
    if kept:
        removed = remove_kept(base)
        for root in found_kept:
            click.echo(f"{root}: kept; {'removed' if root in removed else 'could not be removed'}")
        failed += len(found_kept) - len(removed)
    elif found_kept:
        click.echo(_list_kept(found_kept))
    return failed


def _describe(found: Reaped) -> str:
    parts = [found.reason]
    if found.ended:
        parts.append(f"ended {_processes(found.ended)}")
    if found.stuck:
        stuck = ", ".join(f"{process.name} (process {process.pid})" for process in found.stuck)
        parts.append(f"could not end {stuck}")
    parts.append("removed" if found.removed else "the folder is left")
    return f"{found.root}: {'; '.join(parts)}"


def _processes(ended: tuple[ProcessInfo, ...]) -> str:
    count = Counter(process.name for process in ended)
    names = ", ".join(name if number == 1 else f"{number} {name}" for name, number in sorted(count.items()))
    return f"{len(ended)} process{'' if len(ended) == 1 else 'es'} ({names})"


def _list_kept(roots: list[Path]) -> str:
    lines = [f"{len(roots)} kept (--kept removes {'it' if len(roots) == 1 else 'them'}):"]
    return "\n".join(lines + [f"  {root}" for root in roots])


def _collect_images(store: ImageStore, *, everything: bool) -> int:
    """Remove images and tell; how many could not be removed."""

    def why(info: ImageInfo) -> str:
        return of_no_use(info) or ("you asked for it" if everything else "")

    removed = store.collect(of_no_use=why)
    for one in removed:
        click.echo(f"{_title(one)}: {one.why}; {'removed' if one.gone else 'could not be removed'}")
    left = store.images()
    if left:
        # Elsewhere than on a terminal, lines are not to be broken for a width that nobody has.
        console = Console(width=None if Console().is_terminal else 1000)
        console.print(_table(left))
    gone = sum(one.info.size for one in removed if one.gone)
    room = f"; made room of {_mib(gone)}" if gone else ""
    click.echo(f"Images in {store.folder}: {len(left)}, {_mib(_size(left))} of {_mib(store.limit)}{room}.")
    return sum(not one.gone for one in removed)


def _title(one: Removed) -> str:
    return f"{one.info.folder}" + ("" if one.info.is_broken else f" ({one.info.label})")


def _table(images: list[ImageInfo]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading, justify in (("image", "left"), ("of", "left"), ("size", "right")):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for heading in ("made", "last used"):
        table.add_column(heading, no_wrap=True)
    for image in reversed(images):
        cells = (image.key, image.label, _mib(image.size), _moment(image.created), _moment(image.used))
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _size(images: list[ImageInfo]) -> int:
    return sum(image.size for image in images)


def _mib(size: int) -> str:
    return f"{size / _MIB:.1f} MiB"


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
