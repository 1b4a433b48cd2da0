"""What differs from a real cluster, told from the code: adaptations, the engine's facts, filtered findings.

`python docs/_ext/differences.py --write` brings the table in README.rst up to date, `--check` tells whether it is.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.engines.base import DOMAIN
from pytest_ganeti_vcluster.engines.loopback import sshd
from pytest_ganeti_vcluster.engines.site_names import READY_INSTANCE_NAMES
from pytest_ganeti_vcluster.ganeti import farm
from pytest_ganeti_vcluster.ganeti.daemons import METAD_PORT
from pytest_ganeti_vcluster.ganeti.verify import EXPECTED
from pytest_ganeti_vcluster.inside.adaptations import ADAPTATIONS
from pytest_ganeti_vcluster.settings import DEFAULT_SUBNET

README = Path(__file__).resolve().parents[2] / "README.rst"
BEGIN = ".. differences: begin (python docs/_ext/differences.py --write)\n"
END = ".. differences: end\n"

_REFUSING = farm._SHIMS_REFUSING  # noqa: SLF001 - told here so that the text follows the code
_ANY_LITERAL = re.compile(r"(``.+?``|`[^`]+`)")


@attrs.frozen
class Difference:
    """One thing that is otherwise than on a real cluster, and why."""

    name: str
    what: str
    why: str


#: What the loopback engine and the farm do. No line of Ganeti is changed for these.
FACTS: tuple[Difference, ...] = (
    Difference(
        "addresses",
        f"Nodes have loopback addresses, of {DEFAULT_SUBNET} unless another pool is given. Connections between"
        " nodes come from 127.0.0.1.",
        "An ordinary user can bind them without a network interface.",
    ),
    Difference(
        "names",
        f"Names end in `.{DOMAIN}` and come from the cluster's own hosts file. It knows the nodes, the cluster and"
        f" `instance1` to `instance{READY_INSTANCE_NAMES}`; `add_name()` adds more.",
        "nss_wrapper gives names without changing the machine's `/etc/hosts`.",
    ),
    Difference(
        "users",
        "root and all Ganeti users are the user who runs the tests.",
        "There is only one user. Files have Ganeti's modes, and one owner.",
    ),
    Difference(
        "root folder",
        "A node's `/etc/ganeti`, `/var/lib/ganeti`, `/var/log/ganeti`, `/var/run/ganeti` and `/srv/ganeti` are below"
        " its root folder. All else is the machine's.",
        "It is Ganeti's own design for virtual clusters (`GANETI_ROOTDIR`).",
    ),
    Difference(
        "ssh",
        f"All nodes have the same ssh host key, and ssh listens on port {sshd.PORT}.",
        f"One sshd without privileges serves up to {sshd.ADDRESSES_PER_SSHD} nodes; it tells them apart by address.",
    ),
    Difference(
        "ssh keys",
        "`daemon-util reload-ssh-keys` does nothing.",
        "It would restart the machine's sshd. The nodes' sshd reads its keys at each login.",
    ),
    Difference(
        "hypervisor",
        "The hypervisor is Ganeti's fake one. Instances run nothing; a live migration always works.",
        "It needs no privilege and no hardware.",
    ),
    Difference(
        "disks",
        "Disk templates are diskless, file and sharedfile. No NIC is attached to anything.",
        "LVM, DRBD, RBD and real bridges need root.",
    ),
    Difference(
        "master IP",
        "`master-ip-setup` records which node holds the master IP address. No interface is changed: a small program"
        " listens there while a node holds it, and passes on to that node what connects to RAPI's and ssh's port.",
        "Setting an address needs root. `VirtualNode.holds_master_ip` tells the holder.",
    ),
    Difference(
        "RAPI certificate",
        "RAPI has a certificate of an authority made for the cluster. It names the nodes' addresses.",
        "Ganeti's own certificate has the same name everywhere and fits no address; a client could not check it.",
    ),
    Difference(
        "RAPI access",
        "RAPI listens on the master's own address and always asks for a user.",
        "All users of the machine reach loopback addresses.",
    ),
    Difference(
        "metad",
        f"ganeti-metad listens on port {METAD_PORT}.",
        "Its own port 80 needs a privilege.",
    ),
    Difference(
        "optional daemons",
        "ganeti-kvmd never runs, ganeti-mond only where a spec asks for it. ganeti-watcher runs when a test calls it.",
        "kvmd watches KVM. There is no cron on a node.",
    ),
    Difference(
        "the machine's services",
        f"{', '.join(f'`{name}`' for name in _REFUSING[:-1])} and `{_REFUSING[-1]}` refuse"
        " to work on a node, and `setcap` does nothing. `service` knows of `ganeti` only, the node's.",
        "A virtual node must not reach the machine.",
    ),
    Difference(
        "programs",
        "Ganeti's Python programs are forked from one process that has Ganeti loaded. Their arguments, environment,"
        " descriptors, signals and exit status are as ever; the parent of what a program starts is the program, and its"
        " own is a process of the fork server.",
        "Loading takes a third of a second, for each command and each job. `--vcluster-fork-server=off` does without.",
    ),
    Difference(
        "certificates of the machine",
        "Ganeti uses a copy of libcurl that does not know where the machine's certificates are.",
        "Debian's would read all of them for every RPC, and use none. `--vcluster-tls-fix=off` does without.",
    ),
    Difference(
        "session tickets",
        "TLS servers that use OpenSSL, as noded and RAPI do, send no session tickets.",
        "Ganeti resumes no session, and luxid takes 20 ms of each RPC to read two. `--vcluster-tls-fix=off` does"
        " without.",
    ),
    Difference(
        "clones",
        "Clusters of one spec have the same UUIDs, ssh keys and certificates between nodes. wconfd and luxid are first"
        " started without a vote.",
        "They are copies of one that was built by Ganeti's commands. `--vcluster-image-cache=off` builds each one.",
    ),
    Difference(
        "memory",
        "noded does not lock its memory (`--no-mlock`).",
        "The limit of an ordinary user is too low.",
    ),
)


def adaptations() -> tuple[Difference, ...]:
    """Return what is changed in Ganeti's Python."""
    return tuple(Difference(one.name, one.what, one.why) for one in ADAPTATIONS)


