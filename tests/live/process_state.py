"""Run on a node: print as JSON what a program can see of itself, and what others can see of it."""
# ruff: noqa: PTH123, PTH208, PTH115

from __future__ import annotations

import gc
import io
import json
import locale
import os
import resource
import signal
import sys
import threading


def status() -> dict[str, str]:
    with open("/proc/self/status", encoding="ascii") as stream:
        return dict(line.rstrip("\n").split(":\t", 1) for line in stream if ":\t" in line)


def descriptors() -> dict[str, object]:
    found: dict[str, object] = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except FileNotFoundError:
            continue
        if target.startswith(os.environ["NSS_WRAPPER_HOSTS"]):
            # A library that Ganeti loads makes nss_wrapper open it; who has not loaded that yet has not opened it.
            continue
        found[entry] = (target.split(":")[0], os.get_inheritable(int(entry)))
    return found


def streams() -> dict[str, object]:
    found: dict[str, object] = {}
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            found[name] = None
            continue
        found[name] = [
            repr(stream),
            repr(stream.buffer),
            repr(stream.buffer.raw),
            stream.encoding,
            stream.errors,
            stream.line_buffering,
            stream.write_through,
            stream is getattr(sys, f"__{name}__"),
            # What the program wrote so far, with a file.
            stream.seekable(),
        ]
    return found


def process() -> dict[str, object]:
    told = status()
    return {
        "name": told["Name"],
        "umask": told["Umask"],
        "ignored": told["SigIgn"],
        "blocked": told["SigBlk"],
        "caught": told["SigCgt"],
        "cpus": told["Cpus_allowed"],
        "groups": told["Groups"],
        "no_new_privileges": told["NoNewPrivs"],
        "threads": told["Threads"],
        "command_line": open("/proc/self/cmdline", encoding="utf-8").read().split("\0"),
        "environment": sorted(open("/proc/self/environ", encoding="utf-8").read().split("\0")),
        "executable": os.readlink("/proc/self/exe"),
        "leads_session": os.getsid(0) == os.getpid(),
        "leads_group": os.getpgrp() == os.getpid(),
        "limits": {
            name: resource.getrlimit(getattr(resource, name))
            for name in dir(resource)
            if name.startswith("RLIMIT_")
        },
        "nice": os.nice(0),
        "folder": os.readlink("/proc/self/cwd"),
        "descriptors": descriptors(),
    }


def interpreter() -> dict[str, object]:
    return {
        "argv": sys.argv,
        "orig_argv": getattr(sys, "orig_argv", None),
        "environ": sorted(os.environ.items()),
        "path": sys.path,
        "executable": sys.executable,
        "prefix": sys.prefix,
        "flags": repr(sys.flags),
        "encoding": [
            sys.getfilesystemencoding(),
            locale.getpreferredencoding(),
            io.text_encoding(None) if hasattr(io, "text_encoding") else "",
        ],
        "collecting": [gc.isenabled(), gc.get_threshold()],
        "recursion": sys.getrecursionlimit(),
        "streams": streams(),
        "handlers": {int(number): str(signal.getsignal(number)) for number in signal.valid_signals()},
        "thread": [threading.current_thread().name, threading.active_count()],
        "main": [__name__, __file__, sorted(vars(sys.modules["__main__"]).keys() & {"__file__", "__spec__"})],
        "hook": type(sys.excepthook).__name__,
    }


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "process": process(),
                "interpreter": interpreter(),
                "forked": "vcluster_inside.forking.server" in sys.modules,
            }
        )
    )
