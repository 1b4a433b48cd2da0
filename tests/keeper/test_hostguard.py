"""What the keeper keeps from the host. Most of it is about root and runs in the smoke test as root."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.keeper.client import Keeper

from .conftest import Case

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has what the keeper gives up")

#: <linux/capability.h>
CAPABILITIES = {
    "LINUX_IMMUTABLE": 9,
    "NET_ADMIN": 12,
    "SYS_MODULE": 16,
    "SYS_RAWIO": 17,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
    "SYS_BOOT": 22,
    "SYS_TIME": 25,
    "MKNOD": 27,
}


def status(keeper: Keeper) -> dict[str, str]:
    text = keeper.run(["cat", "/proc/self/status"]).stdout.decode()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_nothing_setuid_works(keeper: Keeper) -> None:
    assert status(keeper)["NoNewPrivs"] == "1"
    assert "no new privileges" in keeper.guard["done"]


@as_root
def test_dangerous_capabilities_are_gone_for_good(keeper: Keeper) -> None:
    seen = status(keeper)
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        mask = int(seen[kind], 16)
        for name, number in CAPABILITIES.items():
            assert not mask & 1 << number, f"{kind} has {name}"
    own = Path(f"/proc/{keeper.identity.pid}/status").read_text(encoding="ascii")
    assert f"CapEff:\t{seen['CapEff']}" in own


@as_root
def test_reboot_is_refused(keeper: Keeper) -> None:
    # LINUX_REBOOT_CMD_CAD_OFF only changes what Ctrl-Alt-Del does: safe to try even where it works.
    script = (
        "import ctypes, errno; libc = ctypes.CDLL(None, use_errno=True);"
        "print(libc.reboot(0), ctypes.get_errno() == errno.EPERM)"
    )
    assert keeper.run([sys.executable, "-c", script]).stdout == b"-1 True\n"


@as_root
@pytest.mark.parametrize("command", [["umount", "/etc"], ["mount", "-o", "remount,rw", "/etc"]])
def test_guard_cannot_be_undone(keeper: Keeper, command: list[str]) -> None:
    if "read-only /etc" not in keeper.guard["done"]:
        pytest.skip("this machine does not let root mount")
    assert keeper.run(command).returncode != 0
    assert keeper.run(["touch", "/etc/hosts"]).returncode != 0


@as_root
def test_host_does_not_notice(case: Case, keeper: Keeper) -> None:
    if "private /run" not in keeper.guard["done"]:
        pytest.skip("this machine does not let root mount")
    assert keeper.run(["sh", "-c", "touch /run/of-the-cluster && test -d /run/sshd"]).returncode == 0
    assert not Path("/run/of-the-cluster").exists()
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    inside = keeper.run(["cat", "/proc/self/mounts"]).stdout.decode()
    assert " /run tmpfs " in inside
    assert inside != mounts
    keeper.stop()
    assert Path("/proc/self/mounts").read_text(encoding="utf-8") == mounts


@as_root
def test_sysrq_is_out_of_reach(keeper: Keeper) -> None:
    if not Path("/proc/sysrq-trigger").exists():
        pytest.skip("this kernel has no sysrq")
    outcome = keeper.run(["stat", "-c", "%t:%T", "/proc/sysrq-trigger"])
    # The device number of /dev/null.
    assert outcome.stdout == b"1:3\n"
