"""Moving loaded modules from the node that they were loaded for to another one.

Ganeti computes paths from the node's root when it is imported, and keeps them in constants, default arguments,
tables of options and the like. `Relocation.find` looks through everything that the interpreter holds, once, for every
place where such a text is; `apply` puts another node's into each of them. What has to be replaced are texts that
contain one of a few *tokens* (the node's name, its address), and single objects (the standard streams).
"""

from __future__ import annotations

import functools
import gc
import itertools
import re
import types
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable

#: Objects looked through at a time.
_CHUNK = 64

#: Makes the new object; gets the translation.
_Maker = Callable[["_Translation"], Any]
#: Puts it where it belongs.
_Setter = Callable[["_Translation"], None]


class CannotRelocate(Exception):
    """Something holds a token in a way that nobody has thought of; it is described."""


class _Translation:
    """What is put in the place of what; an object that has several holders is made once."""

    def __init__(self, texts: Mapping[str, str], objects: Mapping[int, Any]) -> None:
        self._texts = tuple(texts.items())
        self.objects = objects
        self.made: dict[int, Any] = {}

    def text(self, value: str) -> str:
        for old, new in self._texts:
            value = value.replace(old, new)
        return value

    def binary(self, value: bytes) -> bytes:
        for old, new in self._texts:
            value = value.replace(old.encode(), new.encode())
        return value


class Relocation:
    """All places that hold a token; made by `find`."""

    def __init__(self, setters: Sequence[_Setter]) -> None:
        self._setters = tuple(setters)

    def __len__(self) -> int:
        return len(self._setters)

    @classmethod
    def find(cls, tokens: Sequence[str], objects: Sequence[Any] = (), skip: Sequence[Any] = ()) -> Relocation:
        """Find the places that hold one of the tokens or of the objects, except in the containers `skip`.

        Raises `CannotRelocate` where one of them could not be changed.
        """
        try:
            return cls(_Search(tokens, objects, skip).setters())
        except CannotRelocate:
            pass
        # It may have been garbage that nobody had collected yet.
        gc.collect()
        return cls(_Search(tokens, objects, skip).setters())

    def apply(self, texts: Mapping[str, str], objects: Mapping[int, Any]) -> None:
        """Put new texts in the place of tokens, and new objects in the place of old ones (by the `id` of these)."""
        translation = _Translation(texts, objects)
        for setter in self._setters:
            setter(translation)


def _of_kinds(found: list[Any], kinds: set[type]) -> Iterator[Any]:
    """Pick out what has one of these types; a hundred thousand objects are gone through, so there is no loop."""
    return itertools.compress(found, map(kinds.__contains__, map(type, found))) if kinds else iter(())


def _is_immutable(value: Any) -> bool:
    return isinstance(value, (str, bytes, tuple, frozenset, re.Pattern, functools.partial))


