"""Files that Ganeti itself leaves, of instances that are gone: shown, and no fault of the virtual cluster."""

from __future__ import annotations

import re

import attrs


@attrs.frozen
class KnownFile:
    """Files whose path below a node's root matches `pattern`, and how people read it.

    `reason` says what they are and why they are left; `upstream` where Ganeti's source shows it.
    """

    files: str
    pattern: str
    reason: str
    upstream: str

    def is_meant(self, path: str) -> bool:
        """Whether a path below the cluster's folder is of these."""
        return re.fullmatch(self.pattern, path.partition("/")[2]) is not None


KNOWN = (
    KnownFile(
        files="/var/run/ganeti/instance-reason/INSTANCE",
        pattern=r"var/run/ganeti/instance-reason/[^/]+",
        reason="why an instance was started or stopped last; written on each node that did, and never removed",
        upstream="lib/backend.py: _StoreInstReasonTrail",
    ),
    KnownFile(
        files="/var/run/ganeti/bdev-cache/bdev_DISK",
        pattern=r"var/run/ganeti/bdev-cache/bdev_[^/]+",
        reason="that a node has a disk; left on the node that an instance with shared disks has migrated from, as only"
        " disks of rbd and ext are shut down there",
        upstream="lib/cmdlib/instance_migration.py: _ExecMigration, unmap_types",
    ),
    KnownFile(
        files="/var/run/ganeti/ganeti-metad.pid, socket/ganeti-metad",
        pattern=r"var/run/ganeti/(ganeti-metad\.pid|socket/ganeti-metad)",
        reason="of ganeti-metad, which runs from the first instance of a node on",
        upstream="lib/backend.py: ModifyInstanceMetadata",
    ),
)


def sort_left(paths: dict[str, int]) -> tuple[dict[str, int], dict[KnownFile, int]]:
    """Part files that are left, by path and number, into those nobody knows of and the number of each known kind."""
    unknown: dict[str, int] = {}
    known: dict[KnownFile, int] = {}
    for path, count in sorted(paths.items()):
        kind = next((one for one in KNOWN if one.is_meant(path)), None)
        if kind is None:
            unknown[path] = count
        else:
            known[kind] = known.get(kind, 0) + count
    return unknown, known
