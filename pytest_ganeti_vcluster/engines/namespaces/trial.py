"""Try each thing that the engine does, in a process that is thrown away: `python -m ...trial`, by `probe` only.

Tells of each step by a line of JSON as it is done, so that whoever waits knows which one hangs: `{"step": name,
"error": text}`, where an empty text means that it went well. Imports the standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Callable

from pytest_ganeti_vcluster.engines.namespaces import kernel

#: By these names the steps are told of, in this order; each needs those before it.
NEEDED = (
    "user namespace",
    "root in it",
    "mount namespace",
    "network namespace",
    "host name and IPC namespaces",
    "process namespace",
    "capabilities",
    "host name",
    "proc",
    "sysfs",
    "tmpfs",
    "devpts",
    "bind mounts",
    "setgroups filter",
    "loopback interface",
    "bridge",
    "veth",
    "port 22",
    "nsenter",
)

#: What only faults in the network need.
FORWARDING = "frames of a bridge"
OPTIONAL = (FORWARDING,)


def main() -> None:
    """Try the steps, and end at the first needed one that fails."""
    kernel.die_with_parent(signal.SIGKILL)
    uid, gid = os.getuid(), os.getgid()
    _step("user namespace", lambda: kernel.unshare(kernel.NEWUSER))
    _step("root in it", lambda: kernel.become_root(uid, gid))
    _step("mount namespace", lambda: kernel.unshare(kernel.NEWNS))
    _step("network namespace", lambda: kernel.unshare(kernel.NEWNET))
    _step("host name and IPC namespaces", lambda: kernel.unshare(kernel.NEWUTS | kernel.NEWIPC))
    _step("process namespace", lambda: kernel.unshare(kernel.NEWPID))
    first = os.fork()
    if first:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]) and 1)
    kernel.die_with_parent(signal.SIGKILL)
    _try_as_first_process()
    _step(FORWARDING, _take_frames, needed=False)
    os._exit(0)


def _try_as_first_process() -> None:
    """Do as the first process of a node does."""
    _step("capabilities", kernel.make_mounts_private)
    _step("host name", lambda: kernel.set_host_name("trial.vc"))
    _step("proc", lambda: kernel.mount("proc", "/proc", "proc"))
    _step("sysfs", lambda: kernel.mount("sysfs", "/sys", "sysfs"))
    scratch = tempfile.gettempdir()
    _step("tmpfs", lambda: kernel.mount("trial", scratch, "tmpfs", "mode=755,size=1m"))
    _step("devpts", lambda: kernel.mount("devpts", "/dev/pts", "devpts", "newinstance,ptmxmode=0666"))

    def bind() -> None:
        folder = Path(scratch, "etc")
        folder.mkdir()
        kernel.bind(str(folder), "/etc")
        Path("/etc/trial").touch()

    _step("bind mounts", bind)

    def set_groups() -> None:
        kernel.ignore_setgroups()
        os.setgroups([0])

    _step("setgroups filter", set_groups)
    _step("loopback interface", lambda: kernel.run("ip", "link", "set", "lo", "up"))
    _step("bridge", lambda: kernel.run("ip", "link", "add", "trial", "type", "bridge"))
    _step("veth", lambda: kernel.run("ip", "link", "add", "trial0", "type", "veth", "peer", "name", "trial1"))
    _step("port 22", _bind_ssh_port)
    _step("nsenter", _enter_anew)


def _bind_ssh_port() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 22))
        listener.listen(1)


def _take_frames() -> None:
    """Take a port off a bridge, as the switch does to forward its frames itself, and give it back."""
    kernel.join_bridge("trial", "trial0")
    kernel.leave_bridge("trial", "trial0")
    kernel.open_port("trial0").close()
    kernel.join_bridge("trial", "trial0")


def _enter_anew() -> None:
    """Have a program come into the namespaces as the engine's commands do."""
    program = shutil.which("nsenter")
    if program is None:
        raise FileNotFoundError("nsenter is nowhere")
    kernel.run(
        program, "--target=1", "--mount", "--net", "--uts", "--ipc", "--pid", "test", "-e", "/etc/trial"
    )


def _step(name: str, attempt: Callable[[], object], *, needed: bool = True) -> None:
    error = ""
    try:
        attempt()
    except OSError as failure:
        error = failure.strerror or str(failure)
    sys.stdout.write(json.dumps({"step": name, "error": error}) + "\n")
    sys.stdout.flush()
    if error and needed:
        os._exit(1)


if __name__ == "__main__":
    main()
