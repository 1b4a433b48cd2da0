"""Run Ganeti's QA suite on a virtual cluster."""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path

import click

from pytest_ganeti_vcluster.cli._options import with_settings
from pytest_ganeti_vcluster.errors import VClusterError
from pytest_ganeti_vcluster.ganeti.installation import find_installation
from pytest_ganeti_vcluster.keeper.client import Child
from pytest_ganeti_vcluster.settings import Settings
from qa.ground import Ground, ground
from qa.known import KNOWN
from qa.report import Run, json_of, text_of
from qa.results import Results, judge
from qa.suite import Suite, get_suite

#: How long one test may take, in seconds.
_TEST_SECONDS = 900.0

#: Seconds between two looks at what the suite has done meanwhile.
_PAUSE = 0.5


@click.command()
@click.option(
    "--suite",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the suite: Ganeti's source.  [default: Debian's package of the Ganeti that is used]",
)
@click.option("--nodes", default=4, show_default=True, help="Nodes of the cluster; some tests need 4.")
@click.option(
    "--only",
    multiple=True,
    metavar="SETTING",
    help="Have only this of the suite's settings on, such as node-list; may be given again.",
)
@click.option(
    "--results",
    default=Path("qa-results"),
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for report.txt, report.json, events.jsonl and the suite's own output.",
)
@with_settings("ganeti", "root", "subnet", "timeout", "keep", "fork-server", one_ganeti=True)
def main(
    *, settings: Settings, folder: Path | None, nodes: int, only: tuple[str, ...], results: Path
) -> None:
    """Run Ganeti's QA suite on a virtual cluster, as an ordinary user.

    The suite makes the cluster, uses it and destroys it. The exit status is 0 if it came to its end, and failed
    nowhere but where that is known.
    """
    try:
        status = _run(settings, folder, nodes, only, results.absolute())
    except VClusterError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(status)


def _run(settings: Settings, folder: Path | None, nodes: int, only: tuple[str, ...], results: Path) -> int:
    begin = time.monotonic()
    installation = find_installation(settings)
    suite = get_suite(installation, folder)
    results.mkdir(parents=True, exist_ok=True)
    events = results / "events.jsonl"
    events.unlink(missing_ok=True)
    click.echo(
        f"Ganeti's QA suite ({suite.told}) on {installation}; its output goes to {results / 'output.txt'}"
    )
    with ground(settings, nodes) as place:
        found = _driven(place, suite, results, only)
    run = Run(suite=suite.told, ganeti=str(installation), seconds=time.monotonic() - begin)
    verdict = judge(found, KNOWN, whole=not only)
    (results / "report.txt").write_text(text_of(run, found, verdict), encoding="utf-8")
    (results / "report.json").write_text(json_of(run, found, verdict), encoding="utf-8")
    click.echo("\n" + text_of(run, found, verdict))
    return 1 if verdict.news else 0


def _driven(place: Ground, suite: Suite, results: Path, only: tuple[str, ...]) -> Results:
    """Run the suite and tell of each test as it ends."""
    output, events = results / "output.txt", results / "events.jsonl"
    output.write_bytes(b"")
    events.touch()
    argv = place.order(suite, events, only=only, seconds=_TEST_SECONDS, yaml=_yaml_folder(place))
    master = place.master
    child = place.base.keeper.spawn(
        argv, env=master.shell.environment, cwd=master.site.root / "root", stdout=output
    )
    return _followed(child, events)


def _followed(child: Child, events: Path) -> Results:
    found = Results()
    with events.open(encoding="utf-8") as stream:
        ended = False
        rest = ""
        while not ended:
            ended = child.wait(_PAUSE) is not None
            *lines, rest = (rest + stream.read()).split("\n")
            for line in lines:
                event = json.loads(line)
                found.see(event)
                if event["event"] not in {"start", "end"}:
                    click.echo(
                        f"{event['event']:8} {event.get('seconds', 0):6.1f} s  {event.get('test', '')}"
                    )
                if event.get("error"):
                    click.echo(f"         {event['error']}")
    return found


def _yaml_folder(place: Ground) -> Path:
    """Lend the suite our PyYAML, where Ganeti's Python has none: what is in Python of it does for all versions."""
    folder = place.base.root / "qa-modules"
    folder.mkdir()
    spec = importlib.util.find_spec("yaml")
    if spec is not None and spec.origin is not None:
        (folder / "yaml").symlink_to(Path(spec.origin).parent)
    return folder


if __name__ == "__main__":
    main()
