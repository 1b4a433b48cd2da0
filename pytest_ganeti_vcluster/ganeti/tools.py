"""Programs and libraries beside Ganeti that a cluster runs: from the host, else from what was fetched."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Callable

import attrs

from pytest_ganeti_vcluster.ganeti.tree import Unfit

#: Searched after PATH: an ordinary user's PATH often lacks the sbin folders.
_SYSTEM_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")
_PROGRAM_FOLDERS = ("usr/sbin", "usr/bin", "sbin", "bin")
_OPENSSH_FOLDERS = ("usr/lib/openssh", "usr/libexec/openssh", "usr/lib/ssh", "usr/libexec", "usr/lib64/misc")
_LIBRARY_FOLDERS = (
    "usr/lib/*-linux-*",
    "lib/*-linux-*",
    "usr/lib64",
    "lib64",
    "usr/lib",
    "lib",
    "usr/local/lib",
)


@attrs.frozen(kw_only=True)
class Tools:
    """The programs found, all absolute paths; only instance export and move need `socat` and `openssl`.

    `sshd_helpers` are the lines that a fetched sshd of OpenSSH 9.8 or later needs in its configuration,
    because it runs its other halves by compiled-in path.
    """

    nss_wrapper: Path
    sshd: Path
    sftp_server: Path
    ssh: Path
    ssh_keygen: Path
    start_stop_daemon: Path
    openssl: Path | None
    ip: Path | None
    socat: Path | None
    sshd_helpers: tuple[str, ...]
    library_path: tuple[Path, ...]


def find_program(name: str, prefixes: Iterable[Path] = ()) -> Path | None:
    """Find a program on the host, else below one of the prefixes."""
    folders = [Path(entry) for entry in os.environ.get("PATH", "").split(os.pathsep) if entry.startswith("/")]
    folders += [Path(entry) for entry in _SYSTEM_PATH]
    folders += [prefix / folder for prefix in prefixes for folder in _PROGRAM_FOLDERS]
    return next((folder / name for folder in folders if _runs(folder / name)), None)


def find_openssh_part(name: str, prefixes: Iterable[Path] = ()) -> Path | None:
    """Find a program that OpenSSH keeps for itself, such as `sftp-server`."""
    folders = (prefix / folder for prefix in (Path("/"), *prefixes) for folder in _OPENSSH_FOLDERS)
    return next((folder / name for folder in folders if _runs(folder / name)), None)


def find_nss_wrapper(prefixes: Iterable[Path] = ()) -> Path | None:
    """Find `libnss_wrapper.so` below one of the prefixes, else on the host."""
    for prefix in (*prefixes, Path("/")):
        for pattern in _LIBRARY_FOLDERS:
            for path in sorted(prefix.glob(f"{pattern}/libnss_wrapper.so")):
                # A file: a device or an empty one may stand where a library is hidden.
                if path.is_file() and path.stat().st_size:
                    return path.resolve()
    return None


def library_folders(prefix: Path) -> list[Path]:
    """List the folders below a fetched prefix that hold shared libraries which the host lacks."""
    if prefix == Path("/"):
        return []
    return [
        folder
        for pattern in _LIBRARY_FOLDERS
        for folder in sorted(prefix.glob(pattern))
        if any(not path.name.startswith("libnss_wrapper") for path in folder.glob("*.so.*"))
    ]


#: Package of Debian that has what cannot be found, for error texts.
PACKAGES = {
    "nss_wrapper": "libnss-wrapper",
    "sshd": "openssh-server",
    "sftp_server": "openssh-sftp-server",
    "ssh": "openssh-client",
    "ssh_keygen": "openssh-client",
    "start_stop_daemon": "dpkg",
}


def find_tools(prefixes: Sequence[Path]) -> Tools:
    """Find all tools; `Unfit` names the first that is nowhere."""
    fetched = [prefix for prefix in prefixes if prefix != Path("/")]
    searches: dict[str, Callable[[], Path | None]] = {
        "nss_wrapper": lambda: find_nss_wrapper(fetched),
        "sshd": lambda: find_program("sshd", fetched),
        "sftp_server": lambda: find_openssh_part("sftp-server", fetched),
        "ssh": lambda: find_program("ssh", fetched),
        "ssh_keygen": lambda: find_program("ssh-keygen", fetched),
        "start_stop_daemon": lambda: find_program("start-stop-daemon", fetched),
    }
    found: dict[str, Path] = {}
    for field, search in searches.items():
        path = search()
        if path is None:
            name = "libnss_wrapper.so" if field == "nss_wrapper" else field.replace("_", "-")
            raise Unfit(f"{name} is nowhere (Debian's package {PACKAGES[field]})")
        found[field] = path
    return Tools(
        **found,
        openssl=find_program("openssl", fetched),
        ip=find_program("ip", fetched),
        socat=find_program("socat", fetched),
        sshd_helpers=_sshd_helpers(found["sshd"], fetched),
        library_path=tuple(folder for prefix in _used(fetched, found) for folder in library_folders(prefix)),
    )


def _used(fetched: Sequence[Path], found: Mapping[str, Path]) -> list[Path]:
    """Keep the first prefix, which is Ganeti's own, and those that a tool was found in."""
    return [p for n, p in enumerate(fetched) if n == 0 or any(p in tool.parents for tool in found.values())]


def _sshd_helpers(sshd: Path, fetched: Sequence[Path]) -> tuple[str, ...]:
    home = next((prefix for prefix in fetched if prefix in sshd.parents), None)
    if home is None:
        return ()
    parts = (("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth"))
    found = ((option, _openssh_part_below(home, name)) for option, name in parts)
    return tuple(f"{option} {path}" for option, path in found if path is not None)


def _openssh_part_below(prefix: Path, name: str) -> Path | None:
    return next(
        (prefix / folder / name for folder in _OPENSSH_FOLDERS if _runs(prefix / folder / name)), None
    )


def _runs(path: Path) -> bool:
    # os.path: folders of PATH that we may not enter are no error
    return os.path.isfile(path) and os.access(path, os.X_OK)  # noqa: PTH113
