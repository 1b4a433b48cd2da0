"""apt as an ordinary user: a private folder for its lists and state, the host's sources and keys.

Signatures are apt's business: it refuses lists and packages that the host's keys do not vouch for, and
nothing here lets it do otherwise.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from pytest_ganeti_vcluster.errors import InstallFailed
from pytest_ganeti_vcluster.ganeti.fetch import records
from pytest_ganeti_vcluster.ganeti.fetch.records import Record

PROGRAMS = ("apt-get", "apt-cache", "apt-config", "dpkg-deb")

#: The host's settings are kept (proxies, mirrors) but for what it wants run after apt, where it keeps its
#: state, and what would let unsigned packages through.
_DROPPED = re.compile(r"(?i)^(dpkg::|apt::update::.*invoke|dir::(state|cache|log|etc)|apt::sandbox|rpm::)")
_OURS = """
Dir::State "{folder}/state/";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache/";
Dir::Log "{folder}/log/";
{etc}
Dir::Etc::main "{folder}/none.conf";
Dir::Etc::parts "{folder}/none.conf.d";
APT::Sandbox::User "";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "3";
"""

_FRACTION = re.compile(r"^dlstatus:[^:]*:([\d.]+):")


def check_programs() -> None:
    """Raise `InstallFailed` where this is no Debian or a relative of it."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise InstallFailed(
            "fetching Ganeti works on Debian, Ubuntu and their relatives only",
            seen=f"not found: {', '.join(missing)}; this is {_distribution()}",
            cure="install Ganeti in this system's own way, or build it (make install DESTDIR=FOLDER) and give"
            " --vcluster-ganeti=FOLDER; or run in a Debian container",
        )


def _distribution() -> str:
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8")
    except OSError:
        return "an unknown system"
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', text, re.MULTILINE)
    return match.group(1) if match else "an unknown system"


