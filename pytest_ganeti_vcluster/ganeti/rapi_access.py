"""What a RAPI client needs to be let in: a user with write access, and a certificate that can be checked."""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
from collections.abc import Iterable
from pathlib import Path

import attrs
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from pytest_ganeti_vcluster.clients.rapi import RapiClient

USERNAME = "vcluster"

#: Below a node's root: key and certificate.
RAPI_CERTIFICATE = "var/lib/ganeti/rapi.pem"

#: Below a node's root: where they wait for a cluster that is made before them.
READY_CERTIFICATE = "root/rapi.pem"

_ORGANIZATION = "pytest-ganeti-vcluster"
#: Ganeti warns of certificates that end within 30 days (lib/cmdlib/cluster/verify.py).
_VALID_DAYS = 365

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

    def client(self, where: str, node_root: Path, module_folder: Path) -> RapiClient:
        """Return a client of RAPI at `where` (HOST:PORT), whose node has its files in `node_root`; see `RapiClient`."""
        return RapiClient(
            f"https://{where}",
            self.username,
            self.password,
            self.ca_file,
            client_module_folder=module_folder,
            certificate=self.foreign_certificate(node_root),
        )

    def foreign_certificate(self, node_root: Path) -> Path | None:
        """Return the file with RAPI's certificate on a node if `ca_file` has not issued it, such as one by Ganeti."""
        certificate = node_root / RAPI_CERTIFICATE
        try:
            authority, issued = (
                x509.load_pem_x509_certificate(path.read_bytes()) for path in (self.ca_file, certificate)
            )
        except (OSError, ValueError):
            return None
        # Every authority of ours has a name of its own.
        return None if issued.issuer == authority.subject else certificate


def make_rapi_access(ca_file: Path, certificate: Path, identities: Iterable[str]) -> RapiAccess:
    """Make `certificate` (key and certificate in one file) for names and addresses, signed by a new authority.

    It is put where `gnt-cluster init` finds it (var/lib/ganeti/rapi.pem) and then makes none of its own, whose
    name is the same for all clusters and fits no address.
    """
    authority = trustme.CA(organization_name=_ORGANIZATION)
    # `gnt-cluster verify` counts bits, and takes any elliptic key for a weak one (lib/cmdlib/cluster/verify.py).
    issued = authority.issue_cert(*identities, key_type=trustme.KeyType.RSA)
    authority.cert_pem.write_to_path(str(ca_file))
    certificate.touch(mode=_PRIVATE)
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    return new_rapi_access(ca_file)


def new_rapi_access(ca_file: Path) -> RapiAccess:
    """Make up a password."""
    return RapiAccess(USERNAME, secrets.token_urlsafe(18), ca_file)


def renew_rapi_certificate(ca_file: Path, certificate: bytes, identities: Iterable[str]) -> bytes:
    """Certify the key in `certificate` (as `make_rapi_access` makes it) for other names, by a new authority.

    Return key and certificate in one. Making a key takes a tenth of a second, which a cluster made from an image
    does not have; trustme makes one for each certificate.
    """
    # The key is our own; to check it takes as long as to make one.
    key = serialization.load_pem_private_key(certificate, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"an RSA key is expected, not {type(key).__name__}")
    authority = trustme.CA(organization_name=_ORGANIZATION)
    authority_key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), password=None)
    if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"an elliptic key is expected, not {type(authority_key).__name__}")
    authority_certificate = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    signed_key = authority_certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    now = dt.datetime.now(dt.timezone.utc)
    issued = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANIZATION)]))
        .issuer_name(authority_certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=_VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(one) for one in identities]), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signed_key), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    authority.cert_pem.write_to_path(str(ca_file))
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(
        pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return secret + issued.public_bytes(pem)


def _general_name(identity: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(identity))
    except ValueError:
        return x509.DNSName(identity)
