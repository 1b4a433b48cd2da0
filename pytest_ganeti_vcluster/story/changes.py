"""What is different between two configurations of a cluster (config.data)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs

#: Most lines, and characters of a value.
_LINES = 2000
_VALUE = 400

#: Fields that change with every change, and say nothing of it.
_NOISE = frozenset({"serial_no", "mtime", "ctime"})


#: Ganeti writes such fields, or leaves them out, as its programs please.
_EMPTY: tuple[Any, ...] = ([], {}, "", None)


@attrs.frozen
class Change:
    """`sign` is "+" for what is new, "-" for what is gone, "~" for what is another; objects have their names."""

    sign: str
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.sign} {self.path}{' = ' if self.sign != '~' else ': '}{self.text}"


def config_changes(before: bytes | None, after: bytes | None) -> list[Change] | None:
    """Return the changes, by path; None where one of the two is not known or cannot be read."""
    try:
        old, new = json.loads(before or b""), json.loads(after or b"")
    except ValueError:
        return None
    names = {**_names(old), **_names(new)}
    return list(_compare(old, new, (), names))[:_LINES]


def _names(config: Any) -> dict[str, str]:
    """Return the names of objects by their UUIDs."""
    found = {}
    for kind in ("nodes", "instances", "nodegroups", "networks", "disks"):
        for uuid, thing in (config.get(kind) or {}).items():
            if isinstance(thing, dict) and thing.get("name"):
                found[uuid] = str(thing["name"])
    return found


def _compare(old: Any, new: Any, path: tuple[str, ...], names: dict[str, str]) -> Iterator[Change]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if key in _NOISE:
                continue
            where = (*path, names.get(key, key))
            if key in old and key in new:
                yield from _compare(old[key], new[key], where, names)
            elif key in new and new[key] not in _EMPTY:
                yield Change("+", ".".join(where), _text(new[key]))
            elif key in old and old[key] not in _EMPTY:
                yield Change("-", ".".join(where), _text(old[key]))
    elif old != new:
        yield Change("~", ".".join(path), f"{_text(old)} → {_text(new)}")


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE else f"{text[:_VALUE]} …"
