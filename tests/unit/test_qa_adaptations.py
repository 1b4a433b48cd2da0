"""Where the suite is led elsewhere: the commands that it sends to nodes, and the hosts file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qa.inside.adaptations import Commands, add_to_hosts, remove_from_hosts

_ROOTS = {"node1.vc": "/c/node1.vc", "node2.vc": "/c/node2.vc"}


@pytest.mark.parametrize(
    ("node", "command", "expected"),
    [
        (
            "node2.vc",
            "cat /var/lib/ganeti/ssconf_master_node",
            "cat /c/node2.vc/var/lib/ganeti/ssconf_master_node",
        ),
        (
            "node2.vc",
            "cat '/c/node1.vc/etc/x' >/c/node1.vc/y",
            "cat '/c/node2.vc/etc/x' >/c/node2.vc/y",
        ),
        (
            "node1.vc",
            "scp /c/node1.vc/d node2.vc:/c/node1.vc/d",
            "scp /c/node1.vc/d node2.vc:/c/node2.vc/d",
        ),
        ("node1.vc", "--x=/tmp/ganeti-qa-oob-1", "--x=/c/node1.vc/tmp/ganeti-qa-oob-1"),
        # What the cluster stores for all nodes, what has a node root already, and what is the machine's.
        ("node2.vc", "gnt-cluster modify --file-storage-dir=/srv/ganeti/file-storage", None),
        ("node2.vc", "ls /c/node2.vc/var/lib/ganeti", None),
        ("node2.vc", "ls /c/node1.vcx/y /tmp/gnt1 /bin/true", None),
        (
            "node1.vc",
            "ssh -oIdentityFile=/root/.ssh/id_dsa -F/dev/null node2.vc true",
            "ssh -oIdentityFile=/c/node1.vc/root/.ssh/id_ecdsa -F/dev/null -oPort=2222 node2.vc true",
        ),
        ("node1.vc", "env PYTHONPATH=/x /y --os=dd a", "env PYTHONPATH=/x /y --no-add-disks --os=dd a"),
        ("node1.vc", "gnt-node modify -O no node2.vc", "gnt-node modify --force -O no node2.vc"),
        ("node1.vc", "renew-crypto --ssh-key-type=dsa", "renew-crypto --ssh-key-type=ecdsa"),
    ],
)
def test_a_command_is_worded_for_its_node(node: str, command: str, expected: str | None) -> None:
    commands = Commands("/c/node1.vc", _ROOTS, 2222)
    assert commands.on_node(node, command) == (command if expected is None else expected)


def test_names_come_first_in_the_hosts_file_and_go_again(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    text = "127.0.0.1 localhost\n127.64.1.123 instance1.vc instance1\n"
    hosts.write_text(text, encoding="ascii")
    os.utime(hosts, (1000, 1000))
    add_to_hosts(str(hosts), ["not-there", "instance1.vc"])
    assert hosts.read_text(encoding="ascii") == "127.0.0.1 not-there instance1.vc\n" + text
    remove_from_hosts(str(hosts), ["not-there", "instance1.vc"])
    assert hosts.read_text(encoding="ascii") == text
    # nss_wrapper reads it again when its time, in whole seconds, has changed.
    assert hosts.stat().st_mtime == 1002
    assert list(tmp_path.iterdir()) == [hosts]
