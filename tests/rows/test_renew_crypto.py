"""Certificates, keys and secrets that are replaced while the cluster runs, and whether all still trust each other."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import attrs
import pytest
import trustme

from pytest_ganeti_vcluster.clients.confd import REQ_PING, ConfdClient
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.cluster.virtual_node import VirtualNode
from pytest_ganeti_vcluster.errors import RapiError
from pytest_ganeti_vcluster.ganeti.daemons import CONFD_PORT
from tests.rows.queue_jobs import PATIENCE, delay
from tests.rows.showing import shows

pytestmark = pytest.mark.vcluster(nodes=2)

_LIB = "/var/lib/ganeti/"
#: What each option of `gnt-cluster renew-crypto` replaces. A client certificate is each node's own.
_REPLACES = {
    "--new-cluster-certificate": (_LIB + "server.pem", _LIB + "client.pem"),
    "--new-node-certificates": (_LIB + "client.pem",),
    "--new-rapi-certificate": (_LIB + "rapi.pem",),
    "--new-spice-certificate": (_LIB + "spice.pem", _LIB + "spice-ca.pem"),
    "--new-confd-hmac-key": (_LIB + "hmac.key",),
    "--new-cluster-domain-secret": (_LIB + "cluster-domain-secret",),
    "--new-ssh-keys": ("/root/.ssh/id_rsa", "/root/.ssh/id_rsa.pub", "/root/.ssh/authorized_keys"),
}
_OWN = (_LIB + "client.pem", "/root/.ssh/id_rsa", "/root/.ssh/id_rsa.pub", "/root/.ssh/authorized_keys")

#: As `RapiClient.ganeti_client` has Ganeti's client trust one certificate, on the master.
_OFFICIAL = f"""\
import os, sys
sys.path.insert(0, sys.argv[1])
from ganeti.rapi import client
certificate = os.environ.get("GANETI_ROOTDIR", "") + "{_LIB}rapi.pem"
config = client.GenericCurlConfig(cafile=certificate, verify_hostname=False, proxy="")
user, password = sys.argv[3:]
print(client.GanetiRapiClient(sys.argv[2], username=user, password=password, curl_config_fn=config).GetVersion())
"""


def _secrets(node: VirtualNode) -> dict[str, bytes]:
    paths = sorted({path for paths in _REPLACES.values() for path in paths})
    return {path: node.path(path).read_bytes() if node.path(path).exists() else b"" for path in paths}


def _renew(cluster: VirtualCluster, *options: str) -> None:
    cluster.run("gnt-cluster", "renew-crypto", "--force", *options)


def _check_trust(cluster: VirtualCluster) -> None:
    """Use every way in which nodes and clients know each other: RPC, ssh, RAPI, confd, and Ganeti's own check."""
    nodes = [node.name for node in cluster.nodes]
    assert cluster.verify() == []
    cluster.submit({**delay(), "on_nodes": nodes}).wait(PATIENCE)
    assert cluster.run("gnt-cluster", "command", "echo reached").stdout.count("reached") == len(nodes)
    assert cluster.rapi.info()["name"] == cluster.name
    for node in cluster.nodes:
        key = node.path(_LIB + "hmac.key").read_bytes()
        assert (
            ConfdClient(key, node.ip, CONFD_PORT, make_socket=node.boot_node.site.network.new_socket)
            .query(REQ_PING, "")
            .ok
        )


@shows(
    "renew-crypto",
    "every certificate, key and secret is replaced at once, and all clients still get in",
    because=("remote-public-keys", "writable-targets"),
)
@shows("renew-crypto", "a reset brings the old ones back")
def test_everything_is_renewed(vcluster: VirtualCluster) -> None:
    before = [_secrets(node) for node in vcluster.nodes]
    _renew(vcluster, *_REPLACES, "--no-ssh-key-check")
    after = [_secrets(node) for node in vcluster.nodes]
    for old, new in zip(before, after):
        assert [path for path in old if old[path] == new[path]] == []
    first, second = after
    assert [path for path in first if path not in _OWN and first[path] != second[path]] == []
    _check_trust(vcluster)

    # RAPI's is for ganeti.example.com on every cluster now, and signed by itself (lib/constants.py, X509_CERT_CN).
    with pytest.raises(RapiError, match="certificate verify failed"):
        attrs.evolve(vcluster.rapi, certificate=None).version()
    # Ganeti's own client: its Python has the pycurl that it needs.
    program = (str(vcluster.ganeti.python), "-c", _OFFICIAL, str(vcluster.ganeti.share))
    access = vcluster.rapi_access
    assert vcluster.run(*program, vcluster.master.ip, access.username, access.password).stdout == "2\n"

    assert vcluster.reset().how == "restored"
    assert [_secrets(node) for node in vcluster.nodes] == before
    assert vcluster.rapi.certificate is None
    assert vcluster.rapi.version() == 2
    assert vcluster.verify() == []


