"""Holes in this process's memory, filled before it is forked.

A process that has loaded much has freed much, too: small holes in nearly every page. A forked program would put its
new objects there, and each of them would give it a copy of a page that it would else share for good. With the holes
filled, what a program makes lies together, in pages that are new anyway.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
from typing import Any, Callable

#: Python takes blocks of up to this size from arenas of its own, in classes of this width (Objects/obmalloc.c).
_SMALL = 512
_WIDTH = 16

#: Sizes that the C library is asked for. Between the large ones are steps of a fifth.
_LARGEST = 1 << 20
_FINE_BELOW = 1024
_SMALLEST = 24

#: So much may be filled; that there is more is not to be expected, and nothing is lost if some is left.
_MOST_BLOCKS = 1_000_000

_libc = ctypes.CDLL(None)
_libc.malloc.restype = ctypes.c_void_p
_libc.malloc.argtypes = [ctypes.c_size_t]
_libc.sbrk.restype = ctypes.c_void_p
_libc.sbrk.argtypes = [ctypes.c_ssize_t]


#: Members of struct mallinfo2, mallinfo(3).
_MEMBERS = (
    "arena",
    "ordblks",
    "smblks",
    "hblks",
    "hblkhd",
    "usmblks",
    "fsmblks",
    "uordblks",
    "fordblks",
    "keepcost",
)


class _Information(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _MEMBERS]


class _OldInformation(ctypes.Structure):
    """struct mallinfo, all that glibc had before 2.33."""

    _fields_ = [(name, ctypes.c_int) for name in _MEMBERS]


def fill_holes() -> list[Any]:
    """Fill the holes, and freeze all objects that there are; return what must be kept while programs are forked.

    What cannot be filled is left as it is: it costs memory and nothing else.
    """
    gc.freeze()
    # Nothing is left for it to look through, but it empties the lists of objects that Python keeps for the next use.
    gc.collect()
    filling = _fill_arenas()
    _fill_heap()
    gc.freeze()
    return filling


def _fill_arenas() -> list[Any]:
    """Fill the arenas in which Python has its small objects."""
    known = _writable()
    filling: list[Any] = []
    # Largest first: they take the pools in which there is nothing yet.
    for size in range(_SMALL, 0, -_WIDTH):
        make = _maker(size)
        for _number in range(_MOST_BLOCKS):
            one = make()
            filling.append(one)
            address = id(one)
            if not any(start <= address < end for start, end in known):
                break
    return filling


def _maker(size: int) -> Callable[[], Any]:
    """Return what makes an object that takes a block of `size` bytes."""
    if size == _WIDTH:
        return object
    if size == 2 * _WIDTH:
        numbers = itertools.count(0.5)
        return lambda: next(numbers)
    text = bytes(size - bytes.__basicsize__)
    return lambda: text[:1] + text[1:]


def _writable() -> list[tuple[int, int]]:
    """Return where this process has memory without a file: what Python takes more is outside of it."""
    found = []
    with open("/proc/self/maps", encoding="ascii", errors="replace") as stream:
        for line in stream:
            where, mode, *_rest = line.split()
            if mode.startswith("rw"):
                start, _, end = where.partition("-")
                found.append((int(start, 16), int(end, 16)))
    return found


def _fill_heap() -> None:
    """Fill the heap of the C library, up to where it has never been used."""
    top = _unused_from()
    if top is None:
        return
    sizes = [_LARGEST]
    while sizes[-1] > _FINE_BELOW:
        sizes.append(sizes[-1] * 4 // 5)
    for size in itertools.chain(sizes, range(_FINE_BELOW, _SMALLEST - 1, -_WIDTH)):
        for _number in range(_MOST_BLOCKS):
            # Never given back.
            address = _libc.malloc(size)
            if address is None or not address < top:
                break


def _unused_from() -> int | None:
    """Return the address from which on the heap is not used; None where the C library does not tell."""
    for name, kind in (("mallinfo2", _Information), ("mallinfo", _OldInformation)):
        function = getattr(_libc, name, None)
        if function is not None:
            function.restype = kind
            end: int = _libc.sbrk(0)
            return end - int(function().keepcost)
    return None
