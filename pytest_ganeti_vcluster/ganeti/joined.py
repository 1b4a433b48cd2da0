"""What `gnt-node add` writes into a cluster's configuration when a node joins.

`gnt-node add` joins one node at a time, which takes seconds. To join hundreds, what it would have written is written
at once: the node's part of the configuration (lib/cmdlib/node.py, LUNodeAdd; lib/config/__init__.py, AddNode), its
client certificate (lib/utils/x509.py, GenerateNewSslCert; lib/backend.py, GetCryptoTokens), its ssh key and who
knows of it (lib/backend.py, AddNodeSshKey), and what nodes are told of each other (src/Ganeti/WConfd/Ssconf.hs).
"""

from __future__ import annotations

import copy
import datetime as dt
import re
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

#: lib/constants.py: RSA_KEY_BITS, X509_CERT_DEFAULT_VALIDITY (days), X509_CERT_CN.
_KEY_BITS = 2048
_VALID_DAYS = 365 * 5
_ISSUER = "ganeti.example.com"

_PUBLIC_EXPONENT = 65537

#: The configuration as JSON, such as `config.data` has it.
Config = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Identity:
    """What tells a node from others: keys, and the uuid by which Ganeti knows it.

    `ssh_key` and `ssh_public` are the files id_rsa and id_rsa.pub of its root user, `certificate` its client.pem, with
    its digest.
    """

    name: str
    uuid: str
    ssh_key: bytes = attrs.field(repr=False)
    ssh_public: str
    certificate: bytes = attrs.field(repr=False)
    digest: str


@attrs.frozen(kw_only=True)
class Joining:
    """A node that joins; `candidate`: whether it may become a master candidate."""

    identity: Identity
    ip: str
    secondary_ip: str
    group: str
    candidate: bool = True


@attrs.frozen
class NodeKeys:
    """The two RSA keys of a node: that of its root user for ssh, and that of its client.pem."""

    ssh: rsa.RSAPrivateKey = attrs.field(repr=False)
    client: rsa.RSAPrivateKey = attrs.field(repr=False)

    @classmethod
    def make(cls) -> NodeKeys:
        """Make both. It takes a tenth of a second of CPU time, during which other threads go on."""
        return cls(*(rsa.generate_private_key(_PUBLIC_EXPONENT, _KEY_BITS) for _ in range(2)))


def load_authority(cluster_certificate: bytes) -> rsa.RSAPrivateKey:
    """Load what client.pem is signed with, from server.pem (key and certificate). Raises `ValueError`, `TypeError`.

    That checks the key, which takes as long as to make one.
    """
    authority = serialization.load_pem_private_key(cluster_certificate, password=None)
    if not isinstance(authority, rsa.RSAPrivateKey):
        raise TypeError(f"an RSA key is expected, not {type(authority).__name__}")
    return authority


def make_identity(name: str, authority: rsa.RSAPrivateKey, keys: NodeKeys) -> Identity:
    """Make the identity of a node that has these keys; see `load_authority`."""
    ssh, key = keys.ssh, keys.client
    public = ssh.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    certificate = _certify(name, key, authority)
    return Identity(
        name=name,
        uuid=str(uuid.uuid4()),
        ssh_key=_private(ssh, serialization.PrivateFormat.OpenSSH),
        ssh_public=f"{public.decode('ascii')} root@{name}\n",
        certificate=_private(key, serialization.PrivateFormat.PKCS8)
        + certificate.public_bytes(serialization.Encoding.PEM),
        digest=":".join(f"{one:02X}" for one in certificate.fingerprint(hashes.SHA1())),  # noqa: S303 - Ganeti's
    )


