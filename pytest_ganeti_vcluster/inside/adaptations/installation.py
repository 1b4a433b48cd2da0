"""Where the installation is, and what belongs to the node rather than to the machine."""

import os
from typing import Any

from ..adapting import Adaptation
from ..place import Place


def _installation_paths(module: Any, place: Place) -> None:
    module.PKGLIBDIR = place.settings["lib"]
    module.TOOLSDIR = place.settings["lib"] + "/tools"
    module.VERSIONEDSHAREDIR = place.settings["share"]
    module.SHAREDIR = os.path.dirname(place.settings["share"])
    module.HOOKS_PATH = place.settings["path"]


def _search_paths(module: Any, place: Place) -> None:
    node = place.below_node_root
    module.OS_SEARCH_PATH = [node("/srv/ganeti/os"), *place.settings["os_folders"]]
    module.ES_SEARCH_PATH = [node("/srv/ganeti/extstorage")]
    module.IALLOCATOR_SEARCH_PATH = [
        node("/srv/ganeti/iallocators"),
        place.settings["lib"] + "/iallocators",
    ]


def _ssh_host_keys(module: Any, place: Place) -> None:
    for name, value in list(vars(module).items()):
        if name.startswith("SSH_HOST_") and isinstance(value, str) and value.startswith("/etc/ssh/"):
            setattr(module, name, place.below_node_root(value))
    module.SSH_DAEMON_KEYFILES = {
        kind: tuple(place.below_node_root(path) for path in paths)
        for kind, paths in module.SSH_DAEMON_KEYFILES.items()
    }


def _own_hosts_file(module: Any, place: Place) -> None:
    module.V_CLUSTER_ETC_HOSTS = place.below_node_root("/etc/hosts")
    # What is not on this list is a path below the node root, here and on its way to other nodes (lib/vcluster.py).
    module.V_CLUSTER_VPATH_WHITELIST = frozenset()


def _optional_daemons(module: Any, place: Place) -> None:
    module.ENABLE_MOND = "ganeti-mond" in place.settings["daemons"]


def _own_localhost(module: Any, place: Place) -> None:
    module.IP4_ADDRESS_LOCALHOST = place.own_address(module.IP4_ADDRESS_LOCALHOST)


ADAPTATIONS = (
    Adaptation(
        name="installation-paths",
        module="ganeti._constants",
        targets=("PKGLIBDIR", "TOOLSDIR", "VERSIONEDSHAREDIR", "SHAREDIR", "HOOKS_PATH"),
        what="Ganeti's own programs are started through the cluster's farm, also by hooks.",
        why="An installation may be anywhere and is never altered; the paths are fixed when Ganeti is built.",
        apply=_installation_paths,
    ),
    Adaptation(
        name="search-paths",
        module="ganeti._constants",
        targets=("OS_SEARCH_PATH", "ES_SEARCH_PATH", "IALLOCATOR_SEARCH_PATH"),
        what="OS definitions, external storage providers and iallocators are looked for in the node's /srv/ganeti"
        " first, then in the installation.",
        why="Each test brings its own; the machine's must not be seen.",
        apply=_search_paths,
    ),
    Adaptation(
        name="ssh-host-keys",
        module="ganeti._constants",
        targets=("SSH_HOST_RSA_PRIV", "SSH_HOST_RSA_PUB", "SSH_DAEMON_KEYFILES"),
        what="The host keys of ssh are those in the node's /etc/ssh.",
        why="The machine's own keys are not to be read by users, and never to be replaced.",
        apply=_ssh_host_keys,
    ),
    Adaptation(
        name="own-hosts-file",
        module="ganeti._constants",
        targets=("V_CLUSTER_ETC_HOSTS", "V_CLUSTER_VPATH_WHITELIST"),
        what="The hosts file that Ganeti keeps up to date is the node's /etc/hosts.",
        why="Upstream's virtual clusters write the machine's own, which only root may, and nobody should.",
        apply=_own_hosts_file,
    ),
    Adaptation(
        name="optional-daemons",
        module="ganeti._constants",
        targets=("ENABLE_MOND",),
        what="ganeti-mond runs only where the spec asks for it.",
        why="The watcher and daemon-util would start one on each node; it costs memory and few tests look at it.",
        apply=_optional_daemons,
    ),
    Adaptation(
        name="own-localhost",
        module="ganeti._constants",
        targets=("IP4_ADDRESS_LOCALHOST",),
        what="What Ganeti reaches at 127.0.0.1 (RAPI and confd of the same node) is the node's own address.",
        why="All virtual nodes share the machine's 127.0.0.1; their daemons listen on their own addresses.",
        apply=_own_localhost,
    ),
)
