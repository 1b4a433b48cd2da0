"""How a forked program ends: as an interpreter ends, without taking apart what it only shares."""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import os
import sys
import threading
from typing import NoReturn

from .. import activation


def run_to_end(program: str) -> NoReturn:
    """Run a program of Ganeti, and end as the interpreter would.

    Raises what ends it in any other way than by returning or a plain status: then the interpreter is to see it.
    """
    try:
        activation.run(program)
        status = 0
    except SystemExit as error:
        if error.code is not None and not isinstance(error.code, int):
            # It is a text, to be shown.
            raise
        status = error.code or 0
    _finish(status)


def _finish(status: int) -> NoReturn:
    """End with a status, after all that an interpreter does at its end and that can be seen from outside.

    What it does beside is to free every object, one by one: a forked program would copy all the memory that it shares
    with the server (30 ms).
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except (OSError, ValueError):
        # What to tell and which status to give in this case is the interpreter's business.
        raise SystemExit(status) from None
    # What was made since the fork: the rest is frozen.
    left = gc.get_objects()
    for one in left:
        if isinstance(one, io.IOBase):
            with contextlib.suppress(OSError, ValueError):
                if not one.closed:
                    one.flush()
    for one in left:
        if not isinstance(one, io.IOBase) and "__del__" in vars(type(one)):
            with contextlib.suppress(Exception):
                one.__del__()
    os._exit(status & 0xFF)
