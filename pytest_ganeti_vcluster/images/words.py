"""What differs from one cluster to the next in the text of its files, and stands as placeholders in an image."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

_PLACEHOLDER = "@@vcluster:{}@@"


@attrs.frozen
class Words:
    """A cluster's own words (such as its root folder), each with its placeholder; none change nothing.

    A file is *neutral* when placeholders stand where the words were.
    """

    _pairs: tuple[tuple[bytes, bytes], ...] = attrs.field(default=(), repr=False)

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Words:
        """Make it of words by name. Raises `ValueError` for an empty word: it would be found everywhere."""
        empty = [name for name, value in values.items() if not value]
        if empty:
            raise ValueError(f"empty words: {', '.join(empty)}")
        # A long word goes first: a shorter one may be a part of it.
        names = sorted(values, key=lambda name: (-len(values[name]), name))
        return cls(tuple((_PLACEHOLDER.format(name).encode(), values[name].encode()) for name in names))

    def to_neutral(self, data: bytes) -> bytes:
        """Put placeholders in the place of the words."""
        for placeholder, value in self._pairs:
            data = data.replace(value, placeholder)
        return data

    def from_neutral(self, data: bytes) -> bytes:
        """Put the words in the place of placeholders."""
        if b"@@vcluster:" in data:
            for placeholder, value in self._pairs:
                data = data.replace(placeholder, value)
        return data
