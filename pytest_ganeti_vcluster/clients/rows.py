"""The answers to LUXI queries: rows of fields, where each value has a status of its own."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from typing import Any

import attrs


class ResultStatus(enum.IntEnum):
    """What became of one field of one row (`RS_*` in Ganeti's constants)."""

    NORMAL = 0
    #: Ganeti knows no such field.
    UNKNOWN = 1
    #: There is no data, for instance because a node did not answer.
    NODATA = 2
    #: This item has no such value, for instance a disk size of a diskless instance.
    UNAVAIL = 3
    #: The node is marked offline and was not asked.
    OFFLINE = 4


@attrs.frozen
class Cell:
    """One value with its status; the value means something for `NORMAL` only."""

    status: ResultStatus
    value: Any = None

    @property
    def normal(self) -> bool:
        """Whether there is a value."""
        return self.status is ResultStatus.NORMAL


@attrs.frozen
class FieldDefinition:
    """A field; its `kind` is `text`, `number`, `bool`, `unit`, `timestamp`, `other` or `unknown`."""

    name: str
    title: str
    kind: str
    doc: str

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> FieldDefinition:
        """Decode a `QueryFieldDefinition` (lib/objects.py)."""
        return cls(**{key: str(answer.get(key, "")) for key in ("name", "title", "kind", "doc")})


@attrs.frozen
class QueryResult:
    """What `LuxiClient.query` gives: the fields asked for, and for each item a cell per field."""

    fields: tuple[FieldDefinition, ...]
    table: tuple[tuple[Cell, ...], ...] = attrs.field(repr=False)

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> QueryResult:
        """Decode a `QueryResponse` (lib/objects.py).

        Raises `KeyError`, `TypeError` or `ValueError` where it is none.
        """
        fields = tuple(FieldDefinition.read(field) for field in answer["fields"])
        table = tuple(
            tuple(Cell(ResultStatus(status), value) for status, value in row) for row in answer["data"]
        )
        return cls(fields, table)

    @property
    def names(self) -> list[str]:
        """The names of the fields, in the order asked for."""
        return [field.name for field in self.fields]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The values by field name; `None` for every value that is not `NORMAL`."""
        return [
            {name: cell.value if cell.normal else None for name, cell in row.items()} for row in self.cells
        ]

    @property
    def cells(self) -> list[dict[str, Cell]]:
        """The same with the status of every value."""
        return [dict(zip(self.names, row)) for row in self.table]

    @property
    def unknown(self) -> list[str]:
        """The fields asked for that this Ganeti does not know."""
        return [field.name for field in self.fields if field.kind == "unknown"]

    def column(self, name: str) -> list[Any]:
        """Give the values of one field, in the order of the rows."""
        return [row[name] for row in self.rows]

    def __len__(self) -> int:
        return len(self.table)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)
