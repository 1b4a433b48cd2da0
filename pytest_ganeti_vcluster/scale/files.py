"""Files of results: JSON to keep and to read again, CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs

from pytest_ganeti_vcluster.errors import ResultsError
from pytest_ganeti_vcluster.keeper.locking import replace_text
from pytest_ganeti_vcluster.scale.results import Figure, Machine, Point, Sweep

#: What a file of results says that it is.
KIND = "ganeti-vcluster scale"

#: Of what make it is: a reader knows its own only.
FORMAT = 1

_CURE = "give a file that `ganeti-vcluster scale run` has written"

#: The columns of a CSV file.
COLUMNS = (
    "nodes",
    "instances",
    "joined",
    "placed",
    "operation",
    "quantity",
    "unit",
    "run",
    "value",
    "error",
)

_Made = TypeVar("_Made")


def to_json(sweep: Sweep) -> dict[str, Any]:
    """Return results as JSON has them; `from_json` reads it."""
    return {"kind": KIND, "format": FORMAT, **attrs.asdict(sweep)}


def from_json(value: object) -> Sweep:
    """Return the results that `to_json` gave. Raises `ResultsError`, which tells what is wrong and where."""
    if not isinstance(value, Mapping) or value.get("kind") != KIND:
        raise ResultsError("these are no results of a sweep", cure=_CURE)
    if value.get("format") != FORMAT:
        raise ResultsError(
            f"these results are of format {value.get('format')!r}, and this version reads format {FORMAT}",
            cure="use the version of pytest-ganeti-vcluster that wrote them, or measure again with this one",
        )
    fields = {name: one for name, one in value.items() if name not in {"kind", "format"}}
    if "machine" in fields:
        fields["machine"] = _make(Machine, fields["machine"], "machine")
    fields["points"] = _each(fields.get("points", []), "points", _point)
    return _make(Sweep, fields, "the file")


def _point(value: object, where: str) -> Point:
    if isinstance(value, Mapping):
        figures = _each(value.get("figures", []), f"{where}.figures", _figure)
        value = {**value, "figures": figures}
    return _make(Point, value, where)


def _figure(value: object, where: str) -> Figure:
    return _make(Figure, value, where)


def _each(value: object, where: str, make: Callable[[object, str], _Made]) -> list[_Made]:
    if not isinstance(value, list):
        raise ResultsError(f"{where} is no list", cure=_CURE)
    return [make(one, f"{where}[{number}]") for number, one in enumerate(value)]


def _make(cls: type[_Made], value: object, where: str) -> _Made:
    if not isinstance(value, Mapping):
        raise ResultsError(f"{where} is no object", cure=_CURE)
    fields = attrs.fields_dict(cls)  # type: ignore[arg-type]
    unknown = sorted(set(value) - set(fields))
    missing = [name for name, field in fields.items() if field.default is attrs.NOTHING and name not in value]
    if missing or unknown:
        wrong = [f"lacks {name}" for name in missing] + [f"has an unknown {name}" for name in unknown]
        raise ResultsError(f"{where} {', '.join(wrong)}", cure=_CURE)
    try:
        return cls(**value)
    except ResultsError as err:
        raise ResultsError(f"{where}: {err.message}", cure=_CURE) from err


def read(path: Path) -> Sweep:
    """Read a file of results. Raises `ResultsError` for what cannot be read, is not whole, or is something else."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise ResultsError(f"{path} cannot be read", seen=str(err), cure=_CURE) from err
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise ResultsError(
            f"{path} is no JSON, or not all of it is there", seen=str(err), cure=_CURE
        ) from err
    try:
        return from_json(value)
    except ResultsError as err:
        raise ResultsError(f"{path}: {err.message}", seen=err.seen, cure=err.cure) from err


def write(sweep: Sweep, path: Path) -> None:
    """Write results as JSON; readers find the file whole, as it was or as it is now. Raises `ResultsError`."""
    text = json.dumps(to_json(sweep), indent=1, allow_nan=False)
    _replace(path, text + "\n")


def write_csv(sweep: Sweep, path: Path) -> None:
    """Write results as CSV (see `to_csv`), whole or not at all. Raises `ResultsError`."""
    _replace(path, to_csv(sweep))


def _replace(path: Path, text: str) -> None:
    try:
        replace_text(path, text)
    except OSError as err:
        raise ResultsError(
            f"{path} cannot be written", seen=str(err), cure="give a file in a folder of yours that has room"
        ) from err


def to_csv(sweep: Sweep) -> str:
    """Return results as CSV: a line of `COLUMNS`, and one for each value.

    `run` counts the repetitions from 1. An error has a line of its own, without a value.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for point in sweep.points:
        for figure in point.figures:
            head = (
                *(point.nodes, point.instances, point.joined, point.placed),
                *(figure.operation, figure.quantity, figure.unit),
            )
            for run, value in enumerate(figure.values, start=1):
                writer.writerow((*head, run, repr(value), ""))
            if figure.error:
                writer.writerow((*head, len(figure.values) + 1, "", figure.error))
    return text.getvalue()
