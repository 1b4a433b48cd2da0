"""Leaving secrets out of texts: passwords and keys of a cluster, and what Ganeti calls private."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any

import attrs

LEFT_OUT = "(left out)"

_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
#: A line of a key has 64 characters, or 70, and what is around it may be glued to it.
_LONG = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")

#: Values that Ganeti keeps from whoever only looks (lib/serializer.py, Private), by the names of their fields.
_PRIVATE = frozenset({"osparams_private", "osparams_secret", "osparams_private_cluster"})


@attrs.frozen
class Hider:
    """Takes the secrets of clusters out of texts and values."""

    _words: tuple[str, ...]
    _lines: tuple[str, ...]

    @classmethod
    def of(cls, secrets: Iterable[str], passwords: Iterable[tuple[str, str]] = ()) -> Hider:
        """Take out `secrets`, and what HTTP makes of `passwords` (users and passwords)."""
        every = set(secrets)
        for user, password in passwords:
            every |= {password, base64.b64encode(f"{user}:{password}".encode()).decode("ascii")}
        # The lines of keys are many, and hardly ever there: see `text`.
        lines = {one for one in every if _LONG.fullmatch(one)}
        words = every - lines - {""}
        return cls(tuple(sorted(words, key=len, reverse=True)), tuple(sorted(lines)))

    def text(self, text: str) -> str:
        """Return a text without them."""
        if "PRIVATE KEY" in text:
            text = _KEY_BLOCK.sub(LEFT_OUT, text)
        for word in self._words:
            if word in text:
                text = text.replace(word, LEFT_OUT)
        for found in set(_LONG.findall(text)):
            for line in self._lines:
                if line in found:
                    text = text.replace(line, LEFT_OUT)
        return text

    def value(self, value: Any) -> Any:
        """Return a value as JSON has it without them, and without what Ganeti calls private."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {
                self.text(str(name)): LEFT_OUT if name in _PRIVATE and inner else self.value(inner)
                for name, inner in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.value(inner) for inner in value]
        return value