def sha256_of(path: Path) -> str:
    """Compute a file's SHA-256 as hexadecimal text."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@attrs.frozen
class PrivateApt:
    """apt with all that it writes in `folder`, which is made by `prepare()` and may be used again."""

    folder: Path

    def prepare(self) -> None:
        """Lay out the folder. The package status is empty: what is asked for does not depend on the host."""
        for name in ("state/lists/partial", "cache/archives/partial", "log", "none.conf.d", "files"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("status", "none.conf"):
            (self.folder / name).write_text("", encoding="utf-8")
        host = subprocess.run(
            ["apt-config", "dump"],
            capture_output=True,
            text=True,
            check=True,
            env=self._environment(own=False),
        ).stdout.splitlines()
        etc = "\n".join(line for line in host if line.lower().startswith("dir::etc") and '""' not in line)
        kept = "\n".join(line for line in host if not _DROPPED.match(line))
        ours = _OURS.format(folder=self.folder, etc=etc)
        (self.folder / "apt.conf").write_text(f"{kept}\n{ours}", encoding="utf-8")

    def update(self, report: Callable[[float], None]) -> None:
        """Fetch the package lists of the host's sources and check their signatures."""
        problems = self._fetch("apt-get", "update", report=report)
        # apt is content with part of the lists; whether that is enough shows when a package is asked for.
        if not any((self.folder / "state/lists").glob("*Packages*")):
            raise InstallFailed(
                "apt got no package lists",
                seen=problems or "it said nothing; are there any sources in /etc/apt?",
                cure="check the network, the proxy settings and /etc/apt/sources.list*, then run this again",
            )

    def add_backports(self) -> bool:
        """Add the backports of the host's Debian release to the sources, until the next `prepare()`.

        They are taken from where the host has the release from, and checked with the same key. Return whether there
        is anything to add: not on other distributions, nor where the host has them already. `update()` has to be
        called before and after.
        """
        found = records.backports(self._ask("apt-get", "indextargets", "Created-By: Packages"))
        if found is None:
            return False
        origin, number = found.entry
        key = records.signed_by(origin.name, origin.read_text(encoding="utf-8"), number)
        sources = self.folder / "sources.list.d"
        shutil.rmtree(sources, ignore_errors=True)
        sources.mkdir()
        told = self._ask("apt-config", "shell", "folder", "Dir::Etc::sourceparts/d")
        for part in Path(shlex.split(told.partition("=")[2])[0]).glob("*"):
            (sources / part.name).symlink_to(part)
        (sources / "ganeti-vcluster-backports.sources").write_text(found.stanza(key), encoding="utf-8")
        with (self.folder / "apt.conf").open("a", encoding="utf-8") as config:
            config.write(f'Dir::Etc::sourceparts "{sources}";\n')
        return True

    def offered(self, package: str) -> list[str]:
        """List the versions of a package that the sources offer, the one apt would take first."""
        versions = records.offered_versions(self._ask("apt-cache", "madison", package))
        if not versions:
            return []
        policy = self._ask("apt-cache", "policy", package)
        candidate = re.search(r"^  Candidate: (\S+)", policy, re.MULTILINE)
        first = [candidate.group(1)] if candidate and candidate.group(1) in versions else []
        return list(dict.fromkeys([*first, *versions]))

    def records(self, packages: Sequence[tuple[str, str]]) -> list[Record]:
        """Describe packages (name, version) as the signed lists do; `InstallFailed` names one not there."""
        text = self._ask("apt-cache", "show", *(f"{name}={version}" for name, version in packages))
        found = records.records(text)
        for name, version in packages:
            if name not in found or found[name].version != version:
                raise InstallFailed(
                    f"apt offers no {name} {version}", cure="run this again: the lists may have changed"
                )
        return [found[name] for name, _version in packages]

    def closure(self, packages: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """List packages and all that they depend on, as an empty system would get them."""
        names = [f"{name}={version}" for name, version in packages]
        return records.simulated_packages(
            self._ask("apt-get", "install", "-s", "-y", "--no-install-recommends", *names)
        )

    def fetch(self, wanted: Sequence[Record], report: Callable[[float], None]) -> list[Path]:
        """Fetch package files, or take those left by an earlier try; all are checked against the lists."""
        files = self.folder / "files"
        needed = [record for record in wanted if not self._whole(record)]
        for record in needed:
            (files / record.file_name).unlink(missing_ok=True)
        problems = ""
        if needed:
            names = [f"{record.name}={record.version}" for record in needed]
            problems = self._fetch("apt-get", "download", *names, report=report)
        for record in needed:
            if not self._whole(record):
                path = files / record.file_name
                fault = (
                    "has another checksum than the signed lists say" if path.exists() else "did not arrive"
                )
                path.unlink(missing_ok=True)
                raise InstallFailed(
                    f"package {record.name} {record.version} {fault}",
                    seen=problems,
                    cure="check network and disk, then run this again; what arrived is kept",
                )
        report(1.0)
        return [files / record.file_name for record in wanted]

    def _whole(self, record: Record) -> bool:
        path = self.folder / "files" / record.file_name
        return path.is_file() and path.stat().st_size == record.size and sha256_of(path) == record.sha256

    def _environment(self, *, own: bool = True) -> dict[str, str]:
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        return {**environment, "APT_CONFIG": str(self.folder / "apt.conf")} if own else environment

    def _ask(self, *command: str) -> str:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=self._environment(),
        )
        if done.returncode != 0:
            raise InstallFailed(
                f"`{' '.join(command)}` failed", seen=done.stderr.strip() or done.stdout.strip()[-2000:]
            )
        return done.stdout

    def _fetch(self, *command: str, report: Callable[[float], None]) -> str:
        """Run a command that fetches, pass its progress on, and return the problems that it told."""
        problems: list[str] = []
        with subprocess.Popen(
            [command[0], "-q", "-o", "APT::Status-Fd=1", *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=self.folder / "files",
            env=self._environment(),
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    fraction = _FRACTION.match(line)
                    if fraction:
                        report(min(1.0, float(fraction.group(1)) / 100))
                    elif line.startswith(("E:", "W:", "Err:")):
                        problems.append(line.rstrip())
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0:
            raise InstallFailed(
                f"`{command[0]} {command[1]}` failed",
                seen="\n".join(problems) or f"exit status {process.returncode}",
                cure="check the network, the proxy settings and the room on disk, then run this again;"
                " what arrived is kept",
            )
        return "\n".join(problems)
