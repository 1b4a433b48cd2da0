"""The faults of a cluster that stays: a file in its folder, from which any process can lift them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from pytest_ganeti_vcluster.cluster.faults.fault import Recipe
from pytest_ganeti_vcluster.keeper.locking import locked, replace_text


@attrs.frozen(kw_only=True)
class Entry:
    """A fault as it is written down: its number, which no other fault of the cluster ever has, and how it is lifted.

    `is_done` is false while it is being begun, and stays so where that is broken off. The rest is as in `Fault`;
    `began` in seconds since the epoch.
    """

    number: int
    what: str
    began: float
    reset_undoes: bool
    recipe: Recipe
    is_done: bool = False

    @property
    def node(self) -> str | None:
        """The name of the node that it is about; None where it is about more, or none."""
        return self.recipe.details.get("node")

    def to_json(self) -> dict[str, Any]:
        """What `from_json` makes it of."""
        return {**attrs.asdict(self, recurse=False), "recipe": attrs.asdict(self.recipe)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Entry:
        """Make it of what `to_json` gave."""
        return cls(**{**value, "recipe": Recipe(**value["recipe"])})


@attrs.frozen
class Ledger:
    """The faults that are written down in the folder `root` of a cluster."""

    root: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.root / "faults.json"

    def entries(self) -> list[Entry]:
        """Return them, the oldest first."""
        return self._read()[0]

    def add(self, what: str, *, began: float, reset_undoes: bool, recipe: Recipe) -> int:
        """Write one down; return its number."""
        with self._locked():
            entries, number = self._read()
            entry = Entry(number=number, what=what, began=began, reset_undoes=reset_undoes, recipe=recipe)
            self._write([*entries, entry], number + 1)
        return number

    def finish(self, number: int) -> None:
        """Write down that one is done."""
        with self._locked():
            entries, following = self._read()
            self._write(
                [attrs.evolve(one, is_done=True) if one.number == number else one for one in entries],
                following,
            )

    def remove(self, numbers: Iterable[int]) -> None:
        """Strike some out, as far as they are there."""
        gone = set(numbers)
        if gone & {entry.number for entry in self.entries()}:
            with self._locked():
                entries, number = self._read()
                self._write([entry for entry in entries if entry.number not in gone], number)

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        return locked(self.root / "faults.lock")

    def _read(self) -> tuple[list[Entry], int]:
        try:
            value = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return [], 1
        return [Entry.from_json(entry) for entry in value["faults"]], int(value["next"])

    def _write(self, entries: Iterable[Entry], number: int) -> None:
        value = {"next": number, "faults": [entry.to_json() for entry in entries]}
        replace_text(self.path, json.dumps(value, indent=1) + "\n")
