"""Where Ganeti's files are below a prefix, and whether they are all there.

Since 2.10 Ganeti installs into two versioned folders, `share/ganeti/X.Y` and `lib/ganeti/X.Y` (Makefile.am,
`versionedsharedir` and `versiondir`); everything else is links to these. Debian's links go through
`/etc/ganeti/lib` by absolute path and thus lead elsewhere in an unpacked prefix: only the versioned folders
are used. `make install DESTDIR=` may name them `X.Y.Z` (`--enable-versionfull`) and has a `--prefix` of
`/usr/local` unless told otherwise.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import attrs

#: Folders below a prefix that an installation's `--prefix` may be, the likeliest first.
_BASES = ("usr", "usr/local", "")
_SERIES = re.compile(r"\d+\.\d+(\.\d+)?(~\w+)?")
_RELEASE_VERSION = re.compile(r"^RELEASE_VERSION = [\"']([^\"']+)[\"']", re.MULTILINE)

#: Where Ganeti has to look for its settings and its state, for all that we know of nodes is there: options of
#: `configure`, and what `_constants.py` names them. Left out, they are below `--prefix`.
_CONFIGURED = {
    "SYSCONFDIR": ("/etc", "--sysconfdir=/etc"),
    "LOCALSTATEDIR": ("/var", "--localstatedir=/var"),
}
_SHARE_SCRIPTS = (
    "ensure-dirs",
    "ganeti-noded",
    "ganeti-rapi",
    "ganeti-watcher",
    "gnt-cluster",
    "gnt-instance",
    "gnt-job",
    "gnt-node",
    "prepare-node-join",
    "node-daemon-setup",
    "ssl-update",
)
_SHARE_MODULES = ("jqueue/exec.py", "rapi/client.py", "server/noded.py", "vcluster.py")
_DAEMONS = ("ganeti-confd", "ganeti-luxid", "ganeti-wconfd")


class Unfit(Exception):
    """This place has no usable installation; the text says which file is at fault."""


def version_key(version: str) -> tuple[tuple[int, ...], bool, str]:
    """Order versions, `3.1.0~rc2` before `3.1.0`."""
    release, tilde, rest = version.partition("~")
    return tuple(int(part) for part in re.findall(r"\d+", release)), not tilde, rest


def version_matches(version: str, wanted: str) -> bool:
    """Tell whether `version` is `wanted` or a release of it: `3.0.2` is a `3.0`, `3.10.1` is no `3.1`."""
    return version == wanted or version.startswith((wanted + ".", wanted + "~"))


@attrs.frozen(kw_only=True)
class Tree:
    """The folders of one Ganeti version below a prefix.

    `share` holds the Python code (`share/ganeti/`) and its scripts; `lib` the rest, of which `sbin` (Haskell
    daemons), `bin` (htools) and `pkglib` (daemon-util, iallocators, tools) are parts.
    """

    prefix: Path
    series: str
    version: str
    share: Path
    lib: Path
    sbin: Path
    bin: Path
    pkglib: Path

    def missing(self) -> str:
        """Say which file needed is absent or cannot be run, or how it was wrongly configured; empty: all is well."""
        programs = [
            *(self.share / name for name in _SHARE_SCRIPTS),
            *(self.sbin / name for name in _DAEMONS),
            self.bin / "htools",
            self.pkglib / "daemon-util",
        ]
        modules = [self.share / "ganeti" / name for name in _SHARE_MODULES]
        for path in (*programs, *modules):
            if not path.exists():
                return f"{path} is missing" + (" (a broken link)" if path.is_symlink() else "")
            if not path.is_file():
                return f"{path} is no file"
        for path in programs:
            if not os.access(path, os.X_OK):
                return f"{path} cannot be executed"
        return self._misconfigured()

    def _misconfigured(self) -> str:
        text = (self.share / "ganeti/_constants.py").read_text(encoding="utf-8", errors="replace")
        for name, (needed, option) in _CONFIGURED.items():
            match = re.search(rf"^{name} = [\"']([^\"']*)[\"']", text, re.MULTILINE)
            if match is not None and match.group(1) != needed:
                wanted = " ".join(one for _needed, one in _CONFIGURED.values())
                return (
                    f"it was built to have {match.group(1)} for {needed}; configure it with {wanted}, as its file"
                    f" INSTALL says ({option} was not given)"
                )
        return ""


def trees(prefix: Path) -> list[Tree]:
    """Find the versions of Ganeti below `prefix`, the newest first; `Unfit` where there is none."""
    if not prefix.is_dir():
        raise Unfit(f"{prefix} is not a folder")
    shares = [prefix / base / "share/ganeti" for base in _BASES]
    found = [
        _tree(prefix, base, series)
        for base, share in zip(_BASES, shares)
        for series in sorted(share.glob("*"))
        if _SERIES.fullmatch(series.name) and (series / "ganeti/_constants.py").is_file()
    ]
    if not found:
        raise Unfit(f"no {shares[0]}/VERSION/ganeti/_constants.py")
    return sorted(found, key=lambda tree: version_key(tree.version), reverse=True)


def _tree(prefix: Path, base: str, share: Path) -> Tree:
    constants = share / "ganeti/_constants.py"
    match = _RELEASE_VERSION.search(constants.read_text(encoding="utf-8", errors="replace"))
    if match is None:
        raise Unfit(f"{constants} has no RELEASE_VERSION")
    lib = _versioned_lib(prefix / base, share.name)
    inner = _inner(lib)
    return Tree(
        prefix=prefix,
        series=share.name,
        version=match.group(1),
        share=share,
        lib=lib,
        sbin=inner / "sbin",
        bin=inner / "bin",
        pkglib=next(
            (path for path in sorted(inner.glob("lib*/**/ganeti")) if path.is_dir()), inner / "lib/ganeti"
        ),
    )


def _versioned_lib(base: Path, series: str) -> Path:
    """Find `versiondir`: below `lib`, or where `--libdir` put it (`lib64`, `lib/x86_64-linux-gnu`)."""
    usual = base / "lib/ganeti" / series
    others = (*sorted(base.glob(f"lib*/ganeti/{series}")), *sorted(base.glob(f"lib/*/ganeti/{series}")))
    return next((path for path in (usual, *others) if path.is_dir()), usual)


def _inner(lib: Path) -> Path:
    """Find the folder in `versiondir` that repeats the installation's prefix and holds `sbin` and `bin`."""
    return next((lib / base for base in _BASES if (lib / base / "sbin").is_dir()), lib / "usr")
