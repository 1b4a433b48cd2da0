"""Disks of a node that are full, or can only be read: for nodes that are machines, whose file systems are their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ganeti_vcluster.cluster.faults.checking import check_count
from pytest_ganeti_vcluster.cluster.faults.fault import Fault, Recipe
from pytest_ganeti_vcluster.errors import UserError

if TYPE_CHECKING:
    from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode

#: What can be full.
DISKS = {"file-storage": "/srv/ganeti/file-storage", "var": "/var/lib/ganeti"}

#: What is on a machine's disk of that which a node has for itself; the rest is in memory (/run), or the machine's.
_ON_DISK = ("/etc", "/root", "/srv", "/tmp", "/var/lib/ganeti", "/var/log")  # noqa: S108  the node's own

_TIMEOUT = 120.0

# Where the node keeps what it needs to undo it: gone, like all that is mounted, when it is switched off.
_ASIDE = "/run/vcluster-faults"
READ_ONLY = "read-only"

# The new file system is ready before anything sees it. `real` is where the folder itself stays within reach.
_FILL = """\
set -e
place=$1 full=$2/full real=$2/real left=$3
mkdir -p "$full" "$real"
mount --bind "$place" "$real"
mount -t tmpfs -o nosuid,nodev,mode=$(stat -c %a "$place") vcluster-full "$full"
cp -a "$real/." "$full/"
set -- $(stat -f -c '%b %f %S' "$full")
# With its name, mount(8) leaves out what the kernel tells of it: among that is a user that is not known here.
mount -t tmpfs -o remount,nosuid,nodev,size=$((($1 - $2) * $3 + left)) vcluster-full "$full"
mount --bind "$full" "$place"
"""

# What was changed meanwhile goes back first; what was not, such as files that are locked, is left alone.
_EMPTY = """\
place=$1 full=$2/full real=$2/real
mountpoint -q "$real" || exit 0
if mountpoint -q "$full"; then
  if [ "$(stat -f -c %i "$place")" = "$(stat -f -c %i "$full")" ]; then
    set -e
    (cd "$real" && find . -mindepth 1 -depth) | while IFS= read -r one; do
      [ -e "$full/$one" ] || [ -L "$full/$one" ] || rm -r "$real/$one"
    done
    cp -au "$full/." "$real/"
    umount -l "$place"
    set +e
  fi
  umount -l "$full"
fi
umount -l "$real"
rmdir "$full" "$real" "$2"
"""

# Mounted anew, and only that is made read-only: what has files open there may go on with them.
_READ_ONLY = """\
set -e
mkdir -p "$1"
shift
for place; do
  mount --bind "$place" "$place"
  options=$(findmnt -n -o VFS-OPTIONS --mountpoint "$place" | tail -n 1)
  mount -o "remount,bind,$(echo "$options" | sed 's/^rw/ro/')" "$place"
done
"""

_WRITABLE = """\
aside=$1
[ -d "$aside" ] || exit 0
shift
for place; do
  case $(findmnt -n -o VFS-OPTIONS --mountpoint "$place" | tail -n 1) in
    ro*) umount -l "$place" || exit 1 ;;
  esac
done
rmdir "$aside"
"""


def fill_disk(node: VirtualNode, disk: str, left: int) -> Fault:
    """See `FaultsOfNode.fill_disk`."""
    if disk not in DISKS:
        raise UserError(f"a node has no disk {disk!r}", cure=f"fill {' or '.join(map(repr, DISKS))}")
    check_count("left (in MiB)", left, least=0)
    what = f"the disk with {DISKS[disk]} of {node.name} is full"
    node.cluster.parts.need_machines(
        "fill the disk of a node", "all nodes are on the machine's disk, which is not to be filled"
    )
    aside = f"{_ASIDE}/{disk}"
    _check(node, what)
    return node.cluster.fault_registry.begin(
        what,
        lambda: _sh(node, _FILL, DISKS[disk], aside, str(left * 1024 * 1024)),
        lambda: empty_disk(node, disk),
        still=lambda: is_aside(node, disk),
        recipe=Recipe("disk", {"node": node.name, "disk": disk}),
    )


def empty_disk(node: VirtualNode, disk: str) -> None:
    """Undo `fill_disk`."""
    _undo(node, _EMPTY, DISKS[disk], f"{_ASIDE}/{disk}")


def make_read_only(node: VirtualNode) -> Fault:
    """See `FaultsOfNode.make_read_only`."""
    what = f"the disk of {node.name} can only be read"
    node.cluster.parts.need_machines(
        "make the disk of a node read-only",
        "without a file system of its own it would be refused by rights (EACCES) that root heeds nowhere",
    )
    aside = f"{_ASIDE}/{READ_ONLY}"
    _check(node, what)
    return node.cluster.fault_registry.begin(
        what,
        lambda: _sh(node, _READ_ONLY, aside, *_ON_DISK),
        lambda: make_writable(node),
        still=lambda: is_aside(node, READ_ONLY),
        recipe=Recipe("read-only", {"node": node.name}),
    )


def make_writable(node: VirtualNode) -> None:
    """Undo `make_read_only`."""
    _undo(node, _WRITABLE, f"{_ASIDE}/{READ_ONLY}", *reversed(_ON_DISK))


def _check(node: VirtualNode, what: str) -> None:
    if not node.is_on:
        raise UserError(f"{node.name} is switched off", cure="switch it on first (`power_on`)")
    if any(fault.what == what for fault in node.cluster.faults):
        raise UserError(f"{what} already", cure="lift that fault first")


def is_aside(node: VirtualNode, what: str) -> bool:
    """Whether the node still has what it needs to undo it; if not, it has been switched off meanwhile."""
    return node.path(f"/var{_ASIDE}/{what}").exists()


def _sh(node: VirtualNode, script: str, *arguments: str) -> None:
    node.run("sh", "-c", script, "sh", *arguments, timeout=_TIMEOUT)


def _undo(node: VirtualNode, script: str, *arguments: str) -> None:
    # What is mounted is gone with the life in which it was mounted.
    if node.is_on:
        _sh(node, script, *arguments)
