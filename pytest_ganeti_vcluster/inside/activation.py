"""Where every Python process of Ganeti in a virtual node enters."""

from __future__ import annotations

import os
import runpy
import sys
from types import TracebackType

from . import adapting
from .adaptations import ADAPTATIONS
from .place import Place

#: What luxid runs a job with: an absolute path that was compiled into it (src/Ganeti/JQScheduler.hs,
#: src/Ganeti/Query/Exec.hs), which is not where this installation has it.
_JOB_PROGRAM = "/ganeti/jqueue/exec.py"


#: Names of adaptations, with commas between, that a process is to do without. It is there for the tests that show
#: what each adaptation is good for, and for nothing else: a cluster is not usable without any of them.
WITHOUT = "VCLUSTER_WITHOUT"

#: As root, nothing may run without these.
_INDISPENSABLE = frozenset({"own-hosts-file", "power-cycle", "xen-power-cycle"})


def wanted() -> list[adapting.Adaptation]:
    """Return the adaptations to apply: all, less what the environment leaves out. ValueError for a wrong name there."""
    left_out = {name for name in os.environ.get(WITHOUT, "").split(",") if name}
    unknown = left_out - {one.name for one in ADAPTATIONS}
    if unknown:
        raise ValueError(f"{WITHOUT}: there is no adaptation {', '.join(sorted(unknown))}")
    if os.getuid() == 0 and left_out & _INDISPENSABLE:
        raise ValueError(f"{WITHOUT}: root must not leave out {', '.join(sorted(_INDISPENSABLE))}")
    return [one for one in ADAPTATIONS if one.name not in left_out]


def activate() -> Place:
    """Adapt Ganeti's modules in this process, of which nothing is imported yet; return what they are adapted to."""
    place = adapting.installed_for()
    if place is None:
        place = Place.current()
        adapting.install(wanted(), place)
    return place


def run(program: str) -> None:
    """Run a Python program of Ganeti as if it had been started by its own path."""
    activate()
    sys.excepthook = _TellOf(program)
    sys.path[0] = os.path.dirname(program)
    share = os.environ["VCLUSTER_SHARE"]
    if share not in sys.path:
        sys.path.insert(1, share)
    sys.argv[0] = program
    runpy.run_path(program, run_name="__main__")


class _TellOf:
    """Tell of an error that ends a program, leaving out how the program was started."""

    def __init__(self, program: str) -> None:
        self._program = program

    def __call__(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        own = traceback
        while own is not None and own.tb_frame.f_code.co_filename != self._program:
            own = own.tb_next
        # Python 3.13 shows what the error itself has.
        error.__traceback__ = own or traceback
        sys.__excepthook__(kind, error, own or traceback)


def _command_line() -> list[str]:
    original = getattr(sys, "orig_argv", None)
    if original is not None:
        return list(original)
    with open("/proc/self/cmdline", "rb") as stream:
        return [os.fsdecode(part) for part in stream.read().split(b"\0")[:-1]]


def enter_python() -> None:
    """Take over a Python that Ganeti started by a path of its own; called by usercustomize.

    A job is run again by the installation's interpreter, through the farm; descriptors 0 and 1, over which luxid
    talks to it, live on. Any other Python of the node is adapted where it is.
    """
    place = Place.current()
    argv = _command_line()
    if len(argv) > 1 and argv[1].endswith(_JOB_PROGRAM):
        interpreter = place.settings["python"]
        # luxid's PYTHONPATH names the folder that was compiled into it.
        os.environ.pop("PYTHONPATH", None)
        os.execv(interpreter, [interpreter, os.path.join(place.farm, "lib", "job"), *argv[2:]])
    activate()
