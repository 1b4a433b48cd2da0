"""Where the suite is led elsewhere: it counts on root, on port 22 and on one file system for each node.

Nothing here changes what a test asks of Ganeti.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any, Callable

#: For the pages: name, what is different, and why.
TABLE: tuple[tuple[str, str, str], ...] = (
    (
        "node-paths",
        "Paths in commands (of Ganeti's files, of /root/.ssh) are those below the root of the node they are for.",
        "The nodes share one file system, and the suite names paths in full.",
    ),
    (
        "ssh-port",
        "A command that has ssh ignore its configuration (-F/dev/null) names port 2222.",
        "Only root can listen on port 22.",
    ),
    (
        "no-question",
        "gnt-node modify -O no is given --force.",
        "It asks whether to go on (SetNodeParams in lib/client/gnt_node.py), and the suite gives it no terminal.",
    ),
    (
        "no-hotplug",
        "burnin is given --no-add-disks.",
        "It would remove a disk from a running instance, for which a hypervisor needs hotplug, as only KVM has.",
    ),
    (
        "no-dsa",
        "Where the suite has Ganeti use DSA keys for ssh, it uses ECDSA keys.",
        "OpenSSH refuses to log in with DSA keys unless told otherwise since 7.0, and has none since 10.0.",
    ),
    (
        "hosts-file",
        "Names that the suite puts into /etc/hosts for a moment go into the cluster's own hosts file.",
        "The machine's belongs to root.",
    ),
    (
        "writable-uploads",
        "A file of mode 0400 is uploaded with mode 0600.",
        "The suite sets the mode before it writes the file, which only root may do.",
    ),
    (
        "text-uploads",
        "Bytes that the suite uploads as text are decoded.",
        "In Python 3 serializer.DumpJson gives bytes, and the suite fails with them (TestOutOfBand in qa/qa_node.py).",
    ),
    (
        "no-disks",
        "The suite reads that an instance without disks has an empty list of them.",
        "`gnt-instance info` leaves the list out, and the suite fails then (GetInstanceInfo in qa/qa_instance.py).",
    ),
    (
        "no-iptables",
        "The rules of iptables that earlier runs may have left are not looked for.",
        "The only test that makes any needs root, and is off.",
    ),
    (
        "no-cron",
        "ganeti-watcher is run once on each node after the nodes have been added.",
        "There is no cron on a node; on real ones the watcher starts ganeti-confd within minutes.",
    ),
    (
        "rapi-authority",
        "The suite's RAPI client trusts the authority of the cluster's RAPI certificate, too.",
        "The suite trusts the certificate itself, which does for self-signed ones only.",
    ),
)

_HARD_CODED = re.compile(r"(?<![\w./-])/(?=(?:var/(?:lib|run|log)|etc)/ganeti/|root/\.ssh/|tmp/ganeti-qa-)")

_BURNIN = re.compile(r"^(env PYTHONPATH=\S+ \S+) (--os=)")
_DSA = re.compile(r"(--ssh-key-type=|/root/\.ssh/id_)dsa\b")


class Commands:
    """Words commands as they are for one node or another; `roots` are the nodes' root folders, the master's `own`."""

    def __init__(self, own: str, roots: Mapping[str, str], ssh_port: int) -> None:
        self._own = own
        self._roots = dict(roots)
        self._ssh_port = ssh_port
        others = "|".join(re.escape(name) for name in roots)
        self._below_own = re.compile(rf"(?:(?<![\w.-])({others}):)?{re.escape(own)}/")

    def on_node(self, node: str, command: str) -> str:
        """Return a command as it is on `node`; in `other:/path` paths are those of the other node."""
        command = _HARD_CODED.sub(self._own + "/", command)

        def exchanged(match: re.Match[str]) -> str:
            other = match.group(1)
            root = self._roots.get(other or node, self._own)
            return f"{other}:{root}/" if other else f"{root}/"

        command = self._below_own.sub(exchanged, command)
        command = command.replace("-F/dev/null", f"-F/dev/null -oPort={self._ssh_port}")
        command = command.replace("gnt-node modify -O no ", "gnt-node modify --force -O no ")
        command = _BURNIN.sub(r"\1 --no-add-disks \2", command)
        return _DSA.sub(r"\g<1>ecdsa", command)


def add_to_hosts(path: str, names: Sequence[str]) -> None:
    """Give names, the first of them canonical, to 127.0.0.1 in a hosts file, before all others."""
    _rewrite(path, lambda lines: [f"127.0.0.1 {' '.join(names)}\n", *lines])


def remove_from_hosts(path: str, names: Sequence[str]) -> None:
    """Undo `add_to_hosts`."""
    added = f"127.0.0.1 {' '.join(names)}\n"
    _rewrite(path, lambda lines: [line for line in lines if line != added])


def _rewrite(path: str, change: Callable[[list[str]], Iterable[str]]) -> None:
    # nss_wrapper reads the file again when its time in whole seconds has changed, so it is put one second later.
    with open(path, encoding="utf-8") as stream:
        lines = stream.readlines()
    stamp = int(os.stat(path).st_mtime) + 1
    fresh = path + ".qa"
    with open(fresh, "w", encoding="utf-8") as stream:
        stream.writelines(change(lines))
    os.utime(fresh, (stamp, stamp))
    os.replace(fresh, path)


def adapt_commands(utils: ModuleType, commands: Commands, hosts: str) -> None:
    """Adapt one copy of `qa_utils`: the suite imports it under two names."""
    ssh_command = utils.GetSSHCommand
    upload_file = utils.UploadFile
    upload_data = utils.UploadData
    object_info = utils.GetObjectInfo

    def GetSSHCommand(node: str, cmd: str | None, *args: Any, **options: Any) -> list[str]:
        command: list[str] = ssh_command(node, cmd and commands.on_node(node, cmd), *args, **options)
        return command

    def UploadFile(node: str, src: str) -> str:
        mode = os.stat(src).st_mode
        if not mode & stat.S_IWUSR:
            os.chmod(src, mode | stat.S_IWUSR)
        uploaded: str = upload_file(node, src)
        return uploaded

    def UploadData(node: str, data: str | bytes, *args: Any, **options: Any) -> str:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        uploaded: str = upload_data(node, text, *args, **options)
        return uploaded

    def GetObjectInfo(infocmd: Sequence[str]) -> Any:
        info = object_info(infocmd)
        for one in info if isinstance(info, list) else ():
            if "Disks" in one:
                one["Disks"] = one["Disks"] or []
        return info

    utils.GetObjectInfo = GetObjectInfo  # type: ignore[attr-defined]
    utils.UploadData = UploadData  # type: ignore[attr-defined]
    utils.GetSSHCommand = GetSSHCommand  # type: ignore[attr-defined]
    utils.UploadFile = UploadFile  # type: ignore[attr-defined]
    utils.AddToEtcHosts = lambda names: add_to_hosts(hosts, names)  # type: ignore[attr-defined]
    utils.RemoveFromEtcHosts = lambda names: remove_from_hosts(hosts, names)  # type: ignore[attr-defined]


def adapt_suite(program: ModuleType, authority: str, watchers: Mapping[str, str]) -> None:
    """Adapt the rest, once; `watchers` are the programs that run a command on each node."""
    program.qa_group.qa_iptables.CleanRules = lambda *_args: None
    add_all = program.qa_node.TestNodeAddAll

    def TestNodeAddAll() -> None:
        add_all()
        for command in watchers.values():
            subprocess.run([command, "ganeti-watcher"], check=False)

    TestNodeAddAll.__module__, TestNodeAddAll.__doc__ = add_all.__module__, add_all.__doc__
    program.qa_node.TestNodeAddAll = TestNodeAddAll
    client = program.rapi.client
    configure = client.GenericCurlConfig

    def GenericCurlConfig(*args: Any, **options: Any) -> Any:
        if options.get("cafile"):
            with (
                open(authority, encoding="utf-8") as known,
                open(options["cafile"], "a", encoding="utf-8") as file,
            ):
                file.write(known.read())
        return configure(*args, **options)

    client.GenericCurlConfig = GenericCurlConfig
