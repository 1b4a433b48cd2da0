"""A story: everything that is known of a failure, in order of time, without secrets."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from pytest_ganeti_vcluster.story.causes import Cause, Failure, find_causes
from pytest_ganeti_vcluster.story.changes import Change, config_changes
from pytest_ganeti_vcluster.story.event import LEVELS, Event
from pytest_ganeti_vcluster.story.evidence import Evidence
from pytest_ganeti_vcluster.story.hiding import Hider
from pytest_ganeti_vcluster.story.jobs import JobTrace, read_jobs
from pytest_ganeti_vcluster.story.logs import read_log

#: Most events of a timeline; of what is of no consequence, the oldest are left out.
MOST_EVENTS = 20_000

#: Kinds of which there are thousands.
_MANY = ("log", "rpc")


@attrs.frozen(kw_only=True)
class ClusterStory:
    """What a story has of one cluster; `label` is its name, and tells it from others of the same name."""

    label: str
    evidence: Evidence
    jobs: tuple[JobTrace, ...]
    changes: tuple[Change, ...] | None

    @property
    def lanes(self) -> list[str]:
        """Its nodes, the master first; those too that it had only for some time."""
        nodes = {self.evidence.master: None, **dict.fromkeys(self.evidence.nodes)}
        return [node for node in nodes if node]


@attrs.frozen(kw_only=True)
class Story:
    """See the module. `left_out` events are in none of its places."""

    failure: Failure
    began: float
    ended: float
    causes: tuple[Cause, ...]
    clusters: tuple[ClusterStory, ...]
    events: tuple[Event, ...] = attrs.field(repr=False)
    left_out: int
    hider: Hider = attrs.field(repr=False)

    @property
    def summary(self) -> str:
        """Say what went wrong, as lines for a terminal."""
        return self.hider.text("\n".join(map(str, self.causes)))


def tell(failure: Failure, evidence: Sequence[Evidence]) -> Story:
    """Make a story of a failure and of what is known of its clusters."""
    hider = Hider.of(
        (secret for one in evidence for secret in one.remains.secrets),
        (known for one in evidence for known in one.passwords),
    )
    clusters = []
    for one, label in zip(evidence, _labels(evidence)):
        changes = config_changes(one.config_before, one.config_after)
        clusters.append(
            ClusterStory(
                label=label,
                evidence=one,
                jobs=tuple(read_jobs(one.remains.jobs, hider, first=one.master)),
                changes=None
                if changes is None
                else tuple(attrs.evolve(change, text=hider.text(change.text)) for change in changes),
            )
        )
    began = min((one.began for one in evidence), default=0.0)
    never_up = [one for one in clusters if not one.evidence.came_up]
    began = min([began, *(event.time for one in never_up for event in _logged(one))])
    ended = max((one.ended for one in evidence), default=0.0)
    shown: dict[str, Any] = {name: hider.text(getattr(failure, name)) for name in ("text", "crash", "place")}
    failure = attrs.evolve(failure, **shown)
    causes = find_causes(failure, [(one.evidence, one.jobs) for one in clusters])
    every = [_hidden(event, hider) for event in _events(failure, clusters, began, ended)]
    every.sort(key=lambda event: event.time)
    events = _bounded(every)
    return Story(
        failure=failure,
        began=began,
        ended=ended,
        causes=tuple(Cause(one.kind, hider.text(one.title), hider.text(one.detail)) for one in causes),
        clusters=tuple(clusters),
        events=tuple(events),
        left_out=len(every) - len(events),
        hider=hider,
    )


def _labels(evidence: Sequence[Evidence]) -> list[str]:
    names = Counter(one.name for one in evidence)
    return [one.name if names[one.name] == 1 else f"{one.name} ({one.remains.root.name})" for one in evidence]


def _hidden(event: Event, hider: Hider) -> Event:
    text, detail = hider.text(event.text), hider.text(event.detail)
    if text is event.text and detail is event.detail:
        return event
    return attrs.evolve(event, text=text, detail=detail)


def _bounded(events: list[Event]) -> list[Event]:
    too_many = len(events) - MOST_EVENTS
    kept = []
    for event in events:
        if too_many > 0 and event.kind in _MANY and LEVELS.index(event.level) < LEVELS.index("warning"):
            too_many -= 1
        else:
            kept.append(event)
    return kept[-MOST_EVENTS:]


def _events(
    failure: Failure, clusters: Sequence[ClusterStory], began: float, ended: float
) -> Iterator[Event]:
    yield Event(
        time=began, end=ended, kind="test", text=f"{failure.name}, {failure.phase}", source=failure.phase
    )
    yield Event(
        time=ended,
        kind="test",
        text=failure.crash.partition("\n")[0],
        source=failure.phase,
        level="error",
        detail=failure.crash,
    )
    for one in clusters:
        yield from _logged(one)
        for job in one.jobs:
            yield from job.events(node=one.evidence.master, cluster=one.label, until=one.evidence.ended)
        yield from _commands(one)
        yield from _faults(one)
        yield from _deaths(one)


def _logged(cluster: ClusterStory) -> Iterator[Event]:
    evidence = cluster.evidence
    for path, piece in evidence.remains.logs.items():
        node, _, name = path.partition("/var/log/ganeti/")
        text = piece.since(evidence.sizes.get(path, 0)).decode(errors="replace")
        yield from read_log(text, node=node, name=name, cluster=cluster.label, changed=piece.changed)


def _commands(cluster: ClusterStory) -> Iterator[Event]:
    for one in cluster.evidence.commands:
        status = (
            "timed out" if one.timed_out else "did not end" if one.status is None else f"status {one.status}"
        )
        yield Event(
            time=one.began,
            end=one.ended or cluster.evidence.ended,
            kind="command",
            text=f"{shlex.join(one.argv)}: {status}",
            node=one.node,
            cluster=cluster.label,
            source=one.argv[0].rpartition("/")[2] if one.argv else "",
            level="error" if one.timed_out else "info" if one.status == 0 else "warning",
            still=one.status is None,
            detail=one.output,
        )


def _faults(cluster: ClusterStory) -> Iterator[Event]:
    evidence = cluster.evidence
    for one in evidence.faults:
        by = f", left by {one.ended_by}" if one.ended_by else ""
        # A fault of several nodes is of the cluster.
        where = [
            node
            for node in evidence.nodes
            if node in one.what or f"{node.partition('.')[0]} " in f"{one.what} "
        ]
        yield Event(
            time=one.began,
            end=evidence.ended if one.lifted is None else one.lifted,
            kind="fault",
            text=f"{one.what}{by}",
            node=where[0] if len(where) == 1 else "",
            cluster=cluster.label,
            source="fault",
            level="warning",
            still=one.in_force,
        )


def _deaths(cluster: ClusterStory) -> Iterator[Event]:
    """Tell of dead daemons: when they died is between their last line and when that was seen."""
    evidence = cluster.evidence
    for one in evidence.dead:
        piece = evidence.remains.logs.get(one.log)
        last = evidence.ended if piece is None else max(piece.changed, evidence.began)
        yield Event(
            time=min(last, evidence.ended),
            end=evidence.ended,
            kind="daemon",
            text=f"{one.program} (pid {one.pid}) has died since its last line",
            node=one.node,
            cluster=cluster.label,
            source=one.name,
            level="error",
        )
