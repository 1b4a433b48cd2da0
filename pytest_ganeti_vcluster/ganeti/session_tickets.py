"""TLS servers of a node without session tickets, for which luxid would wait.

An OpenSSL server sends two tickets after each TLS 1.3 handshake, with which a client could resume the session. Ganeti
makes a new session for each RPC and never resumes one. luxid looks at its connections every 10 ms
(`pollDelayInterval` in src/Ganeti/Curl/Multi.hs), and libcurl with GnuTLS takes in one ticket at a look: so each RPC
of luxid's takes 20 ms longer than it need. See docs/explanation/tls.rst.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

#: Where distributions have OpenSSL's settings.
_SYSTEM = (Path("/etc/ssl/openssl.cnf"), Path("/usr/lib/ssl/openssl.cnf"), Path("/etc/pki/tls/openssl.cnf"))

#: Variable by which OpenSSL is told of other settings than the machine's.
VARIABLE = "OPENSSL_CONF"

#: How the settings of every TLS context are found: the key that names the next section, and what we call that where
#: the machine has none (config(5), "SSL Configuration Module").
_CHAIN = (("openssl_conf", "node_init"), ("ssl_conf", "node_ssl"), ("system_default", "node_tls"))

#: The section before the first that is named.
_FIRST = "default"

_SETTING = "NumTickets = 0"


def write_settings(path: Path) -> None:
    """Write settings for OpenSSL: the machine's, and no session tickets."""
    system = next((one for one in _SYSTEM if one.is_file()), None)
    text = system.read_text(encoding="utf-8", errors="replace") if system else ""
    include = f".include {system}\n" if system else ""
    path.write_text(include + addition(text), encoding="utf-8")


def addition(system: str) -> str:
    """Return what has to follow the machine's settings for there to be no session tickets, and nothing else changed."""
    sections = _read(system)
    added = []
    section = _FIRST
    for key, name in _CHAIN:
        following = sections.get(section, {}).get(key)
        if following is None:
            added.append(f"[{section}]\n{key} = {name}\n")
            following = name
        section = following
    return "".join([*added, f"[{section}]\n{_SETTING}\n"])


def _read(text: str) -> Mapping[str, Mapping[str, str]]:
    """Read what matters to us: plain settings by section, the last one of a name."""
    sections: dict[str, dict[str, str]] = {_FIRST: {}}
    current = sections[_FIRST]
    for line in text.splitlines():
        bare = line.partition("#")[0].strip()
        header = re.fullmatch(r"\[\s*(\S+)\s*\]", bare)
        setting = re.fullmatch(r"(\w+)\s*=\s*(\S+)", bare)
        if header:
            current = sections.setdefault(header[1], {})
        elif setting:
            current[setting[1]] = setting[2]
    return sections