@shows("renew-crypto", "a RAPI certificate of one's own is put in place, on every node; others are refused")
def test_own_rapi_certificate(vcluster: VirtualCluster) -> None:
    # Ganeti makes one for a name that is the same everywhere; a real one is signed for the cluster's name.
    authority = trustme.CA(organization_name="somebody's")
    reached = urlsplit(vcluster.rapi.url).hostname
    assert reached is not None
    issued = authority.issue_cert(*{vcluster.ip, reached}, key_type=trustme.KeyType.RSA)
    own, ca_file = (vcluster.master.path(f"/root/{name}.pem") for name in ("rapi", "ca"))
    seen, ca_seen = (vcluster.master.seen_path(f"/root/{name}.pem") for name in ("rapi", "ca"))
    issued.private_key_and_cert_chain_pem.write_to_path(str(own))
    authority.cert_pem.write_to_path(str(ca_file))

    for wrong, told in (("/dev/null", "Unable to load X509 certificate"), (ca_seen, "private key")):
        result = vcluster.run(
            "gnt-cluster", "renew-crypto", "--force", f"--rapi-certificate={wrong}", check=False
        )
        assert result.returncode == 1
        assert told in result.stderr
    both = ("--new-rapi-certificate", f"--rapi-certificate={seen}")
    result = vcluster.run("gnt-cluster", "renew-crypto", "--force", *both, check=False)
    assert "Only one of the --new-rapi-certificate and --rapi-certificate options" in result.stderr

    # Alone it is read, found good and forgotten, with no word of it (lib/client/gnt_cluster.py, _RenewCrypto: files
    # that are given count only where something new is wanted, too).
    _renew(vcluster, f"--rapi-certificate={seen}")
    assert own.read_bytes() not in {node.path(_LIB + "rapi.pem").read_bytes() for node in vcluster.nodes}

    _renew(vcluster, f"--rapi-certificate={seen}", "--new-confd-hmac-key")
    assert {node.path(_LIB + "rapi.pem").read_bytes() for node in vcluster.nodes} == {own.read_bytes()}
    assert vcluster.rapi.info()["name"] == vcluster.name
    given = vcluster.rapi_access
    client = type(vcluster.rapi)(vcluster.rapi.url, given.username, given.password, ca_file)
    assert client.version() == 2


@pytest.mark.slow
@pytest.mark.parametrize("option", sorted(_REPLACES))
@shows("renew-crypto", "each kind is replaced alone, and no other with it")
def test_one_kind_is_renewed(vcluster: VirtualCluster, option: str) -> None:
    before = _secrets(vcluster.master)
    _renew(vcluster, option, *(("--no-ssh-key-check",) if "ssh" in option else ()))
    after = _secrets(vcluster.master)
    assert [path for path in after if after[path] != before[path]] == sorted(_REPLACES[option])
    _check_trust(vcluster)


@pytest.mark.slow
@shows(
    "renew-crypto",
    "ssh keys of another kind and size; one logs in with just the new key, and not with an old one",
    because=("remote-public-keys",),
)
def test_kinds_of_ssh_keys(vcluster: VirtualCluster) -> None:
    def may_log_in(key: Path) -> bool:
        # As Ganeti's QA asks (qa/qa_cluster.py, _CheckLoginWithKey): with no configuration of ssh but this.
        options = (
            f"-oIdentityFile={key}",
            "-oBatchMode=yes",
            "-oStrictHostKeyChecking=no",
            "-oIdentitiesOnly=yes",
        )
        return vcluster.run("ssh", *options, "-F/dev/null", "node2", "true", check=False).returncode == 0

    home = vcluster.master.path("/root/.ssh")
    stashed = vcluster.master.path("/root/old-key")
    stashed.write_bytes((home / "id_rsa").read_bytes())
    stashed.chmod(0o600)
    assert may_log_in(stashed)
    _renew(vcluster, "--new-ssh-keys", "--no-ssh-key-check", "--ssh-key-type=ecdsa", "--ssh-key-bits=256")
    assert may_log_in(home / "id_ecdsa")
    assert not may_log_in(stashed)
    assert vcluster.luxi.query_cluster_info()["ssh_key_type"] == "ecdsa"
    assert vcluster.verify() == []
    result = vcluster.run(
        "gnt-cluster", "renew-crypto", "--force", "--new-ssh-keys", "--no-ssh-key-check", "--ssh-key-bits=123",
        check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert "bit" in result.stderr


@shows(
    "renew-crypto",
    "ssh keys are renewed only when the hosts' keys may be trusted, as a real master asks for it",
)
def test_unconfirmed_host_keys(vcluster: VirtualCluster) -> None:
    # Nobody is there to confirm node2's host key: ssh asks for it, as there is no known_hosts by its own name.
    result = vcluster.run("gnt-cluster", "renew-crypto", "--force", "--new-ssh-keys", check=False)
    assert result.returncode == 1
    assert "Could not fetch a public SSH key" in result.stderr
    assert "node2.vc" in result.stderr


@pytest.mark.slow
@shows("renew-crypto", "an offline node is left out, and gets what is new when it is added again")
def test_offline_node(vcluster: VirtualCluster) -> None:
    vcluster.run("gnt-node", "modify", "--offline=yes", "node2")
    before = [_secrets(node) for node in vcluster.nodes]
    _renew(vcluster, "--new-confd-hmac-key")
    after = [_secrets(node) for node in vcluster.nodes]
    assert [path for path in after[0] if after[0][path] != before[0][path]] == [_LIB + "hmac.key"]
    assert after[1] == before[1]
    # Back again, it gets what the others have: so it is with a real node that was away.
    vcluster.run("gnt-node", "add", "--readd", "--no-ssh-key-check", "node2")
    assert _secrets(vcluster.node("node2"))[_LIB + "hmac.key"] == after[0][_LIB + "hmac.key"]
    assert vcluster.verify() == []
