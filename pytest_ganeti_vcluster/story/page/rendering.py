"""The page of a story as HTML, made from a template."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import jinja2

from pytest_ganeti_vcluster.story.event import KINDS, LEVELS, Event, clock
from pytest_ganeti_vcluster.story.page import picture
from pytest_ganeti_vcluster.story.telling import Story

_FOLDER = Path(__file__).parent

#: Most bytes of a page, and events in it to begin with: fewer where the page is larger.
MOST_BYTES = 1_500_000
_EVENTS = 3000

#: Most characters of an event's detail, of a text that is shown whole, and lines of a list.
_DETAIL = 1500
_TEXT = 60_000
_ROWS = 200


def story_page(story: Story) -> str:
    """Return the page, no larger than `MOST_BYTES`, whatever the story is."""
    wanted = _EVENTS
    while True:
        page = _render(story, choose(story.events, wanted))
        if len(page.encode()) <= MOST_BYTES or wanted < _ROWS:
            return page
        wanted //= 2


def choose(events: Sequence[Event], most: int) -> list[Event]:
    """Choose the events of a page: what matters, then of the others the last."""
    if len(events) <= most:
        return list(events)
    matters = [index for index, event in enumerate(events) if _matters(event)][-most:]
    others = [index for index, event in enumerate(events) if not _matters(event)]
    chosen = {*matters, *others[len(others) - (most - len(matters)) :]}
    return [events[index] for index in sorted(chosen)]


def _matters(event: Event) -> bool:
    return event.kind not in {"log", "rpc"} or LEVELS.index(event.level) >= LEVELS.index("warning")


def _render(story: Story, events: Sequence[Event]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = picture.draw(story, events)
    text: str = environment.get_template("page.html.j2").render(
        story=story,
        events=events,
        picture=drawn,
        geometry={
            "width": picture.WIDTH,
            "left": picture.LEFT,
            "right": picture.RIGHT,
            "first": drawn.first,
            "last": drawn.last,
        },
        counts=Counter(event.kind for event in events),
        kinds=KINDS,
        levels=LEVELS,
        missing=len(story.events) - len(events) + story.left_out,
        clock=clock,
        day=time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(story.began)),
        shown=_shown,
        most_rows=_ROWS,
        detail_most=_DETAIL,
        hide=story.hider.text,
    )
    return text


def _shown(text: str, most: int = _TEXT) -> str:
    """Return a text, or its end."""
    return text if len(text) <= most else f"… (the last {most} characters)\n{text[-most:]}"
