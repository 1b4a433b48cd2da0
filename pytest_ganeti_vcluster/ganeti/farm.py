"""The farm: how a pristine installation is run.

A farm is a small folder of stub scripts and links, made for one cluster from one installation. Ganeti's programs
are only ever started through it, so that the installation stays untouched wherever it is, and several versions run
side by side. What is in it:

    sbin/    gnt-* and ganeti-*, as they would be in /usr/sbin
    lib/     daemon-util and the helpers that Ganeti calls by absolute path, as in /usr/lib/ganeti
    shims/   the few programs of the machine that a node must not reach
    plain/   where there is a fork server: what runs Ganeti's Python programs without it
    site/    vcluster_inside, the adaptations (a copy of `inside/`)
    curl/    libcurl that does not read the machine's certificates for every RPC, where that can be had
    userbase/  usercustomize, for the Pythons that Ganeti starts by a path of its own
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from pytest_ganeti_vcluster import inside
from pytest_ganeti_vcluster.errors import AdaptationFailed
from pytest_ganeti_vcluster.ganeti import session_tickets
from pytest_ganeti_vcluster.ganeti.curl_library import UNCHANGED, CurlLibrary, make_curl_library
from pytest_ganeti_vcluster.ganeti.installation import GanetiInstallation
from pytest_ganeti_vcluster.ganeti.node_root import DEFAULT_SSH_CONFIG, daemon_arguments
from pytest_ganeti_vcluster.ganeti.stubs import Stubs, put

#: Where the programs of the machine are.
SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

# Records which node holds the master IP, where a real one would add the address to an interface
# (tools/master-ip-setup in Ganeti; same arguments and environment).
_MASTER_IP_SETUP = """\
#!/bin/sh
set -e -u
record="$GANETI_ROOTDIR/var/run/vcluster-master-ip"
# Who listens on the master IP is told, and waited for (engines/loopback/relay.py).
call() {
  cluster=$(dirname "$GANETI_ROOTDIR")
  [ -p "$cluster/master-ip.fifo" ] || return 0
  echo 3<> "$cluster/master-ip.fifo" >&3
  tries=0
  until [ $tries = 50 ]; do
    if grep -qxF "$MASTER_IP" "$cluster/master-ip.held" 2>/dev/null; then now=up; else now=down; fi
    [ $now != "$1" ] || return 0
    sleep 0.01
    tries=$((tries + 1))
  done
}
case "${1:-}" in
  start)
    # luxid asks for it at each start: what is so already is not written again.
    if [ "$(cat "$record" 2>/dev/null)" != "$MASTER_IP" ]; then
      echo "$MASTER_IP" > "$record.new"; mv "$record.new" "$record"; call up
    fi
    ;;
  stop) rm -f "$record"; call down ;;
  *) echo "usage: $0 start|stop" >&2; exit 1 ;;
esac
"""

_NOTHING = """\
#!/bin/sh
# {reason}
exit 0
"""

_REFUSE = """\
#!/bin/sh
echo "$(basename "$0"): a virtual node must not reach the machine" >&2
exit 1
"""

# Ganeti's own daemons are the only service that a node has (Debian's init script does the same).
_SERVICE = """\
#!/bin/sh
case "$*" in
  "ganeti start") exec daemon-util start-all ;;
  "ganeti stop") exec daemon-util stop-all ;;
  "ganeti restart") daemon-util stop-all; exec daemon-util start-all ;;
esac
echo "service: a virtual node must not reach the machine" >&2
exit 1
"""

# Whoever says `-F/dev/null` wants to do without ~/.ssh/config, and on real nodes still comes to sshd's port 22. Only
# options are looked at, of which these are the ones with a value of their own (man ssh).
_SSH = """\
#!/bin/sh
takes= rest=
for word do
  shift
  if [ -n "$rest" ]; then
    :
  elif [ -n "$takes" ]; then
    case "$takes$word" in -F/dev/null|-Fnone) word="$GANETI_ROOTDIR/{config}" ;; esac
    takes=
  else
    case "$word" in
      -F/dev/null|-Fnone) word="-F$GANETI_ROOTDIR/{config}" ;;
      -[BbcDEeFIiJLlmOoPpQRSWw]) takes="$word" ;;
      -*) ;;
      *) rest=1 ;;
    esac
  fi
  set -- "$@" "$word"
