"""Ganeti's use of ssh between nodes."""

import os
import stat
from typing import Any

from ..adapting import Adaptation
from ..place import Place


def _remote_public_keys(module: Any, place: Place) -> None:  # noqa: ARG001
    original = module.ReadRemoteSshPubKeys

    def ReadRemoteSshPubKeys(pub_key_file: str, node: str, *args: Any, **kwargs: Any) -> Any:
        return original(module.vcluster.ExchangeNodeRoot(node, pub_key_file), node, *args, **kwargs)

    module.ReadRemoteSshPubKeys = ReadRemoteSshPubKeys


def _writable_targets(module: Any, place: Place) -> None:  # noqa: ARG001
    original = module.SshRunner.CopyFileToNode

    def CopyFileToNode(self: Any, node: str, port: int, filename: str) -> Any:
        target = module.vcluster.ExchangeNodeRoot(node, filename)
        if os.path.isfile(target):
            os.chmod(target, os.stat(target).st_mode | stat.S_IWUSR)
        return original(self, node, port, filename)

    module.SshRunner.CopyFileToNode = CopyFileToNode


ADAPTATIONS = (
    Adaptation(
        name="remote-public-keys",
        module="ganeti.ssh",
        targets=("ReadRemoteSshPubKeys", "vcluster.ExchangeNodeRoot"),
        what="A public key is read from the other node's root.",
        why="Ganeti exchanges the node root in all other paths that it sends over ssh, and forgets it in this one.",
        apply=_remote_public_keys,
    ),
    Adaptation(
        name="writable-targets",
        module="ganeti.ssh",
        targets=("SshRunner.CopyFileToNode", "vcluster.ExchangeNodeRoot"),
        what="A file that is about to be replaced by scp is made writable first.",
        why="Ganeti keeps some files at mode 0400 and counts on root, who may write to them all the same.",
        apply=_writable_targets,
    ),
)
