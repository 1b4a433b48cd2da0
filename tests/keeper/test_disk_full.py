"""A root on a small tmpfs that is full, in a mount namespace made for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from pathlib import Path
from pytest_ganeti_vcluster.errors import DiskFull
from pytest_ganeti_vcluster.keeper.client import Keeper
from pytest_ganeti_vcluster.keeper.folder import remove_root
from pytest_ganeti_vcluster.keeper.record import create_root

base = Path(sys.argv[1])
root, running = create_root(base), create_root(base)
keeper = Keeper.start(running, token="token")
try:
    with (base / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
except OSError:
    pass
for attempt in (
    lambda: create_root(base),
    lambda: Keeper.start(root, token="token"),
    lambda: keeper.persist(True),
):
    try:
        attempt()
    except DiskFull as error:
        print(error.message)
# Commands do not need the disk for their output.
print(len(keeper.run(["head", "-c", "1000000", "/dev/zero"]).stdout))
keeper.stop()
assert remove_root(root)
print(*(entry.name for entry in base.iterdir()))
"""


def test_full_disk_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    unshare = (
        ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    )
    # The mount is seen in its own namespace only, and goes with it; /mnt, because the path has to be short.
    mount = ["sh", "-ec", 'mount -t tmpfs -o size=128k,mode=0755 tmpfs /mnt; "$@"', "sh"]
    if subprocess.run([*unshare, *mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces for this user on this machine")
    result = subprocess.run(
        [*unshare, *mount, sys.executable, "-c", SCRIPT, "/mnt"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    message = "no room left in /mnt"
    started, changed = result.stdout.splitlines()[1:3]
    assert result.stdout.splitlines()[0] == message, result.stderr
    assert started.startswith(message)
    assert changed.startswith(message)
    assert result.stdout.splitlines()[3:] == ["1000000", "fill"]