done
exec {ssh} "$@"
"""

#: Kept from every node; Ganeti calls them by name or through daemon-util.
_SHIMS_REFUSING = ("reboot", "shutdown", "halt", "poweroff", "systemctl", "invoke-rc.d")


@attrs.frozen
class Farm:
    """A farm that was made: its folder and the installation that it runs."""

    folder: Path
    installation: GanetiInstallation
    daemons: tuple[str, ...]
    curl: CurlLibrary = UNCHANGED
    has_fork_server: bool = False
    has_openssl_settings: bool = False

    @property
    def is_adapted(self) -> bool:
        """Whether Ganeti is adapted to virtual nodes."""
        return True

    @property
    def sbin(self) -> Path:
        """Folder of gnt-* and ganeti-*."""
        return self.folder / "sbin"

    @property
    def lib(self) -> Path:
        """Folder of daemon-util and of what Ganeti calls by absolute path."""
        return self.folder / "lib"

    @property
    def daemon_util(self) -> Path:
        """Ganeti's own script that starts and stops daemons."""
        return self.lib / "daemon-util"

    @property
    def check(self) -> Path:
        """Program that applies every adaptation and tells what does not fit."""
        return self.folder / "check-adaptations"

    @property
    def fork_server(self) -> Path:
        """Program that Ganeti's Python programs are forked from; see `ganeti.fork_server`."""
        return self.folder / "fork-server"

    @property
    def start_many(self) -> Path:
        """Program that has many programs of Ganeti forked; see `inside.forking.many`."""
        return self.folder / "start-many"

    @property
    def fork_socket(self) -> Path:
        """Where the fork server listens."""
        return self.folder / "fork.sock"

    @property
    def openssl_settings(self) -> Path:
        """Settings of OpenSSL for all processes of nodes, where `has_openssl_settings`."""
        return self.folder / "openssl.cnf"

    def optional_daemons(self, wanted: Sequence[str]) -> list[str]:
        """Return the optional daemons that run on nodes, by short name, where `wanted` are asked for."""
        return list(wanted)

    def daemon_arguments(self, name: str, ip: str) -> list[str]:
        """Return the arguments of a daemon, by its short name, on the node with an address."""
        return daemon_arguments(name, ip)

    @property
    def path(self) -> str:
        """Value of PATH on a node."""
        return search_path(self.folder, self.installation)

    def environment(self) -> dict[str, str]:
        """Variables that every process of a node needs to run through this farm."""
        variables = {
            "PATH": self.path,
            "PYTHONUSERBASE": str(self.folder / "userbase"),
            "VCLUSTER_FARM": str(self.folder),
            "VCLUSTER_SHARE": str(self.installation.share),
            # Of ganeti-cleaner, which would look for it where Ganeti was built to be.
            "CHECK_CERT_EXPIRED": str(self.lib / "check-cert-expired"),
        }
        if self.has_fork_server:
            variables["VCLUSTER_FORK_SOCKET"] = str(self.fork_socket)
        libraries = [*filter(None, [self.curl.folder]), *self.installation.library_path]
        if libraries:
            variables["LD_LIBRARY_PATH"] = ":".join(map(str, libraries))
        if self.has_openssl_settings:
            variables[session_tickets.VARIABLE] = str(self.openssl_settings)
        return variables


def search_path(folder: Path, installation: GanetiInstallation) -> str:
    """Value of PATH on a node: the farm, then what was fetched with Ganeti, then the machine."""
    tools = {tool.parent for tool in installation.programs if str(tool.parent) not in SYSTEM_PATH}
    parts = (folder / "shims", folder / "sbin", *sorted(tools), *SYSTEM_PATH)
    return ":".join(map(str, parts))


