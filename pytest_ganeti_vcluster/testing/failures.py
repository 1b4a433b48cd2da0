"""A failed phase of a test as a story: told in its report, and kept as a folder with a page for people."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import pytest

from pytest_ganeti_vcluster.cluster.remains import Remains
from pytest_ganeti_vcluster.errors import MachineError
from pytest_ganeti_vcluster.story.causes import Failure
from pytest_ganeti_vcluster.story.evidence import Evidence
from pytest_ganeti_vcluster.story.folder import write_story
from pytest_ganeti_vcluster.story.telling import Story, tell
from pytest_ganeti_vcluster.testing.artifacts import new_folder
from pytest_ganeti_vcluster.testing.clusters import SessionClusters

#: Name of the property in reports such as junit's.
PROPERTY = "vcluster_failure"

#: The plugin pytest-html, where it is there.
_HTML = "html"
_LINK = "vcluster: what happened"


def story_of(
    report: pytest.TestReport, item: pytest.Item, error: BaseException | None, clusters: SessionClusters
) -> tuple[Story | None, list[str]]:
    """Tell the story of a failed phase, None where it had no cluster; and what could not be found out, and why."""
    evidence, problems = [], []
    for watch in clusters.watches:
        try:
            evidence.append(watch.evidence())
        except Exception as problem:  # noqa: BLE001 - whatever a broken cluster makes of it, the others are told of
            problems.append(f"{watch.cluster.root}: {type(problem).__name__}: {problem}")
    for spec, failure in clusters.not_up:
        if not isinstance(failure, MachineError):
            # What the machine lacks is told by the error alone.
            facts = (failure.message, *failure.seen.splitlines())
            evidence.append(Evidence.of_boot(failure.remains or Remains.nothing(), str(spec), facts))
    if not evidence:
        return None, problems
    failed = Failure(
        name=report.nodeid,
        phase=str(report.when),
        error=error,
        text=report.longreprtext,
        crash=_crash(report),
        place=_place(report, item, error),
    )
    try:
        return tell(failed, evidence), problems
    except Exception as problem:  # noqa: BLE001 - the test's own report, and the run, have to come through
        frames = traceback.format_exception(type(problem), problem, problem.__traceback__, limit=-3)
        return None, [*problems, "".join(frames)]


def keep(story: Story, report: pytest.TestReport, item: pytest.Item, clusters: SessionClusters) -> str:
    """Write a story to a folder of its own; return what is to be said: where its page is, or why there is none."""
    place = clusters.settings.artifacts or clusters.place
    if place is None:
        return "artifacts are not kept: give --vcluster-artifacts a folder"
    try:
        page = write_story(story, new_folder(place, item.nodeid, str(report.when)))
    except OSError as error:
        return f"artifacts could not be saved to {place}: {error}"
    except Exception as error:  # noqa: BLE001 - as above
        return f"artifacts could not be saved to {place}: {type(error).__name__}: {error}"
    _attach(page, report, item)
    return f"what happened: {page}"


def _crash(report: pytest.TestReport) -> str:
    """Return the error that ended a phase."""
    crash: Any = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return str(crash.message)
    # A failure without a traceback is all text.
    lines = report.longreprtext.strip().splitlines()
    return "\n".join(lines[:20]) or "no error is known"


def _place(report: pytest.TestReport, item: pytest.Item, error: BaseException | None) -> str:
    """Return the last line of the test's own file on the way to an error, else where that was raised, else "".

    Most errors are raised by what a test calls, ours above all: that place says nothing of the test.
    """
    called = [] if error is None else traceback.extract_tb(error.__traceback__)
    own = [frame for frame in called if frame.filename == str(item.path)]
    if own:
        return f"{os.path.relpath(item.path, item.config.rootpath)}:{own[-1].lineno}: {own[-1].line}".rstrip(
            ": "
        )
    crash: Any = getattr(report.longrepr, "reprcrash", None)
    return "" if crash is None else f"{crash.path}:{crash.lineno}"


def _attach(page: Path, report: pytest.TestReport, item: pytest.Item) -> None:
    """Have other plugins' reports name the page: junit's as a property of the test case, pytest-html's as a link."""
    found = (PROPERTY, str(page))
    # junit takes them from the report of the last phase, which is made of the item's.
    item.user_properties.append(found)
    if found not in report.user_properties:
        report.user_properties.append(found)
    extras = getattr(item.config.pluginmanager.getplugin(_HTML), "extras", None)
    if extras is not None:
        report.extras = [*getattr(report, "extras", []), extras.url(page.as_uri(), name=_LINK)]  # type: ignore[attr-defined]
