"""The page and its folder: everything is in them, no secret is, and they are not too large."""

from __future__ import annotations

import json
import re
from pathlib import Path

import attrs
import pytest

from pytest_ganeti_vcluster.story.folder import PAGE, write_story
from pytest_ganeti_vcluster.story.page import picture
from pytest_ganeti_vcluster.story.page.rendering import MOST_BYTES, choose, story_page
from pytest_ganeti_vcluster.story.telling import MOST_EVENTS, Story, tell
from tests.scale.test_page import FETCHING, Page
from tests.story import made


@pytest.fixture(scope="module")
def story() -> Story:
    return tell(made.failure(AssertionError()), [made.evidence()])


def test_the_page_has_a_lane_for_each_node_and_a_shape_and_a_row_for_each_event(story: Story) -> None:
    page = Page(story_page(story))
    shapes = [one for tag, one in page.elements if tag in {"g", "path", "circle"} and "data-e" in one]
    rows = [one for tag, one in page.elements if tag == "tr" and "data-e" in one]
    assert len(shapes) == len(rows) == len(story.events)
    classes = " ".join(str(one["class"]) for one in shapes)
    for kind in ("test", "command", "job", "fault", "daemon", "rpc", "log"):
        assert f" {kind} " in classes
    for name in (*made.NODES, "cluster", "What went wrong", "Could not migrate instance web1.vc"):
        assert name in page.text


def test_the_page_loads_nothing_from_elsewhere(story: Story) -> None:
    text = story_page(story)
    page = Page(text)
    assert not [one for _tag, attributes in page.elements for one in attributes if one in FETCHING]
    assert not {"link", "iframe", "object", "embed", "img", "base", "form"} & {
        tag for tag, _ in page.elements
    }
    (policy,) = [one["content"] for _tag, one in page.elements if one.get("http-equiv")]
    assert str(policy).startswith("default-src 'none'; ")
    assert not re.search(r"https?:|\*|unsafe-eval|connect-src", str(policy))
    assert "@import" not in page.styles
    # What logs and tests say is text and no program.
    assert "<b>no</b>" not in text
    assert text.count("<script") == text.count("</script>") == 1


def test_the_picture_has_bars_in_rows_of_their_own_and_in_their_lanes(story: Story) -> None:
    drawn = picture.draw(story, story.events)
    lanes = {(lane.cluster, lane.node): lane for lane in drawn.lanes}
    bars: dict[float, list[picture.Shape]] = {}
    for shape in drawn.shapes:
        lane = lanes[shape.event.cluster, shape.event.node]
        assert lane.y <= shape.y < lane.y + lane.height
        assert drawn.first <= shape.a <= shape.b <= drawn.last
        if shape.form == "bar":
            bars.setdefault(shape.y, []).append(shape)
    for row in bars.values():
        for one, other in zip(row, row[1:]):
            assert one.b <= other.a
    assert [tick.label for tick in drawn.ticks] == ["0 s", "2 s", "4 s", "6 s", "8 s", "10 s", "12 s"]


def test_clusters_of_one_name_are_told_apart() -> None:
    other = attrs.evolve(made.evidence().remains, root=Path("/tmp/gvc-1000/other"))
    both = tell(made.failure(), [made.evidence(), made.evidence(remains=other)])
    assert [one.label for one in both.clusters] == ["cluster.vc (1f2e3d4c)", "cluster.vc (other)"]
    assert len(picture.draw(both, both.events).lanes) == 1 + 2 * 4
    assert "cluster.vc (other)" in story_page(both)


def test_the_folder_has_all_files_and_no_secret(story: Story, tmp_path: Path) -> None:
    page = write_story(story, tmp_path / "new")
    assert page == tmp_path / "new" / PAGE
    files = {str(path.relative_to(page.parent)) for path in page.parent.rglob("*") if path.is_file()}
    assert {PAGE, "what-went-wrong.txt", "timeline.jsonl", "timeline.txt"} <= files
    of_cluster = {
        "jobs.json", "jobs.txt", "commands.txt", "faults.txt", "locks.txt", "config-changes.txt", "keeper.log",
        "node1.vc/config.data", "node1.vc/queue/job-8", "node1.vc/log/jobs.log", "node2.vc/log/os/add-dd-web1.log",
    }  # fmt: skip
    assert {f"1f2e3d4c/{name}" for name in of_cluster} <= files
    for name in files:
        text = (page.parent / name).read_text(encoding="utf-8")
        for secret in (made.SECRET, made.KEY_LINE, made.PASSWORD, "of the house"):
            assert secret not in text, f"{secret} is in {name}"
    events = [json.loads(line) for line in (page.parent / "timeline.jsonl").read_text().splitlines()]
    assert len(events) == len(story.events)
    assert [one["time"] for one in events] == sorted(one["time"] for one in events)


def test_pages_and_timelines_are_bounded() -> None:
    lines = (made.rpc(number / 10_000, f"x{number}") for number in range(MOST_EVENTS + 5000))
    remains = attrs.evolve(
        made.evidence().remains, logs={"node3.vc/var/log/ganeti/node-daemon.log": made.piece("".join(lines))}
    )
    story = tell(made.failure(text="x" * 10_000_000), [made.evidence(remains=remains)])
    assert len(story.events) == MOST_EVENTS
    assert story.left_out > 5000
    page = story_page(story)
    assert len(page.encode()) <= MOST_BYTES
    chosen = choose(story.events, 100)
    assert len(chosen) == 100
    # What matters stays.
    assert {"test", "command", "job", "fault", "daemon"} <= {one.kind for one in chosen}


def test_nothing_at_all_makes_a_page_too() -> None:
    empty = attrs.evolve(made.evidence().remains, logs={}, jobs={}, configs={}, others={})
    story = tell(
        made.failure(),
        [
            made.evidence(
                remains=empty,
                faults=(),
                commands=(),
                dead=(),
                locks=None,
                nodes=(),
                master="",
                ended=made.BEGAN,
            )
        ],
    )
    assert "What went wrong" in story_page(story)