def build_farm(
    installation: GanetiInstallation,
    folder: Path,
    daemons: Iterable[str],
    *,
    tls_fix: bool = True,
    fork_server: bool = True,
) -> Farm:
    """Make a farm in `folder`, which must not exist. `daemons` are the optional ones to run ("mond").

    `tls_fix` keeps libcurl from reading the machine's certificates for every RPC, where that can be done (`Farm.curl`
    tells), and TLS servers from sending session tickets. `fork_server` makes stubs that have programs forked by a
    server (`start_fork_server`), and run them as ever while there is none.
    """
    started: tuple[str, ...] = (
        "ganeti-noded",
        "ganeti-confd",
        "ganeti-wconfd",
        "ganeti-rapi",
        "ganeti-luxid",
    )
    started += tuple(f"ganeti-{name}" for name in daemons if f"ganeti-{name}" not in started)
    curl = UNCHANGED
    folder.mkdir(parents=True)
    if tls_fix:
        program = installation.sbin / "ganeti-luxid"
        curl = make_curl_library(program, installation.library_path, folder / "curl")
    # A Python of its own has a pycurl with OpenSSL, whose clients take what is for servers only for an error.
    no_tickets = tls_fix and installation.python.is_relative_to("/usr")
    farm = Farm(folder, installation, started, curl, fork_server, has_openssl_settings=no_tickets)
    if no_tickets:
        session_tickets.write_settings(farm.openssl_settings)
    for part in ("sbin", "lib/tools", "lib/iallocators", "plain", "shims", "site"):
        (folder / part).mkdir(parents=True)
    _copy_inside(folder / "site" / "vcluster_inside")
    _write_python_stubs(farm)
    _link_binaries(farm)
    _write_daemon_util(farm)
    _write_shims(farm)
    settings = {
        "python": str(installation.python),
        "share": str(installation.share),
        "lib": str(farm.lib),
        "path": farm.path,
        "os_folders": [str(one) for one in installation.os_folders],
        "daemons": list(started),
        "curl": curl.told,
    }
    (folder / "farm.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return farm


def _copy_inside(target: Path) -> None:
    source = Path(next(iter(inside.__path__)))
    # What is compiled goes along, with the times that make it valid: Ganeti's interpreter may well be of our version.
    shutil.copytree(source, target)


def _is_script(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(2) == b"#!"


def _write_python_stubs(farm: Farm) -> None:
    # A stub's file name becomes the name of the process, which start-stop-daemon checks.
    installation = farm.installation
    stubs = Stubs(installation.python, farm.folder / "site")
    for program in sorted(installation.share.iterdir()):
        if not _is_script(program):
            continue
        stub = farm.lib / program.name
        if farm.has_fork_server:
            plain = farm.folder / "plain" / program.name
            stubs.write_plain(plain, program)
            stubs.write_forked(stub, program, plain)
        else:
            stubs.write_plain(stub, program)
        if program.name.startswith(("gnt-", "ganeti-")):
            (farm.sbin / program.name).symlink_to(stub)
        if program.name in {"burnin", "cfgupgrade", "post-upgrade", "node-cleanup", "move-instance"}:
            (farm.lib / "tools" / program.name).symlink_to(stub)
    job = farm.lib / "job"
    stubs.write_plain(job, installation.share / "ganeti" / "jqueue" / "exec.py")
    stubs.write_user_site(farm.folder / "userbase", job, installation.share)
    stubs.write_main(farm.check, "check")
    stubs.write_main(farm.fork_server, "forking.server")
    stubs.write_main(farm.start_many, "forking.many", bare=True)


def _link_binaries(farm: Farm) -> None:
    for folder in (farm.installation.sbin, farm.installation.bin):
        for program in folder.iterdir():
            target = farm.sbin / program.name
            if not target.is_symlink():
                target.symlink_to(program)
    for part in ("", "tools", "iallocators"):
        for program in (farm.installation.pkglib / part).iterdir():
            target = farm.lib / part / program.name
            if program.is_file() and not target.exists():
                target.symlink_to(program.resolve())
    # A node that joins is checked for the versioned folder (lib/ssh.py, RunSshCmdWithStdin).
    (farm.lib / farm.installation.series).symlink_to(farm.installation.lib)
    # Ganeti reaches the master IP through this script only; no option and no patch is needed.
    master_ip_setup = farm.lib / "tools" / "master-ip-setup"
    master_ip_setup.unlink(missing_ok=True)
    put(master_ip_setup, _MASTER_IP_SETUP)


_STARTED = """\
    local started=$?
    # ganeti-kvmd may: it does where there is nothing to do for it (src/ganeti-kvmd.hs).
    if [[ $started == 0 && $name != ganeti-kvmd ]] && ! kill -0 $(cat $pidfile 2>/dev/null) 2>/dev/null; then
      echo "$name has ended as soon as it had started" >&2
      return 1
    fi
    return $started
"""


#: Edits of daemon-util: (name, pattern, replacement). Each must fit exactly once or more, or the boot fails.
def _daemon_util_edits(farm: Farm) -> Mapping[str, tuple[str, str]]:
    daemons = " ".join(shlex.quote(name) for name in farm.daemons)
    return {
        "PKGLIBDIR": (r"PKGLIBDIR=/\S+", f"PKGLIBDIR={farm.lib}"),
        "executables": (r'echo "/\S*/\$1"', f'echo "{farm.sbin}/$1"'),
        "ensure-dirs": (r"(?m)^(\s+)/\S*/ensure-dirs$", rf"\1{farm.lib}/ensure-dirs"),
        # ganeti-kvmd watches the sockets of KVM, and ganeti-mond is run where asked for only.
        "daemons": (r"(?s)\nDAEMONS=\(.*?\)", f"\nDAEMONS=( {daemons} )"),
        "mond": (r'\[\[ "?\w+"? == True \]\]', "false"),
        "systemd": (r"(?m)^use_systemctl\(\) \{$", "use_systemctl() {\n  return 1"),
        # When a daemon's start returns, its pid file is there (lib/daemon.py, src/Ganeti/Daemon.hs); without this,
        # one that has ended at once is waited for until Ganeti's own time-outs are over.
        "started": (
            r'(?s)(\n +start-stop-daemon --start .*?-- \$args "\$@"\n)',
            r"\1" + _STARTED,
        ),
        # It would restart the machine's sshd; the nodes' one reads its keys at each login.
        "ssh": (r"(?m)^reload_ssh_keys\(\) \{$", "reload_ssh_keys() {\n  return 0"),
    }


def _write_daemon_util(farm: Farm) -> None:
    source = farm.installation.pkglib / "daemon-util"
    text = source.read_text(encoding="utf-8")
    for name, (pattern, replacement) in _daemon_util_edits(farm).items():
        text, count = re.subn(pattern, replacement, text)
        if not count:
            raise AdaptationFailed(
                f"the edit {name!r} of daemon-util does not fit this Ganeti {farm.installation.version}",
                seen=f"{source} has nothing like {pattern!r}",
                cure="use a supported Ganeti (3.0, 3.1), or report its daemon-util",
            )
    farm.daemon_util.unlink(missing_ok=True)
    put(farm.daemon_util, text)
    # Its folder is no part of PATH on a real node; here tests need not know where the farm is.
    (farm.sbin / "daemon-util").symlink_to(farm.daemon_util)
    for tool in ("burnin", "move-instance"):
        (farm.sbin / tool).symlink_to(farm.lib / "tools" / tool)


def _write_shims(farm: Farm) -> None:
    shims = farm.folder / "shims"
    for name in _SHIMS_REFUSING:
        put(shims / name, _REFUSE)
    put(shims / "service", _SERVICE)
    put(shims / "ssh", _SSH.format(config=DEFAULT_SSH_CONFIG, ssh=shlex.quote(str(farm.installation.ssh))))
    put(
        shims / "setcap",
        _NOTHING.format(
            reason="daemon-util gives ganeti-metad the right to port 80; ours uses another port."
        ),
    )
