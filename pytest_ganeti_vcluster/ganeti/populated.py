"""What Ganeti writes when an instance is created and started, for hundreds of instances at once.

One instance that was created for real is the model; the others are as it is, but for what must differ: names, uuids,
MAC addresses (lib/config/__init__.py, _GenerateOneMAC), places of disks (lib/cmdlib/instance_create.py), nodes. On the
primary node an instance that runs has a file of the fake hypervisor's (lib/hypervisor/hv_fake.py, _MarkUp), and the
file of each disk with a link to it (lib/storage/filestorage.py; lib/backend.py, _SymlinkBlockDev).
"""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import attrs

from pytest_ganeti_vcluster.errors import SpecError
from pytest_ganeti_vcluster.ganeti.joined import Config, nice_key

#: lib/constants.py: FILE and SHARED_FILE disks are `[driver, path]`.
_IN_FILES = frozenset({"file", "sharedfile"})


@attrs.frozen
class DiskFile:
    """The file of an instance's disk: `path` as Ganeti knows it, on `node` (a name), of `size` MiB."""

    instance: str
    index: int
    node: str
    path: str
    size: int


@attrs.frozen
class Population:
    """A configuration with instances added, and what of them belongs onto the nodes.

    `homes` are the primary nodes by name, of the added instances by name; `running` is what the fake hypervisor has in
    the file of each.
    """

    config: dict[str, Any] = attrs.field(repr=False)
    homes: Mapping[str, str]
    running: str
    disks: Sequence[DiskFile]


def with_instances(
    config: Config, model: str, homes: Mapping[str, str], now: float, rng: random.Random
) -> Population:
    """Return a configuration with more instances like `model` (a name), at the time `now` (seconds since the epoch).

    `homes` has the primary node by the name of each. Raises `SpecError` for an instance that cannot be a model.
    """
    new: dict[str, Any] = copy.deepcopy(dict(config))
    pattern = next(one for one in new["instances"].values() if one["name"] == model)
    node_uuids = {node["name"]: uuid for uuid, node in new["nodes"].items()}
    taken = {nic["mac"] for one in new["instances"].values() for nic in one["nics"]}
    disks: list[DiskFile] = []
    for name, home in homes.items():
        instance = {
            **copy.deepcopy(pattern),
            "name": name,
            "uuid": str(uuid.uuid4()),
            "primary_node": node_uuids[home],
            "disks": [],
            "ctime": now,
            "mtime": now,
        }
        for nic in instance["nics"]:
            nic["uuid"] = str(uuid.uuid4())
            nic["mac"] = _new_mac(new["cluster"]["mac_prefix"], taken, rng)
            if nic.get("ip"):
                raise SpecError(f"{model} has a NIC with an IP address, which only one instance can have")
        for index, disk_uuid in enumerate(pattern["disks"]):
            disk = _new_disk(new["disks"][disk_uuid], name, node_uuids[home], now)
            new["disks"][disk["uuid"]] = disk
            instance["disks"].append(disk["uuid"])
            disks.append(DiskFile(name, index, home, disk["logical_id"][1], disk["size"]))
        new["instances"][instance["uuid"]] = instance
    for part in (new, new["cluster"]):
        part["serial_no"] += 1
        part["mtime"] = now
    beparams = {**new["cluster"]["beparams"]["default"], **pattern["beparams"]}
    return Population(new, homes, f"0\n{beparams['maxmem']}\n{beparams['vcpus']}\n", disks)


def _new_disk(pattern: Mapping[str, Any], instance: str, node: str, now: float) -> dict[str, Any]:
    if pattern["dev_type"] not in _IN_FILES:
        raise SpecError(
            f"disks of {pattern['dev_type']} cannot be made in bulk", cure="use diskless, file or sharedfile"
        )
    driver, path = pattern["logical_id"]
    # FOLDER/INSTANCE/UUID.file.diskN
    of_model = PurePosixPath(path)
    suffix = of_model.name.partition(".")[2]
    place = of_model.parent.parent / instance / f"{uuid.uuid4()}.{suffix}"
    return {
        **copy.deepcopy(dict(pattern)),
        "uuid": str(uuid.uuid4()),
        "logical_id": [driver, str(place)],
        "nodes": [node] if pattern["nodes"] else [],
        "ctime": now,
        "mtime": now,
    }


def _new_mac(prefix: str, taken: set[str], rng: random.Random) -> str:
    while True:
        mac = ":".join([prefix, *(f"{rng.randrange(256):02x}" for _ in range(3))])
        if mac not in taken:
            taken.add(mac)
            return mac


def told_to_nodes(config: Config) -> dict[str, str]:
    """Return the file in which nodes are told of all instances (mkSSConf in src/Ganeti/WConfd/Ssconf.hs)."""
    names: Iterable[str] = (one["name"] for one in config["instances"].values())
    return {"ssconf_instance_list": "".join(f"{name}\n" for name in sorted(names, key=nice_key))}
