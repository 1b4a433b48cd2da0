"""Read what apt and dpkg print and keep: stanzas, version tables, simulations."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import attrs

#: `ganeti` depends on these; the series is part of the name so that several can be installed.
_SERIES_PACKAGE = re.compile(r"ganeti-(?:haskell-|htools-)?\d+\.\d+")
_INST = re.compile(r"^Inst (\S+) (?:\[\S+\] )?\((\S+) ", re.MULTILINE)


@attrs.frozen
class Record:
    """One version of a package as the signed lists describe it."""

    name: str
    version: str
    architecture: str
    size: int
    sha256: str
    depends: str = ""

    @property
    def file_name(self) -> str:
        """Name that `apt-get download` gives the package's file."""
        version = quote(self.version, safe="+~.-").replace("%3A", "%3a")
        return f"{self.name}_{version}_{self.architecture}.deb"


@attrs.frozen
class Backports:
    """The backports of a Debian release: which mirror has them, and which `entry` of the host's names it.

    An entry is a file below /etc/apt and the number, from 1, of its stanza, or of its line in a file `*.list`.
    """

    mirror: str
    suite: str
    entry: tuple[Path, int]

    def stanza(self, signed_by: str) -> str:
        """Write them as a source of apt (sources.list(5), deb822); `signed_by` empty: any of the host's keys."""
        lines = ["Types: deb", f"URIs: {self.mirror}", f"Suites: {self.suite}", "Components: main"]
        if signed_by:
            # Folded lines were joined; those of a key have to stay what they are.
            lines.append("Signed-By: " + signed_by.replace("\n", "\n "))
        return "\n".join(lines) + "\n"


def backports(targets: str) -> Backports | None:
    """Choose the backports from the output of `apt-get indextargets`.

    None where the host is of no release of Debian that has any (testing has none), or has them already.
    """
    listed = [target for target in stanzas(targets) if target.get("Origin", "").startswith("Debian")]
    suites = {target.get("Codename", "") for target in listed}
    for target in listed:
        codename = target.get("Codename", "")
        suite = f"{codename}-backports"
        is_release = re.fullmatch(r"(old)*stable", target.get("Suite", "")) is not None
        if is_release and target.get("Label") == "Debian" and suite not in suites:
            file, _, number = target.get("Sourcesentry", "").rpartition(":")
            return Backports(target["Repo-URI"], suite, (Path(file), int(number)))
    return None


def signed_by(name: str, text: str, number: int) -> str:
    """Read which key a source is signed by, empty for any: of a file of that name, its stanza or line `number`."""
    if name.endswith(".sources"):
        bare = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        return list(stanzas(bare))[number - 1].get("Signed-By", "")
    match = re.search(r"\[[^]]*\bsigned-by=([^\s\]]+)", text.splitlines()[number - 1])
    return match.group(1).replace(",", "\n") if match else ""


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Split RFC 822-like stanzas into fields; folded lines are joined."""
    for block in re.split(r"\n\s*\n", text.strip()):
        fields: dict[str, str] = {}
        last = ""
        for line in block.splitlines():
            if line[:1].isspace():
                if last:
                    fields[last] += "\n" + line.strip()
            elif ":" in line:
                last, _, value = line.partition(":")
                fields[last] = value.strip()
        if fields:
            yield fields


def records(text: str) -> dict[str, Record]:
    """Read the output of `apt-cache show`, by package name; without what has no file (installed ones)."""
    found: dict[str, Record] = {}
    for fields in stanzas(text):
        if "SHA256" in fields and "Filename" in fields:
            record = Record(
                name=fields["Package"],
                version=fields["Version"],
                architecture=fields["Architecture"],
                size=int(fields["Size"]),
                sha256=fields["SHA256"],
                depends=fields.get("Depends", ""),
            )
            found.setdefault(record.name, record)
    return found


def offered_versions(madison: str) -> list[str]:
    """Read the versions from the output of `apt-cache madison PACKAGE`, best first as apt lists them."""
    rows = [[part.strip() for part in line.split("|")] for line in madison.splitlines()]
    versions = (row[1] for row in rows if len(row) == 3 and not row[2].endswith("Sources"))  # noqa: PLR2004
    return list(dict.fromkeys(versions))


def upstream_version(version: str) -> str:
    """Cut epoch and Debian revision off: `1:3.1.0~rc2-1~bpo12+1` is `3.1.0~rc2`."""
    return (
        version.partition(":")[2].rpartition("-")[0]
        if ":" in version
        else version.rpartition("-")[0] or version
    )


def series_packages(depends: str) -> list[str]:
    """Name the packages of one series (`ganeti-3.0`, `ganeti-haskell-3.0`, ...) that `ganeti` depends on."""
    names = (part.split()[0].partition(":")[0] for part in re.split(r"[,|]", depends) if part.strip())
    return list(dict.fromkeys(name for name in names if _SERIES_PACKAGE.fullmatch(name)))


def simulated_packages(simulation: str) -> list[tuple[str, str]]:
    """Read name and version of what `apt-get install -s` would install."""
    return [(name.partition(":")[0], version) for name, version in _INST.findall(simulation)]


def installed_packages(status: str) -> set[str]:
    """Read the names of the packages that dpkg's status file calls installed."""
    return {
        fields["Package"] for fields in stanzas(status) if fields.get("Status", "").endswith(" ok installed")
    }


def shared_library_packages(packages: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Keep the packages with shared libraries; the C library must be the host's, as its loader is."""
    return [(name, version) for name, version in packages if name.startswith("lib") and name != "libc6"]