class _Search:
    """One look through everything."""

    def __init__(self, tokens: Sequence[str], objects: Sequence[Any], skip: Sequence[Any]) -> None:
        self._tokens = tuple(tokens)
        self._binary_tokens = tuple(token.encode() for token in tokens)
        self._objects = {id(one): one for one in objects}
        self._skip = {id(one) for one in skip}
        # What has to be replaced, by id; it is kept here, so that no id changes hands.
        self._moving: dict[int, Any] = dict(self._objects)
        self._class_of_namespace: dict[int, type] | None = None

    def setters(self) -> list[_Setter]:
        containers, references = self._everything()
        own = {id(self.__dict__), id(self._moving), id(self._objects), id(containers), id(references)}
        own |= {id(one) for one in references}
        self._skip |= own
        for found in references:
            self._note_texts(found)
        # What is immutable has to be made anew, which moves those that hold it, too.
        while True:
            before = len(self._moving)
            ids = self._moving.keys()
            holders = []
            for start, found in zip(range(0, len(containers), _CHUNK), references):
                if ids.isdisjoint(map(id, found)):
                    continue
                holders += [one for one in containers[start : start + _CHUNK] if self._holds(one)]
            for holder in holders:
                if _is_immutable(holder):
                    self._moving[id(holder)] = holder
            if len(self._moving) == before:
                break
        return [
            setter for holder in holders if not _is_immutable(holder) for setter in self._setters_for(holder)
        ]

    def _everything(self) -> tuple[list[Any], list[list[Any]]]:
        """Return all containers, and what each chunk of them refers to.

        The collector does not know tuples and dicts that hold nothing but texts and numbers.
        """
        containers: list[Any] = gc.get_objects()
        references: list[list[Any]] = []
        seen: set[int] = set()
        start = 0
        while start < len(containers):
            untracked = []
            end = len(containers)
            for first in range(start, end, _CHUNK):
                found = gc.get_referents(*containers[first : min(first + _CHUNK, end)])
                references.append(found)
                maybe = _of_kinds(found, self._kinds(found, (tuple, dict, re.Pattern)))
                untracked += [one for one in maybe if not gc.is_tracked(one)]
            # Chunks begin at multiples of their size.
            while len(containers) % _CHUNK:
                containers.append(None)
            start = len(containers)
            for one in untracked:
                if id(one) not in seen:
                    seen.add(id(one))
                    containers.append(one)
        return containers, references

    def _note_texts(self, found: list[Any]) -> None:
        texts = list(_of_kinds(found, self._kinds(found, (str,))))
        joined = "\n".join(texts)
        for token in self._tokens:
            if token in joined:
                self._moving.update((id(text), text) for text in texts if token in text)
        for binary in _of_kinds(found, self._kinds(found, (bytes, bytearray))):
            if any(token in binary for token in self._binary_tokens):
                self._moving[id(binary)] = binary
        for pattern in _of_kinds(found, self._kinds(found, (re.Pattern,))):
            # The collector does not look into it in every Python.
            if any(token in str(pattern.pattern) for token in self._tokens):
                self._moving[id(pattern)] = pattern

    def _kinds(self, found: list[Any], wanted: tuple[type, ...]) -> set[type]:
        return {kind for kind in set(map(type, found)) if issubclass(kind, wanted)}

    def _holds(self, holder: Any) -> bool:
        if id(holder) in self._skip or isinstance(holder, types.FrameType):
            return False
        return not self._moving.keys().isdisjoint(map(id, gc.get_referents(holder)))

    def _is_moving(self, value: Any) -> bool:
        return id(value) in self._moving

    # How the new ones are made

    def _maker(self, value: Any) -> _Maker:
        if id(value) not in self._moving:
            return lambda _translation: value
        key = id(value)
        make = self._make(value)

        def once(translation: _Translation) -> Any:
            if key not in translation.made:
                translation.made[key] = make(translation)
            return translation.made[key]

        return once

    def _make(self, value: Any) -> _Maker:  # noqa: PLR0911  one line for each kind
        if id(value) in self._objects:
            return lambda translation: translation.objects[id(value)]
        kind = type(value)
        if kind is str:
            return lambda translation: translation.text(value)
        if kind is bytes:
            return lambda translation: translation.binary(value)
        if isinstance(value, tuple):
            parts = [self._maker(part) for part in value]
            return lambda translation: tuple.__new__(kind, [part(translation) for part in parts])
        if kind is frozenset:
            members = [self._maker(member) for member in value]
            return lambda translation: frozenset([member(translation) for member in members])
        if kind is re.Pattern:
            text = self._make(value.pattern)
            return lambda translation: re.compile(text(translation), value.flags)
        if kind is functools.partial:
            function, given = self._maker(value.func), self._maker(value.args)
            named = {name: self._maker(one) for name, one in value.keywords.items()}
            return lambda translation: functools.partial(
                function(translation),
                *given(translation),
                **{name: one(translation) for name, one in named.items()},
            )
        raise CannotRelocate(f"a {kind.__module__}.{kind.__qualname__}: {value!r:.200}")

    # How they are put into their places

    def _setters_for(self, holder: Any) -> Iterator[_Setter]:
        found = list(self._known_setters(holder))
        if not found:
            kind = type(holder)
            raise CannotRelocate(
                f"a {kind.__module__}.{kind.__qualname__} holds a text of the node: {holder!r:.200}"
            )
        return iter(found)

    def _known_setters(self, holder: Any) -> Iterator[_Setter]:
        if isinstance(holder, (dict, list, deque, set)):
            yield from self._collection_setters(holder)
        if isinstance(holder, types.FunctionType):
            yield from self._attribute_setters(
                holder, ("__defaults__", "__doc__", "__name__", "__qualname__")
            )
        elif isinstance(holder, types.CellType):
            yield from self._attribute_setters(holder, ("cell_contents",))
        elif isinstance(holder, property):
            yield from self._attribute_setters(holder, ("__doc__",))
        else:
            yield from self._instance_setters(holder)

    def _collection_setters(self, holder: Any) -> Iterator[_Setter]:
        if isinstance(holder, dict):
            owner = self._class_with(holder)
            if any(map(self._is_moving, holder)):
                yield self._rekeyed(holder)
                return
            for key, value in holder.items():
                if self._is_moving(value):
                    yield (
                        _item_setter(holder, key, self._maker(value))
                        if owner is None
                        else _attribute_setter(owner, key, self._maker(value))
                    )
        elif isinstance(holder, set):
            for value in [one for one in holder if self._is_moving(one)]:
                yield _member_setter(holder, value, self._maker(value))
        else:
            for index, value in enumerate(holder):
                if self._is_moving(value):
                    yield _item_setter(holder, index, self._maker(value))

    def _rekeyed(self, holder: dict[Any, Any]) -> _Setter:
        makers = [(self._maker(key), self._maker(value)) for key, value in holder.items()]

        def rekey(translation: _Translation) -> None:
            entries = [(key(translation), value(translation)) for key, value in makers]
            holder.clear()
            holder.update(entries)

        return rekey

    def _attribute_setters(self, holder: Any, names: Sequence[str]) -> Iterator[_Setter]:
        for name in names:
            value = getattr(holder, name)
            if self._is_moving(value):
                yield _attribute_setter(holder, name, self._maker(value))

    def _instance_setters(self, holder: Any) -> Iterator[_Setter]:
        # From Python 3.11 on an instance may hold its attributes without a dict, until somebody asks for it.
        namespace = getattr(holder, "__dict__", None)
        if isinstance(namespace, dict):
            for name, value in list(namespace.items()):
                if self._is_moving(value):
                    yield _item_setter(namespace, name, self._maker(value))
        for kind in type(holder).__mro__:
            for member in vars(kind).values():
                if isinstance(member, types.MemberDescriptorType):
                    try:
                        value = member.__get__(holder)
                    except AttributeError:
                        continue
                    if self._is_moving(value):
                        yield _slot_setter(member, holder, self._maker(value))

    def _class_with(self, namespace: dict[Any, Any]) -> type | None:
        """Return the class whose namespace this is, which must be told of a change; None where it is none."""
        if self._class_of_namespace is None:
            self._class_of_namespace = {}
            for one in gc.get_objects():
                if isinstance(one, type):
                    for inner in gc.get_referents(one.__dict__):
                        self._class_of_namespace[id(inner)] = one
        return self._class_of_namespace.get(id(namespace))


def _item_setter(holder: Any, key: Any, make: _Maker) -> _Setter:
    def put(translation: _Translation) -> None:
        holder[key] = make(translation)

    return put


def _attribute_setter(holder: Any, name: str, make: _Maker) -> _Setter:
    def put(translation: _Translation) -> None:
        setattr(holder, name, make(translation))

    return put


def _member_setter(holder: set[Any], value: Any, make: _Maker) -> _Setter:
    def put(translation: _Translation) -> None:
        holder.remove(value)
        holder.add(make(translation))

    return put


def _slot_setter(member: types.MemberDescriptorType, holder: Any, make: _Maker) -> _Setter:
    def put(translation: _Translation) -> None:
        member.__set__(holder, make(translation))

    return put
