"""A story as a folder: a page for people, a timeline for programs, and the files that it is made from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.story.event import clock
from pytest_ganeti_vcluster.story.page.rendering import story_page
from pytest_ganeti_vcluster.story.telling import ClusterStory, Story

PAGE = "failure.html"
CAUSES = "what-went-wrong.txt"
TIMELINE = "timeline.jsonl"

#: Characters of all texts of a folder; what comes after is left out, and the folder says so.
MOST = 32 * 1024 * 1024


def write_story(story: Story, folder: Path) -> Path:
    """Write a story to a folder, which may be there, and return the path of its page. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((PAGE, story_page(story)), *_texts(story)):
        _write(folder / name, text)
    left = MOST
    for cluster in story.clusters:
        place = folder / cluster.evidence.remains.root.name
        for name, text in _of_cluster(story, cluster):
            left -= len(text)
            if left < 0:
                _write(folder / "left-out.txt", f"From {cluster.label}: {name} on, there was too much.\n")
                return folder / PAGE
            _write(place / name, text)
    return folder / PAGE


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace")


def _texts(story: Story) -> Iterator[tuple[str, str]]:
    failure = story.failure
    yield CAUSES, f"{failure.name}, {failure.phase}\n\n{story.summary}\n\n{failure.text}\n"
    lines = (json.dumps(event.to_json(), ensure_ascii=False) for event in story.events)
    yield TIMELINE, "".join(f"{line}\n" for line in lines)
    yield "timeline.txt", "".join(f"{event}\n" for event in story.events)


def _of_cluster(story: Story, cluster: ClusterStory) -> Iterator[tuple[str, str]]:
    """Give the files of a cluster: what was made of the others first."""
    hide, evidence = story.hider.text, cluster.evidence
    yield "jobs.json", json.dumps([attrs.asdict(job) for job in cluster.jobs], indent=1) + "\n"
    yield "jobs.txt", "\n\n".join(map(str, cluster.jobs)) + "\n"
    yield "commands.txt", hide("".join(_commands(cluster)))
    yield "faults.txt", "".join(_faults(cluster))
    if evidence.locks is not None:
        yield "locks.txt", hide(f"{evidence.locks}\n")
    if cluster.changes is not None:
        yield "config-changes.txt", "".join(f"{change}\n" for change in cluster.changes)
    for path, piece in evidence.remains.others.items():
        yield Path(path).name, hide(piece.data.decode(errors="replace"))
    for path, piece in evidence.remains.configs.items():
        yield f"{path.partition('/')[0]}/config.data", _json(story, piece.data)
    for path, piece in evidence.remains.jobs.items():
        node, _, name = path.partition("/")
        yield f"{node}/queue/{name.rpartition('/')[2]}", _json(story, piece.data)
    for path, piece in evidence.remains.logs.items():
        node, _, name = path.partition("/var/log/ganeti/")
        yield f"{node}/log/{name}", hide(piece.data.decode(errors="replace"))


def _json(story: Story, data: bytes) -> str:
    """Return JSON of Ganeti's without what is secret in it; what is no whole JSON, as text."""
    try:
        return json.dumps(story.hider.value(json.loads(data)))
    except ValueError:
        return story.hider.text(data.decode(errors="replace"))


def _commands(cluster: ClusterStory) -> Iterator[str]:
    for one in cluster.evidence.commands:
        status = (
            "timed out" if one.timed_out else "did not end" if one.status is None else f"status {one.status}"
        )
        took = "" if one.ended is None else f", {one.ended - one.began:.2f} s"
        yield f"{clock(one.began)} {one.node}# {shlex.join(one.argv)}   ({status}{took})\n"
        yield from (f"    {line}\n" for line in one.output.splitlines())


def _faults(cluster: ClusterStory) -> Iterator[str]:
    for one in cluster.evidence.faults:
        until = "till the end" if one.lifted is None else f"to {clock(one.lifted)}"
        by = f", which was left by {one.ended_by}" if one.ended_by else ""
        yield f"{clock(one.began)} {until}: {one.what}{by}\n"
