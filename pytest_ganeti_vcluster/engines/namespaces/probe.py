"""Whether this machine permits the engine: each thing that it does is done, in a process that is thrown away."""

from __future__ import annotations

import errno
import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

import pytest_ganeti_vcluster
from pytest_ganeti_vcluster.engines.base import Probe
from pytest_ganeti_vcluster.engines.namespaces.trial import FORWARDING, NEEDED, OPTIONAL

#: Seconds that all of it may take; it takes a fifth of one.
_TIMEOUT = 20.0

_SYSTEM = Path("/proc/sys")

_UNCONFINED = (
    "in a container: docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined"
)
_UNMASKED = "in a container, have /proc and /sys whole: docker run --security-opt systempaths=unconfined"

#: What to do where a step fails and no setting of the kernel tells why.
_CURES = {
    "proc": _UNMASKED,
    "sysfs": _UNMASKED,
    "loopback interface": "have iproute2 installed",
    "bridge": "have iproute2 installed and the kernel's module `bridge` loaded (as root: modprobe bridge)",
    "veth": "have the kernel's module `veth` loaded (as root: modprobe veth)",
    "setgroups filter": "use a kernel with CONFIG_SECCOMP_FILTER, on x86_64 or aarch64",
    "nsenter": "have util-linux installed",
    FORWARDING: "use a kernel from Linux 4.20 on with CONFIG_PACKET; network faults need it",
}


@attrs.frozen
class Step:
    """One step: `error` is what the system said, empty where it went well; `cure`, what would help."""

    name: str
    error: str = ""
    cure: str = ""

    @property
    def is_needed(self) -> bool:
        """Whether the engine cannot do without."""
        return self.name in NEEDED


@attrs.frozen
class Trial:
    """What came of the steps that were tried, in their order; what a failed one has kept from being tried is absent."""

    steps: tuple[Step, ...]

    @property
    def obstacle(self) -> Step | None:
        """The step that the engine fails at; None where it can work."""
        return next((step for step in self.steps if step.is_needed and step.error), None)

    @property
    def network_faults(self) -> Probe:
        """Whether, beside all else, the network can have faults."""
        step = next((step for step in self.steps if step.name == FORWARDING), None)
        if self.obstacle is not None or step is None or not step.error:
            return self.probe
        return Probe(available=False, reason=f"{step.name}: {step.error}", cure=step.cure)

    @property
    def probe(self) -> Probe:
        """It in short."""
        obstacle = self.obstacle
        if obstacle is not None:
            return Probe(available=False, reason=f"{obstacle.name}: {obstacle.error}", cure=obstacle.cure)
        return Probe(available=True, reason="an ordinary user may make namespaces here")


@functools.lru_cache(maxsize=1)
def try_namespaces() -> Trial:
    """Try every step, once for each process that asks; nothing is left of it. Never raises."""
    return carry_out()


def carry_out(command: Sequence[str] | None = None, timeout: float = _TIMEOUT) -> Trial:
    """Try every step anew; `command` is what tries them (default: `trial`), within `timeout` seconds."""
    if os.geteuid() == 0:
        error = "as root, a node could reach the machine through its namespaces"
        return Trial((Step("user namespace", error, "run as an ordinary user"),))
    package = Path(pytest_ganeti_vcluster.__file__).parent.parent
    argv = command or [sys.executable, "-S", "-m", "pytest_ganeti_vcluster.engines.namespaces.trial"]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(package)},
            timeout=timeout,
            check=False,
        )
        told, said, late = done.stdout, done.stderr, False
    except subprocess.TimeoutExpired as over:
        # What it had started has died with it.
        told, said, late = over.stdout or b"", over.stderr or b"", True
    except OSError as failure:
        return Trial((_step(NEEDED[0], str(failure)),))
    steps = [_step(**one) for one in map(_parse, told.splitlines())]
    missing = _next_step(steps)
    if missing is not None and (late or not any(step.error for step in steps)):
        lines = said.decode(errors="replace").strip().splitlines()
        why = (
            f"has not ended within {timeout:g} s"
            if late
            else (lines[-1] if lines else "ended without a word")
        )
        steps.append(_step(missing, why))
    return Trial(tuple(steps))


def _parse(line: bytes) -> dict[str, str]:
    value = json.loads(line)
    return {"name": str(value["step"]), "error": str(value["error"])}


def _next_step(steps: Sequence[Step]) -> str | None:
    return next((name for name in (*NEEDED, *OPTIONAL)[len(steps) :]), None)


def _step(name: str, error: str) -> Step:
    return Step(name, error, cure_of(name, error, read_settings()) if error else "")


def read_settings(system: Path = _SYSTEM) -> dict[str, str]:
    """Return what the kernel says of the settings that forbid user namespaces; those that it has."""
    names = (
        "kernel/unprivileged_userns_clone",
        "kernel/apparmor_restrict_unprivileged_userns",
        "user/max_user_namespaces",
        "user/max_net_namespaces",
        "user/max_mnt_namespaces",
        "user/max_pid_namespaces",
    )
    found = {}
    for name in names:
        try:
            found[name] = (system / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
    return found


def cure_of(step: str, error: str, settings: Mapping[str, str]) -> str:
    """Say what would help where a step has failed with an error, by what the kernel's settings are."""
    if step in _CURES:
        return _CURES[step]
    if os.strerror(errno.ENOSPC) in error:
        return "as root: raise the limits sysctl user.max_*_namespaces; or end what holds namespaces"
    for name, value in settings.items():
        dotted = name.replace("/", ".")
        if name == "kernel/unprivileged_userns_clone" and value == "0":
            return f"as root: sysctl {dotted}=1"
        if name == "kernel/apparmor_restrict_unprivileged_userns" and value == "1":
            return f"as root: sysctl {dotted}=0, or give {sys.executable} an AppArmor profile with `userns,`"
        if name.startswith("user/max_") and value == "0":
            return f"as root: sysctl {dotted}=10000"
    return _UNCONFINED
