"""What a RAPI client needs to be let in: a user with write access, and a certificate that can be checked."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path

import attrs
import trustme

USERNAME = "vcluster"

_PRIVATE = 0o600


@attrs.frozen
class RapiAccess:
    """User, password and the file with the certificate authority of one cluster's RAPI."""

    username: str
    password: str = attrs.field(repr=False)
    ca_file: Path

    def write_users(self, node_root: Path) -> None:
        """Let the user in on a node (doc/rapi.rst: `USER PASSWORD OPTIONS` in var/lib/ganeti/rapi/users)."""
        users = node_root / "var/lib/ganeti/rapi/users"
        users.touch(mode=_PRIVATE)
        users.write_text(f"{self.username} {{cleartext}}{self.password} write\n", encoding="utf-8")


def make_rapi_access(ca_file: Path, certificate: Path, identities: Iterable[str]) -> RapiAccess:
    """Make `certificate` (key and certificate in one file) for names and addresses, signed by a new authority.

    It is put where `gnt-cluster init` finds it (var/lib/ganeti/rapi.pem) and then makes none of its own, whose
    name is the same for all clusters and fits no address.
    """
    authority = trustme.CA(organization_name="pytest-ganeti-vcluster")
    # `gnt-cluster verify` counts bits, and takes any elliptic key for a weak one (lib/cmdlib/cluster/verify.py).
    issued = authority.issue_cert(*identities, key_type=trustme.KeyType.RSA)
    authority.cert_pem.write_to_path(str(ca_file))
    certificate.touch(mode=_PRIVATE)
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    return RapiAccess(USERNAME, secrets.token_urlsafe(18), ca_file)
