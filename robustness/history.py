"""What happened, a line of JSON for each thing, by several threads."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, TextIO

import attrs


@attrs.define(eq=False)
class History:
    """Writes lines to `stream`, where there is one, with the seconds since the beginning."""

    stream: TextIO | None = None
    lines: list[dict[str, Any]] = attrs.field(factory=list)
    _began: float = attrs.field(factory=time.monotonic)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    @property
    def at(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def write(self, event: str, **fields: Any) -> None:
        """Note that something has happened."""
        with self._lock:
            line = {"at": round(self.at, 3), "event": event, **fields}
            self.lines.append(line)
            if self.stream is not None:
                self.stream.write(json.dumps(line) + "\n")
                self.stream.flush()

    def count(self, event: str, **fields: Any) -> int:
        """Count what has happened so."""
        return sum(
            line["event"] == event and all(line.get(name) == value for name, value in fields.items())
            for line in self.lines
        )
