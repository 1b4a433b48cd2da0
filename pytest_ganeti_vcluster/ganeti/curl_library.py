"""libcurl without the machine's folder of certificates, which it would read for every RPC.

libcurl with GnuTLS loads every file of its built-in CA folder for each connection, even where the caller has named
a CA file (lib/vtls/gtls.c in curl, `load_dir_certs` in lib/x509/verify-high2.c in GnuTLS). Ganeti trusts its own
cluster certificate only and names it, and so all that is read is thrown away: see docs/explanation/tls.rst.
A copy of the library in which the name of that folder is empty stands in a folder that comes first in
`LD_LIBRARY_PATH`. GnuTLS then opens nothing, and takes a CA folder that cannot be opened for one without
certificates: so fewer are trusted than before, never more.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs

#: The name by which luxid and Debian's pycurl ask for it; PyPI's pycurl brings an OpenSSL flavour of its own, which
#: looks up what it needs in a folder and reads no other.
LIBRARY = "libcurl-gnutls.so.4"

#: What Debian configures (`--with-ca-path` in debian/rules of curl), as a whole C string.
_FOLDER = b"\0/etc/ssl/certs\0"

_TIMEOUT = 20.0


@attrs.frozen
class CurlLibrary:
    """What came of it: `folder` is the one to put in front of `LD_LIBRARY_PATH`, None where the library is as it was.

    `told` says for people what was done, or why nothing was; `slow`: there is a library that was to be changed, and
    it does not fit.
    """

    folder: Path | None
    told: str
    slow: bool = False


#: What a farm has where the fix is switched off.
UNCHANGED = CurlLibrary(None, "switched off")


def without_certificate_folder(library: bytes) -> bytes:
    """Empty the name of the built-in CA folder in the bytes of libcurl.

    `ValueError` says how often the name was found, where that is not once: then it is not known what it is for.
    """
    found = library.count(_FOLDER)
    if found != 1:
        name = _FOLDER.strip(b"\0").decode()
        raise ValueError(f"it has {name} {found} times, where once was expected")
    start = library.index(_FOLDER) + 1
    return library[:start] + b"\0" + library[start + 1 :]


def find_library(program: Path, library_path: Sequence[Path]) -> Path | None:
    """Ask the dynamic loader which libcurl a program built like `program`, a Haskell daemon, gets; None for none.

    Whether `program` itself is linked with it does not matter: Ganeti's Python loads it, too.
    """
    environment = {name: text for name, text in os.environ.items() if not name.startswith("LD_")}
    environment.update(LD_PRELOAD=LIBRARY, LD_TRACE_LOADED_OBJECTS="1", LC_ALL="C")
    if library_path:
        environment["LD_LIBRARY_PATH"] = ":".join(map(str, library_path))
    try:
        # Where the loader cannot be asked, the program starts, and says its version.
        done = subprocess.run(
            [str(program), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(rf"^\s*{re.escape(LIBRARY)} => (/.*) \(0x", done.stdout, re.MULTILINE)
    return Path(match[1]) if match else None


def make_curl_library(program: Path, library_path: Sequence[Path], folder: Path) -> CurlLibrary:
    """Make `folder` with the copy of the library in it, for daemons like `program`.

    Never fails where the library is absent or another one: Ganeti then runs as it does elsewhere, only slower.
    """
    found = find_library(program, library_path)
    if found is None:
        return CurlLibrary(None, f"no {LIBRARY} here, nothing to do")
    try:
        changed = without_certificate_folder(found.read_bytes())
    except (OSError, ValueError) as error:
        return CurlLibrary(None, f"{found} is used as it is: {error}", slow=True)
    folder.mkdir()
    (folder / LIBRARY).write_bytes(changed)
    return CurlLibrary(folder, f"copied from {found}, without its CA folder")
