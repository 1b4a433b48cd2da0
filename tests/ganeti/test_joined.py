"""What joins write into a configuration; that it is what Ganeti writes is shown in tests/live/test_bulk_join.py."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pytest_ganeti_vcluster.ganeti import joined
from pytest_ganeti_vcluster.ganeti.joined import Identity, Joining, NodeKeys

_NOW = 1000.5


def _config(pool: int = 3) -> dict[str, Any]:
    node = {
        "name": "node1.vc",
        "uuid": "u1",
        "primary_ip": "127.64.0.1",
        "secondary_ip": "127.64.0.1",
        "group": "g1",
        "master_candidate": True,
        "master_capable": True,
        "vm_capable": True,
        "offline": False,
        "drained": False,
        "powered": True,
        "ndparams": {"oob_program": "/x"},
        "tags": ["first"],
        "ctime": 1.0,
        "mtime": 2.0,
        "serial_no": 7,
    }
    cluster = {
        "candidate_pool_size": pool,
        "candidate_certs": {"u1": "AA"},
        "master_node": "u1",
        "serial_no": 4,
        "mtime": 3.0,
    }
    groups = {"g1": {"name": "default"}, "g2": {"name": "far"}}
    return {"cluster": cluster, "nodes": {"u1": node}, "nodegroups": groups, "serial_no": 9, "mtime": 3.0}


def _joining(number: int, **fields: Any) -> Joining:
    identity = Identity(
        name=f"node{number}.vc",
        uuid=f"u{number}",
        ssh_key=b"",
        ssh_public=f"key{number} root@node{number}.vc\n",
        certificate=b"",
        digest=f"D{number}",
    )
    given = {"ip": f"127.64.0.{number}", "secondary_ip": "", "group": "default", **fields}
    return Joining(identity=identity, **given)


def test_nodes_join_and_fill_the_pool_of_candidates() -> None:
    joining = [_joining(2, candidate=False), _joining(3), _joining(4), _joining(5)]
    before = _config()
    config = joined.with_nodes(before, joining, _NOW)
    assert before == _config()
    roles = [(node["name"], node["master_candidate"]) for node in config["nodes"].values()]
    assert roles == [
        ("node1.vc", True),
        ("node2.vc", False),
        ("node3.vc", True),
        ("node4.vc", True),
        ("node5.vc", False),
    ]
    assert config["cluster"]["candidate_certs"] == {"u1": "AA", "u3": "D3", "u4": "D4"}
    assert joined.candidates(config) == ["node1.vc", "node3.vc", "node4.vc"]
    assert (config["serial_no"], config["cluster"]["serial_no"]) == (10, 5)
    assert config["mtime"] == config["cluster"]["mtime"] == _NOW


def test_a_node_has_nothing_of_the_model_s_own() -> None:
    joining = [_joining(2, group="far", secondary_ip="127.65.0.2")]
    node = joined.with_nodes(_config(), joining, _NOW)["nodes"]["u2"]
    assert (node["uuid"], node["group"]) == ("u2", "g2")
    assert (node["primary_ip"], node["secondary_ip"]) == ("127.64.0.2", "127.65.0.2")
    assert (node["ndparams"], node["tags"], node["serial_no"]) == ({}, [], 1)
    assert node["ctime"] == node["mtime"] == _NOW


def test_a_group_that_there_is_not() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        joined.with_nodes(_config(), [_joining(2, group="nowhere")], _NOW)


def test_what_nodes_are_told_of_each_other() -> None:
    config = joined.with_nodes(_config(pool=2), [_joining(10), _joining(9)], _NOW)
    config["nodes"]["u9"]["offline"] = True
    told = joined.told_to_nodes(config, 2222)
    assert told["ssconf_node_list"] == "node1.vc\nnode9.vc\nnode10.vc\n"
    assert told["ssconf_online_nodes"] == "node1.vc\nnode10.vc\n"
    assert told["ssconf_offline_nodes"] == "node9.vc\n"
    assert told["ssconf_node_primary_ips"].splitlines()[1] == "node9.vc 127.64.0.9"
    assert told["ssconf_node_vm_capable"].splitlines()[0] == "node1.vc=True"
    assert told["ssconf_ssh_ports"].splitlines()[2] == "node10.vc=2222"
    assert told["ssconf_master_candidates"] == "node1.vc\nnode10.vc\n"
    assert told["ssconf_master_candidates_ips"] == "127.64.0.1\n127.64.0.10\n"
    assert told["ssconf_master_candidates_certs"] == "u1=AA\nu10=D10\n"


def test_who_is_known_to_a_node() -> None:
    assert joined.authorized_keys("a\nb\n", ["c\n", "a\n", "c\n"]) == "a\nb\nc\n"
    joining = [_joining(2), _joining(3)]
    assert joined.hosts("127.0.0.1\tlocalhost\n", joining).splitlines()[1:] == [
        "127.64.0.2\tnode2.vc node2",
        "127.64.0.3\tnode3.vc node3",
    ]
    assert joined.public_keys("u1 key1\n", joining).splitlines()[1:] == [
        "u2 key2 root@node2.vc",
        "u3 key3 root@node3.vc",
    ]


def test_an_identity_is_signed_by_the_cluster() -> None:
    authority = rsa.generate_private_key(65537, 2048)
    cluster_certificate = authority.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    identity = joined.make_identity("node7.vc", joined.load_authority(cluster_certificate), NodeKeys.make())
    certificate = x509.load_pem_x509_certificate(identity.certificate)
    key = serialization.load_pem_private_key(identity.certificate, password=None)
    assert certificate.subject.rfc4514_string() == "CN=node7.vc"
    assert isinstance(key, rsa.RSAPrivateKey)
    assert certificate.public_key() == key.public_key()
    algorithm = certificate.signature_hash_algorithm
    assert algorithm is not None
    authority.public_key().verify(
        certificate.signature, certificate.tbs_certificate_bytes, padding.PKCS1v15(), algorithm
    )
    assert identity.digest.count(":") == 19
    loaded = serialization.load_ssh_private_key(identity.ssh_key, password=None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    public = loaded.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    assert identity.ssh_public == f"{public.decode()} root@node7.vc\n"
    other = joined.make_identity("node7.vc", joined.load_authority(cluster_certificate), NodeKeys.make())
    assert {other.uuid, other.digest, other.ssh_public}.isdisjoint(
        {identity.uuid, identity.digest, identity.ssh_public}
    )
