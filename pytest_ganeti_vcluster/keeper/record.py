"""What stands in a cluster's root folder about who owns it: `starter.json`, then `keeper.json`.

A root is made by `create_root`: it is there only together with the identity of who made it, so that a root
whose keeper is just being started can be told from one whose maker was killed.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

import attrs

from pytest_ganeti_vcluster.errors import DiskFull, KeeperError, PathTooLong
from pytest_ganeti_vcluster.keeper.identity import ProcessIdentity

KEEPER_FILE = "keeper.json"
KEEPER_LOG = "keeper.log"
KEEPER_SOCKET = "keeper.sock"
STARTER_FILE = "starter.json"

#: Every process of a cluster has this variable; its value is the cluster's token.
TOKEN_VARIABLE = "VCLUSTER_TOKEN"  # noqa: S105 - the name of one, not a secret

#: Begins the name of a root that is not yet whole; the pid and start time of its maker follow.
UNBORN = ".new-"

#: unix(7): sun_path holds 108 bytes, the last is NUL.
_MAX_SOCKET_PATH = 107


@attrs.frozen
class World:
    """Where a pid means something: one boot of one kernel, and one pid namespace of it."""

    boot: str
    namespace: str

    @classmethod
    def own(cls) -> World:
        """Ours."""
        return cls(
            boot=Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
            namespace=os.readlink("/proc/self/ns/pid"),  # noqa: PTH115 - not a path
        )


@attrs.frozen(kw_only=True)
class Starter:
    """Who made a root."""

    identity: ProcessIdentity
    world: World
    created: float

    def to_json(self) -> dict[str, Any]:
        """It as `starter.json` has it."""
        return {
            "identity": self.identity.to_json(),
            "world": attrs.asdict(self.world),
            "created": self.created,
        }

    @classmethod
    def read(cls, root: Path) -> Starter | None:
        """From a root; None when there is none that can be read."""
        value = _read(root / STARTER_FILE)
        try:
            return cls(
                identity=ProcessIdentity.from_json(value["identity"]),
                world=World(**value["world"]),
                created=float(value["created"]),
            )
        except (KeyError, TypeError, ValueError):
            return None


@attrs.frozen(kw_only=True)
class KeeperRecord:
    """Who keeps a root, and how to reach it.

    `persistent`: it stays when nobody is connected. `keep_root`: its folder is to be left at the end.
    `ended`: it ended in order, and the folder was left on purpose.
    """

    identity: ProcessIdentity
    guardian: ProcessIdentity
    world: World
    socket: str
    token: str
    created: float
    persistent: bool = False
    keep_root: bool = False
    ended: bool = False

    def to_json(self) -> dict[str, Any]:
        """It as `keeper.json` has it."""
        value = attrs.asdict(self)
        return {
            **value,
            "pid": self.identity.pid,
            "started": self.identity.started,
            "identity": self.identity.to_json(),
            "guardian": self.guardian.to_json(),
        }

    def as_ended(self) -> KeeperRecord:
        """It, once the end has come in order."""
        return attrs.evolve(self, ended=True)

    def write(self, root: Path) -> None:
        """Put it into a root, whole or not at all."""
        write_json(root / KEEPER_FILE, self.to_json())

    @classmethod
    def read(cls, root: Path) -> KeeperRecord | None:
        """From a root; None when there is none that can be read."""
        value = _read(root / KEEPER_FILE)
        try:
            return cls(
                identity=ProcessIdentity.from_json(value["identity"]),
                guardian=ProcessIdentity.from_json(value["guardian"]),
                world=World(**value["world"]),
                socket=str(value["socket"]),
                token=str(value["token"]),
                created=float(value["created"]),
                persistent=bool(value["persistent"]),
                keep_root=bool(value["keep_root"]),
                ended=bool(value["ended"]),
            )
        except (KeyError, TypeError, ValueError):
            return None


def create_root(base: Path, name: str | None = None) -> Path:
    """Make a cluster's root folder below `base` (made too, 0700), marked with who made it; its path.

    The name is 8 random hex digits unless given. Raises `PathTooLong` when the keeper's socket would not
    fit, `DiskFull`, and `FileExistsError` when a given name is taken.
    """
    root = base / (secrets.token_hex(4) if name is None else name)
    check_socket_path(root)
    own = ProcessIdentity.own()
    unborn = base / f"{UNBORN}{own.pid}-{own.started}-{secrets.token_hex(4)}"
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        unborn.mkdir(mode=0o700)
        starter = Starter(identity=own, world=World.own(), created=time.time())
        write_json(unborn / STARTER_FILE, starter.to_json())
        if root.exists():
            raise FileExistsError(f"{root} is there already")
        try:
            unborn.rename(root)
        except OSError as error:
            # Somebody else was faster.
            if error.errno == errno.ENOTEMPTY:
                raise FileExistsError(f"{root} is there already") from error
            raise
    except OSError as error:
        for path in (unborn / f"{STARTER_FILE}.new", unborn / STARTER_FILE):
            path.unlink(missing_ok=True)
        if unborn.is_dir():
            unborn.rmdir()
        if disk_full := as_disk_full(error, base):
            raise disk_full from error
        raise
    return root


def check_socket_path(root: Path) -> None:
    """Raise `PathTooLong` when a Unix socket in this root could not be reached by its path."""
    path = os.fsencode(root / KEEPER_SOCKET)
    if len(path) > _MAX_SOCKET_PATH:
        raise PathTooLong(
            f"the path of the keeper's socket has {len(path)} bytes; the kernel takes {_MAX_SOCKET_PATH}",
            seen=os.fsdecode(path),
            cure="choose a root folder with a shorter path (--vcluster-root)",
        )


def as_disk_full(error: OSError, folder: Path) -> DiskFull | None:
    """Say it as `DiskFull` if that is what it is."""
    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return None
    return DiskFull(
        f"no room left in {folder}",
        seen=str(error),
        cure="make room there, or choose another root folder (--vcluster-root)",
    )


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a file whole or not at all; readable for its owner only. Raises `OSError`."""
    new = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - made with its mode, not after
            json.dump(value, file, indent=1)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def log_tail(root: Path, lines: int = 20) -> str:
    """The end of the keeper's log, for errors."""
    try:
        text = (root / KEEPER_LOG).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"({root / KEEPER_LOG} cannot be read: the root may be gone)"
    return "\n".join(text.splitlines()[-lines:]) or f"({root / KEEPER_LOG} is empty)"


def dead(root: Path, what: str) -> KeeperError:
    """The error of a keeper that is not there."""
    return KeeperError(
        f"the keeper of {root} {what}",
        seen=log_tail(root),
        cure="read the log above; `ganeti-vcluster gc` reaps what a dead keeper left",
    )
