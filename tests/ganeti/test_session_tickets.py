"""OpenSSL's settings of a node are the machine's, less session tickets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytest_ganeti_vcluster.ganeti.session_tickets import VARIABLE, addition, write_settings

_UBUNTU = """\
openssl_conf = openssl_init  # of the distribution
[ new_oids ]
[openssl_init]
providers = provider_sect
ssl_conf = ssl_sect
[ssl_sect]
system_default = system_default_sect
[system_default_sect]
CipherString = DEFAULT:@SECLEVEL=2
MinProtocol = TLSv1.2
"""
_DEBIAN = """\
HOME = .
openssl_conf = openssl_init
[openssl_init]
providers = provider_sect
#ssl_conf = ssl_sect
"""
_NEW = "[ssl_sect]\nsystem_default = node_tls\n[node_tls]\nNumTickets = 0\n"

_LOOK = """\
import ssl
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
print(context.num_tickets, ssl.OP_NO_TICKET in context.options)
"""


@pytest.mark.parametrize(
    ("system", "added"),
    [
        (_UBUNTU, "[system_default_sect]\nNumTickets = 0\n"),
        (_UBUNTU.replace("system_default =", "other ="), _NEW),
        (
            _DEBIAN,
            "[openssl_init]\nssl_conf = node_ssl\n[node_ssl]\nsystem_default = node_tls\n[node_tls]\nNumTickets = 0\n",
        ),
        (
            "",
            (
                "[default]\nopenssl_conf = node_init\n[node_init]\nssl_conf = node_ssl\n"
                "[node_ssl]\nsystem_default = node_tls\n[node_tls]\nNumTickets = 0\n"
            ),
        ),
    ],
)
def test_what_is_added(system: str, added: str) -> None:
    assert addition(system) == added


def _look(settings: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", _LOOK],
        env={VARIABLE: str(settings)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize("system", [_UBUNTU, _DEBIAN, ""])
def test_openssl_understands_it(tmp_path: Path, system: str) -> None:
    settings = tmp_path / "openssl.cnf"
    # An option that Python leaves as it finds it, unlike protocols and ciphers.
    system = system.replace("MinProtocol = TLSv1.2", "Options = -SessionTicket").replace("providers =", "#")
    settings.write_text(system, encoding="utf-8")
    before = _look(settings)
    assert int(before[0]) > 0
    settings.write_text(system + addition(system), encoding="utf-8")
    assert _look(settings) == ["0", before[1]]
    assert before[1] == str("-SessionTicket" in system)


def test_the_machine_s_settings_are_part_of_them(tmp_path: Path) -> None:
    settings = tmp_path / "openssl.cnf"
    write_settings(settings)
    assert _look(settings)[0] == "0"