def _private(key: rsa.RSAPrivateKey, form: serialization.PrivateFormat) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _certify(name: str, key: rsa.RSAPrivateKey, authority: rsa.RSAPrivateKey) -> x509.Certificate:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(_common_name(name))
        .issuer_name(_common_name(_ISSUER))
        .public_key(key.public_key())
        .serial_number(int(time.time()))
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=_VALID_DAYS))
        .sign(authority, hashes.SHA256())
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def with_nodes(config: Config, joining: Iterable[Joining], now: float) -> dict[str, Any]:
    """Return a configuration after nodes have joined, at the time `now` (seconds since the epoch).

    As many of them as there is room for in the pool become master candidates, the first ones (lib/cmdlib/common.py,
    AdjustCandidatePool and _DecideSelfPromotion). Raises `KeyError` for a node group that there is not.
    """
    new: dict[str, Any] = copy.deepcopy(dict(config))
    cluster, nodes = new["cluster"], new["nodes"]
    groups = {group["name"]: uuid for uuid, group in new["nodegroups"].items()}
    # Any node serves as the model of all that a join leaves at its default.
    model = next(iter(nodes.values()))
    candidates = sum(node["master_candidate"] for node in nodes.values())
    for one in joining:
        promoted = one.candidate and candidates < cluster["candidate_pool_size"]
        candidates += promoted
        identity = one.identity
        nodes[identity.uuid] = {
            **model,
            "name": identity.name,
            "uuid": identity.uuid,
            "primary_ip": one.ip,
            "secondary_ip": one.secondary_ip or one.ip,
            "group": groups[one.group],
            "master_candidate": promoted,
            "master_capable": one.candidate,
            "offline": False,
            "drained": False,
            "powered": True,
            "ndparams": {},
            "tags": [],
            "ctime": now,
            "mtime": now,
            "serial_no": 1,
        }
        if promoted:
            cluster["candidate_certs"][identity.uuid] = identity.digest
    for part in (new, cluster):
        part["serial_no"] += 1
        part["mtime"] = now
    return new


def candidates(config: Config) -> list[str]:
    """Name the nodes that have the configuration: the master and the candidates."""
    master = config["cluster"]["master_node"]
    return [
        node["name"]
        for uuid, node in config["nodes"].items()
        if uuid == master or (node["master_candidate"] and not node["offline"])
    ]


def told_to_nodes(config: Config, ssh_port: int) -> dict[str, str]:
    """Return the files in which nodes are told of all nodes, by name (`ssconf_node_list`): mkSSConf in Ssconf.hs.

    `ssh_port` is that of all nodes.
    """
    nodes = sorted(config["nodes"].values(), key=lambda node: nice_key(node["name"]))
    online = [node for node in nodes if not node["offline"]]
    # These come in the order of the nodes' uuids (getMasterOrCandidates in src/Ganeti/Config.hs).
    known = set(candidates(config))
    pool = [node for _uuid, node in sorted(config["nodes"].items()) if node["name"] in known]
    certificates = sorted(config["cluster"]["candidate_certs"].items())
    return {
        f"ssconf_{name}": "".join(f"{line}\n" for line in lines)
        for name, lines in {
            "node_list": [node["name"] for node in nodes],
            "node_primary_ips": [f"{node['name']} {node['primary_ip']}" for node in nodes],
            "node_secondary_ips": [f"{node['name']} {node['secondary_ip']}" for node in nodes],
            "node_vm_capable": [f"{node['name']}={node['vm_capable']}" for node in nodes],
            "online_nodes": [node["name"] for node in online],
            "offline_nodes": [node["name"] for node in nodes if node["offline"]],
            "master_candidates": [node["name"] for node in pool],
            "master_candidates_ips": [node["primary_ip"] for node in pool],
            "master_candidates_certs": [f"{uuid}={digest}" for uuid, digest in certificates],
            "ssh_ports": [f"{node['name']}={ssh_port}" for node in nodes],
        }.items()
    }


def nice_key(name: str) -> list[object]:
    """Return what to sort names by so that node10 comes after node9 (src/Ganeti/Utils.hs, niceSortKey)."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def authorized_keys(before: str, added: Iterable[str]) -> str:
    """Return a node's authorized_keys: who could log in `before`, and what is `added`, each key once."""
    return "".join(dict.fromkeys([*before.splitlines(keepends=True), *added]))


def hosts(before: str, joining: Iterable[Joining]) -> str:
    """Return /etc/hosts with the nodes that joined (lib/utils/nodesetup.py, SetEtcHostsEntry)."""
    added = (f"{one.ip}\t{one.identity.name} {one.identity.name.partition('.')[0]}\n" for one in joining)
    return before + "".join(added)


def public_keys(before: str, joining: Iterable[Joining]) -> str:
    """Return ganeti_pub_keys with those of the nodes that joined (lib/ssh.py, AddPublicKey)."""
    return before + "".join(f"{one.identity.uuid} {one.identity.ssh_public}" for one in joining)
