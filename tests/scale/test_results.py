"""What a sweep has measured: checked when it is made, kept whole, read again as it was."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from pytest_ganeti_vcluster.errors import ResultsError
from pytest_ganeti_vcluster.scale import files
from pytest_ganeti_vcluster.scale.results import Figure, Machine, Point, Sweep

WALL = Figure("gnt-node list", "wall", "s", (0.5, 0.4, 0.6))
BROKEN = Figure("verify", "wall", "s", (9.0,), "timed out after 60 s,\nas it seems")

SWEEP = Sweep(
    label="as packaged",
    ganeti="3.0.2",
    engine="loopback",
    machine=Machine(cores=2, memory=1 << 34, kernel="Linux 6.1", python="3.11.2"),
    started=1.7e9,
    options={"repetitions": 3, "timeout": 60.5},
    product="0.1.0",
    points=(
        Point(nodes=20, instances=100, joined="bulk", placed="populated", figures=(WALL, BROKEN)),
        Point(
            nodes=3, instances=0, joined="real", figures=(Figure("boot", "memory:noded", "B", (1 << 20,)),)
        ),
    ),
)


def test_options_are_what_json_can_tell() -> None:
    assert attrs.evolve(SWEEP, options={"sizes": (1, 2)}).options == {"sizes": [1, 2]}
    with pytest.raises(ResultsError, match="JSON cannot tell them"):
        attrs.evolve(SWEEP, options={"a": {1}})


def test_points_are_in_order_of_sizes() -> None:
    assert [point.size for point in SWEEP.points] == [(3, 0), (20, 100)]


def test_a_figure_tells_its_middle_and_whose_it_is() -> None:
    assert WALL.middle == 0.5
    assert Figure("verify", "wall", "s", (), "broke").middle is None
    assert (WALL.kind, WALL.share) == ("wall", "")
    luxid = Figure("boot", "cpu:luxid", "s", [1])
    assert (luxid.kind, luxid.share, luxid.values) == ("cpu", "luxid", (1.0,))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"unit": "ms"}, "unit='ms': not one of 's', 'B', '1', '1/s'"),
        ({"values": ("1",)}, "values has '1': not a finite number"),
        ({"values": (True,)}, "values has True"),
        ({"values": (float("nan"),)}, "values has nan"),
        ({"values": "12"}, "values='12': not a sequence"),
        ({"values": ()}, "neither values nor an error"),
        ({"operation": " "}, "operation is empty"),
        ({"quantity": 3}, "quantity=3: not a text"),
        ({"error": None}, "error=None: not a text"),
    ],
)
def test_figures_that_cannot_be_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ResultsError) as caught:
        attrs.evolve(WALL, **fields)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"nodes": -1}, "nodes=-1"),
        ({"nodes": 2.0}, "nodes=2.0"),
        ({"instances": True}, "instances=True"),
        ({"joined": "auto"}, "joined='auto': not one of 'real', 'bulk'"),
        ({"placed": "bulk"}, "placed='bulk'"),
        ({"figures": (WALL, WALL)}, "two figures of gnt-node list, wall"),
    ],
)
def test_points_that_cannot_be_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ResultsError) as caught:
        attrs.evolve(SWEEP.points[0], **fields)
    assert told in str(caught.value)


def test_a_sweep_has_one_point_for_a_size() -> None:
    with pytest.raises(ResultsError, match="two points of 3 nodes, 0 instances"):
        attrs.evolve(SWEEP, points=(*SWEEP.points, SWEEP.points[0]))
    again = Point(nodes=3, instances=0, joined="bulk", figures=(WALL,))
    more = SWEEP.with_point(again)
    assert more.points == (again, SWEEP.points[1])
    assert SWEEP.points[0].joined == "real"


def test_what_is_missing_is_told_in_the_order_asked_for_and_what_broke_is_not_missing() -> None:
    assert SWEEP.missing([(50, 0), (20, 100), (3, 0), (3, 100)]) == ((50, 0), (3, 100))


def test_figures_are_found_by_operation_and_quantity() -> None:
    assert SWEEP.keys == (("boot", "memory:noded"), ("gnt-node list", "wall"), ("verify", "wall"))
    assert SWEEP.figures("verify", "wall") == ((SWEEP.points[1], BROKEN),)
    assert SWEEP.figures("verify", "rpcs") == ()
    point = SWEEP.point(20, 100)
    assert point is not None
    assert point.figure("gnt-node list", "wall") is WALL
    assert SWEEP.point(20, 0) is None


def test_results_come_back_from_a_file_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    files.write(SWEEP, path)
    assert files.read(path) == SWEEP
    assert [found.name for found in tmp_path.iterdir()] == ["results.json"]


def test_a_file_is_replaced_whole_or_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    files.write(SWEEP, path)
    before = path.read_text()

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ResultsError) as caught:
        files.write(attrs.evolve(SWEEP, label="other"), path)
    assert "No space left" in str(caught.value)
    assert path.read_text() == before
    assert [found.name for found in tmp_path.iterdir()] == ["results.json"]


def test_a_file_where_there_is_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="cannot be written"):
        files.write(SWEEP, tmp_path / "none" / "results.json")
    with pytest.raises(ResultsError, match="cannot be read"):
        files.read(tmp_path / "none" / "results.json")
    with pytest.raises(ResultsError, match="cannot be read"):
        files.read(tmp_path)


def damaged(**changes: Any) -> str:
    return json.dumps({**files.to_json(SWEEP), **changes})


FIGURE = attrs.asdict(WALL)
POINT = attrs.asdict(SWEEP.points[1])

DAMAGED: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is no JSON, or not all of it is there"),
    "truncated": (damaged()[:300], "is no JSON, or not all of it is there"),
    "binary": (b"\xff\xfe\x00", "cannot be read"),
    "deep": ("[" * 100000, "is no JSON"),
    "a list": ("[]", "these are no results of a sweep"),
    "something else": ('{"nodes": []}', "these are no results of a sweep"),
    "later format": (damaged(format=2), "are of format 2, and this version reads format 1"),
    "no format": (damaged(format=None), "are of format None"),
    "unknown": (damaged(colour="red"), "the file has an unknown colour"),
    "no label": (json.dumps({"kind": files.KIND, "format": 1}), "the file lacks label, lacks ganeti"),
    "machine": (damaged(machine=3), "machine is no object"),
    "memory": (damaged(machine={**attrs.asdict(SWEEP.machine), "memory": "much"}), "machine: memory='much'"),
    "started": (damaged(started="today"), "the file: started='today'"),
    "options": (damaged(options=[]), "the file: options=[]"),
    "points": (damaged(points={}), "points is no list"),
    "point": (damaged(points=[POINT, 3]), "points[1] is no object"),
    "twice": (damaged(points=[POINT, POINT]), "two points of 20 nodes, 100 instances"),
    "figures": (damaged(points=[{**POINT, "figures": None}]), "points[0].figures is no list"),
    "figure": (
        damaged(points=[{**POINT, "figures": [FIGURE, {**FIGURE, "unit": "h"}]}]),
        "points[0].figures[1]: unit='h'",
    ),
    "no values": (
        damaged(points=[{**POINT, "figures": [{"operation": "x", "quantity": "y", "unit": "s"}]}]),
        "points[0].figures[0] lacks values",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_has_no_results_is_told_of_with_what_is_wrong(name: str, tmp_path: Path) -> None:
    content, told = DAMAGED[name]
    path = tmp_path / "results.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ResultsError) as caught:
        files.read(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.cure


def test_csv_has_one_line_for_each_value_and_error(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    files.write_csv(SWEEP, path)
    rows = list(csv.reader(io.StringIO(path.read_text())))
    assert rows[0] == list(files.COLUMNS)
    assert rows[1] == ["3", "0", "real", "", "boot", "memory:noded", "B", "1", "1048576.0", ""]
    head = ["20", "100", "bulk", "populated"]
    assert rows[2:] == [
        [*head, "gnt-node list", "wall", "s", "1", "0.5", ""],
        [*head, "gnt-node list", "wall", "s", "2", "0.4", ""],
        [*head, "gnt-node list", "wall", "s", "3", "0.6", ""],
        [*head, "verify", "wall", "s", "1", "9.0", ""],
        [*head, "verify", "wall", "s", "2", "", "timed out after 60 s,\nas it seems"],
    ]