def rst(text: str) -> str:
    """Return a text of the code as reStructuredText: `literals` doubled, what only looks like markup escaped."""
    parts = _ANY_LITERAL.split(text)
    return "".join(_literal(part) if part.startswith("`") else _escape(part) for part in parts)


def _literal(part: str) -> str:
    return f"``{part.strip('`')}``"


def _escape(part: str) -> str:
    return re.sub(r"([*|\\]|_\b)", r"\\\1", part)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], widths: str = "auto") -> str:
    """Return a list-table of cells that are reStructuredText already."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in [head, *rows]:
        for index, cell in enumerate(row):
            first, *more = cell.split("\n")
            lines.append(f"   {'*' if index == 0 else ' '} - {first}".rstrip())
            lines += [f"       {line}" for line in more]
    return "\n".join(lines) + "\n"


def table_of(differences: tuple[Difference, ...]) -> str:
    """Return differences as a table."""
    rows = [(one.name, rst(one.what), rst(one.why)) for one in differences]
    return table(("", "Here", "Why"), rows, "15 45 40")


def expected_text() -> str:
    """Return what `VirtualCluster.verify()` leaves out: a table, or the plain statement that it is nothing."""
    if not EXPECTED:
        return (
            "``VirtualCluster.verify()`` leaves out no finding of ``gnt-cluster verify``: the list of findings to\n"
            "leave out is empty.\n"
        )
    rows = [(f"``{one.code}``", f"``{one.pattern}``", rst(one.why)) for one in EXPECTED]
    return (
        "``VirtualCluster.verify()`` leaves out these findings of ``gnt-cluster verify``, and no others:\n\n"
        + table(("Code", "Message", "Why"), rows, "15 35 50")
    )


def readme_part() -> str:
    """Return what stands between the markers in README.rst."""
    return "\n".join(
        [
            "Of the engine:",
            "",
            table_of(FACTS),
            "Of Ganeti's Python, adapted in memory:",
            "",
            table_of(adaptations()),
            expected_text(),
        ]
    )


def replaced(readme: str) -> str:
    """Return a README's text with the part between the markers brought up to date."""
    before, _, rest = readme.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{README} lacks the markers {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{readme_part()}\n{END}{after}"


def main() -> int:
    """Write or check README's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true", help="bring README.rst up to date")
    what.add_argument("--check", action="store_true", help="exit with 1 if README.rst is not up to date")
    asked = parser.parse_args()
    now = README.read_text(encoding="utf-8")
    wanted = replaced(now)
    if asked.write:
        README.write_text(wanted, encoding="utf-8")
    return int(asked.check and now != wanted)


if __name__ == "__main__":
    sys.exit(main())
