"""Where new objects go once the holes in memory are filled: looked at in a process of its own each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest_ganeti_vcluster.inside

_INSIDE = Path(pytest_ganeti_vcluster.inside.__file__).parent

_ROUGH = """
import ctypes, sys
sys.path.insert(0, {inside!r})
from forking.allocation import fill_holes

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
SIZES = (40, 100, 250, 480, 700, 5000, 50000)
# Every second one stays.
blocks = [[libc.malloc(size) for _number in range(200)] for size in SIZES]
objects = [[bytes(size) for _number in range(2000)] for size in SIZES if size < 450]
for some in blocks:
    for block in some[::2]:
        libc.free(block)
del block, some
holes = {{id(one) >> 12 for some in objects for one in some[::2]}}
holes_of_c = {{block >> 12 for some in blocks for block in some[::2]}}
for some in objects:
    del some[::2]
{action}
new = [bytes(size) for size in SIZES if size < 450 for _number in range(500)]
print(sum(id(one) >> 12 in holes for one in new))
print(sum(libc.malloc(size) >> 12 in holes_of_c for size in SIZES for _number in range(50)))
"""


def _found_holes(action: str) -> list[int]:
    """Return how many new objects, and new blocks of the C library's, go into pages with holes."""
    script = _ROUGH.format(inside=str(_INSIDE), action=action)
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return [int(line) for line in done.stdout.split()]


def test_that_nothing_new_goes_into_a_hole() -> None:
    assert min(_found_holes("")) > 100
    # Of 2000 objects and 350 blocks; the interpreter frees a few for itself meanwhile.
    assert max(_found_holes("kept = fill_holes()")) <= 20
