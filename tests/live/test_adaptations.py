"""For each adaptation, what becomes of Ganeti without it.

A small program runs in Ganeti's own Python, as a process of a virtual node: once as always and once with
`VCLUSTER_WITHOUT` naming the adaptation.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import attrs
import pytest

from pytest_ganeti_vcluster.cluster.making.building import build_cluster
from pytest_ganeti_vcluster.cluster.spec import ClusterSpec
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import AdaptationFailed
from pytest_ganeti_vcluster.ganeti.farm import build_farm
from pytest_ganeti_vcluster.inside import activation
from pytest_ganeti_vcluster.inside.adaptations import ADAPTATIONS
from pytest_ganeti_vcluster.testing.clusters import ClusterFactory

pytestmark = [
    pytest.mark.only_on("loopback", "a Ganeti that runs on machines is not adapted"),
    pytest.mark.skipif(
        os.getuid() == 0, reason="as root, Ganeti without its adaptations would act on this machine"
    ),
]

#: What every program begins with: the job of a farm's stub scripts (ganeti/farm.py).
_BEGIN = """\
import sys
sys.path.insert(0, {site!r})
from vcluster_inside.activation import activate
activate()
sys.path.insert(0, {share!r})
import json, os
def tell(told):
    print(json.dumps(told))
"""

Look = Callable[..., tuple[Any, Any]]


@pytest.fixture(scope="module")
def home(vcluster_factory: ClusterFactory) -> VirtualCluster:
    return vcluster_factory(nodes=2)


@pytest.fixture
def look(home: VirtualCluster, request: pytest.FixtureRequest) -> Look:
    """Run a program with the adaptation that the test is named after, and without; what it told, each time."""
    name = request.node.name.removeprefix("test_").replace("_", "-")
    assert name in {one.name for one in ADAPTATIONS}, "a test that looks is named after an adaptation"
    begin = _BEGIN.format(site=str(home.parts.farm.folder / "site"), share=str(home.ganeti.share))

    def run(program: str) -> tuple[Any, Any]:
        told = []
        for without in ("", name):
            result = home.master.run(
                str(home.ganeti.python), "-c", begin + dedent(program), env={activation.WITHOUT: without}
            )
            told.append(json.loads(result.stdout))
        return told[0], told[1]

    return run


def test_every_adaptation_has_a_test() -> None:
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    tests = {
        node.name.removeprefix("test_").replace("_", "-")
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any(one.arg == "look" for one in node.args.args)
    }
    assert tests == {one.name for one in ADAPTATIONS}


def test_ordinary_loopback(home: VirtualCluster, look: Look) -> None:
    adapted, plain = look(f"""
        from ganeti import netutils
        tell(netutils.IP4Address.IsLoopback({home.master.ip!r}))
    """)
    assert (adapted, plain) == (False, True)


def test_truthful_ping(home: VirtualCluster, look: Look) -> None:
    spare = home.parts.site.lease.spare_ips[0]
    adapted, plain = look(f"""
        from ganeti import netutils
        addresses = {[spare, home.ip, home.nodes[1].ip]!r}
        tell([netutils.TcpPing(address, 9, timeout=5) for address in addresses])
    """)
    # Nothing listens on port 9 of any of them; the first is nobody's.
    assert adapted == [False, True, True]
    assert plain == [True, True, True]


def test_truthful_own(home: VirtualCluster, look: Look) -> None:
    spare = home.parts.site.lease.spare_ips[0]
    adapted, plain = look(f"""
        from ganeti import netutils
        addresses = {[spare, home.master.ip, home.ip, home.nodes[1].ip, "192.0.2.1"]!r}
        tell([netutils.IPAddress.Own(address) for address in addresses])
    """)
    assert adapted == [False, True, True, False, False]
    assert plain == [True, True, True, True, False]


def test_closed_names(look: Look) -> None:
    adapted, plain = look("""
        import socket
        asked = []
        def remember(name, *rest, **options):
            asked.append(name)
            raise socket.gaierror(socket.EAI_NONAME, "the machine's resolver was asked")
        socket.gethostbyname = socket.gethostbyname_ex = socket.getfqdn = socket.getaddrinfo = remember
        from ganeti import errors, netutils
        try:
            netutils.GetHostname(name="www.example.org")
        except errors.OpPrereqError as error:
            tell([asked, error.args[0]])
        except socket.gaierror as error:
            tell([asked, str(error)])
    """)
    assert adapted[0] == []
    assert "this virtual cluster does not know the name" in adapted[1]
    assert "names such as instance1 are known" in adapted[1]
    assert "--no-name-check" in adapted[1]
    assert "www.example.org" in plain[0]


def test_declared_bridges(look: Look) -> None:
    adapted, plain = look("""
        from ganeti import utils
        tell([utils.BridgeExists(name) for name in ("br0", "br1", "vcbr7")])
    """)
    assert adapted == [True, True, False]
    if plain[:2] == [True, True]:
        pytest.skip("this machine has bridges br0 and br1 of its own")
    assert plain != adapted


def test_no_console(look: Look) -> None:
    adapted, plain = look("""
        from ganeti import constants
        tell(constants.DEV_CONSOLE)
    """)
    assert (adapted, plain) == ("/dev/null", "/dev/console")


def test_file_storage_defaults(home: VirtualCluster, look: Look) -> None:
    adapted, plain = look("""
        from ganeti import pathutils
        tell([pathutils.DEFAULT_FILE_STORAGE_DIR, pathutils.DEFAULT_SHARED_FILE_STORAGE_DIR])
    """)
    assert adapted == ["/srv/ganeti/file-storage", "/srv/ganeti/shared-file-storage"]
    assert plain == [f"{home.master.root}{path}" for path in adapted]


def test_file_storage_files(home: VirtualCluster, look: Look) -> None:
    disk = home.master.path("/srv/ganeti/file-storage/trial/disk0")
    program = """
        from ganeti.storage import filestorage
        try:
            helper = filestorage.FileDeviceHelper.CreateFile(
                "/srv/ganeti/file-storage/trial/disk0", 3, create_folders=True)
            tell(helper.Size())
        except Exception as error:
            tell(type(error).__name__)
    """
    adapted, plain = look(program)
    assert adapted == 3 << 20
    assert disk.stat().st_size == 3 << 20
    assert not home.nodes[1].path("/srv/ganeti/file-storage/trial").exists()
    # An ordinary user cannot write to the machine's /srv.
    assert plain != adapted
    shutil.rmtree(disk.parent)


def test_file_storage_init(home: VirtualCluster, look: Look) -> None:
    adapted, plain = look("""
        from ganeti import bootstrap, errors
        try:
            tell(bootstrap._InitFileStorageDir("/srv/ganeti/trial-storage"))
        except (errors.OpPrereqError, OSError) as error:
            tell(type(error).__name__)
    """)
    assert adapted == "/srv/ganeti/trial-storage"
    assert home.master.path("/srv/ganeti/trial-storage").is_dir()
    assert plain in {"OpPrereqError", "PermissionError"}
    home.master.path("/srv/ganeti/trial-storage").rmdir()


def test_file_storage_folders(home: VirtualCluster, look: Look) -> None:
    adapted, plain = look("""
        from ganeti import backend
        tell(backend._TransformFileStorageDir("/srv/ganeti/file-storage/trial"))
    """)
    assert plain == "/srv/ganeti/file-storage/trial"
    assert adapted == str(home.master.path(plain))


def test_file_storage_sizes(home: VirtualCluster, look: Look) -> None:
    folder = home.master.path("/srv/ganeti/trial-sizes")
    folder.mkdir()
    (folder / "some").write_bytes(bytes(2 << 20))
    adapted, plain = look("""
        from ganeti import utils
        try:
            tell([utils.CalculateDirectorySize("/srv/ganeti/trial-sizes"),
                  utils.GetFilesystemStats("/srv/ganeti/trial-sizes")])
        except OSError as error:
            tell(type(error).__name__)
    """)
    size, (total, free) = adapted
    assert size == 2
    assert total >= free > 0
    assert plain == "FileNotFoundError"
    shutil.rmtree(folder)


def test_hypervisor_files(home: VirtualCluster, look: Look) -> None:
    program = """
        from ganeti import backend, constants
        params = dict(constants.HVC_DEFAULTS["xen-pvm"], kernel_path="/boot/vmlinuz-trial")
        verified = {}
        try:
            backend.ValidateHVParams("xen-pvm", params)
            backend._VerifyHvparams({constants.NV_HVPARAMS: [("cluster", "xen-pvm", params)]}, True, verified)
            tell(verified[constants.NV_HVPARAMS])
        except backend.RPCFail as error:
            tell(str(error))
    """
    missing = "Parameter 'kernel_path' fails validation: not found or not a file (current value: '/boot/vmlinuz-trial')"
    assert look(program) == (missing, missing)
    kernel = home.master.path("/boot/vmlinuz-trial")
    kernel.parent.mkdir()
    kernel.touch()
    assert look(program) == ([], missing)
    shutil.rmtree(kernel.parent)


def test_export_folders(home: VirtualCluster, look: Look) -> None:
    own, others = (node.path("/var/lib/ganeti/export/trial") for node in home.nodes)
    own.mkdir(parents=True)
    (own / "config.ini").write_text("[export]\nversion = 0\n[instance]\nname = trial\n", encoding="ascii")
    adapted, plain = look(f"""
        from ganeti import backend
        told = []
        for path in ("/var/lib/ganeti/export/trial", {str(others)!r}, {str(own)!r}):
            try:
                told.append("name = trial" in backend.ExportInfo(path))
            except backend.RPCFail:
                told.append(False)
        tell(told)
    """)
    shutil.rmtree(own)
    assert (adapted, plain) == ([True, True, True], [False, False, True])


def test_archived_jobs(home: VirtualCluster, look: Look) -> None:
    masters = home.nodes[1].path("/var/lib/ganeti/queue")
    own = home.nodes[0].path("/var/lib/ganeti/queue")
    adapted, plain = look(f"""
        import os
        from ganeti import backend
        open({str(own)!r} + "/job-987654", "w").close()
        try:
            backend.JobQueueRename({str(masters)!r} + "/job-987654", {str(masters)!r} + "/archive/98/job-987654")
        except RuntimeError as error:
            tell("not a virtual path" in str(error))
        else:
            tell(os.listdir({str(own)!r} + "/archive/98"))
    """)
    shutil.rmtree(own / "archive/98")
    (own / "job-987654").unlink()
    assert (adapted, plain) == (["job-987654"], True)


def test_transfer_certificates(home: VirtualCluster, look: Look) -> None:
    adapted, plain = look("""
        import OpenSSL
        from ganeti import backend, constants
        name, pem = backend.CreateX509Certificate(3600)
        backend.RemoveX509Certificate(name)
        certificate = OpenSSL.crypto.load_certificate(OpenSSL.crypto.FILETYPE_PEM, pem)
        tell([certificate.get_subject().CN, constants.X509_CERT_CN])
    """)
    own_name, expected = plain
    assert own_name == home.master.name
    assert adapted == [expected if home.ganeti.series == "3.0" else own_name, expected]


def test_installation_paths(home: VirtualCluster, look: Look) -> None:
    adapted, plain = look("""
        from ganeti import constants, pathutils
        tell([constants.PKGLIBDIR, constants.TOOLSDIR, pathutils.DAEMON_UTIL])
    """)
    farm = str(home.parts.farm.folder)
    assert all(path.startswith(farm) for path in adapted)
    assert not any(path.startswith(farm) for path in plain)


def test_search_paths(look: Look) -> None:
    adapted, plain = look("""
        from ganeti import backend
        try:
            tell(backend.OSFromDisk("dd+default").name)
        except backend.RPCFail as error:
            tell(type(error).__name__)
    """)
    assert (adapted, plain) == ("dd", "RPCFail")


def test_ssh_host_keys(home: VirtualCluster, look: Look) -> None:
    adapted, plain = look("""
        from ganeti import constants
        tell([constants.SSH_HOST_RSA_PUB, constants.SSH_DAEMON_KEYFILES["rsa"][1]])
    """)
    assert plain == ["/etc/ssh/ssh_host_rsa_key.pub"] * 2
    assert adapted == [str(home.master.path(path)) for path in plain]
    assert all(Path(path).is_file() for path in adapted)


def test_own_hosts_file(home: VirtualCluster, look: Look) -> None:
    adapted, plain = look("""
        from ganeti import pathutils, vcluster
        tell([pathutils.ETC_HOSTS, vcluster.MakeVirtualPath(pathutils.ETC_HOSTS)])
    """)
    assert adapted == [str(home.master.path("/etc/hosts")), "/###-VIRTUAL-PATH-###,/etc/hosts"]
    assert plain == ["/etc/hosts", "/etc/hosts"]


def test_optional_daemons(look: Look) -> None:
    adapted, plain = look("""
        from ganeti import constants
        tell(constants.ENABLE_MOND)
    """)
    assert adapted is False
    assert plain is True


def test_own_localhost(home: VirtualCluster, look: Look) -> None:
    adapted, plain = look("""
        from ganeti import constants
        tell(constants.IP4_ADDRESS_LOCALHOST)
    """)
    assert (adapted, plain) == (home.master.ip, "127.0.0.1")


def test_node_report(home: VirtualCluster, look: Look) -> None:
    report = home.master.path("/etc/vcluster-node.json")
    report.write_text(json.dumps({"memory": 1234, "cpus": 77}), encoding="utf-8")
    adapted, plain = look("""
        from ganeti.hypervisor import hv_fake
        info = hv_fake.FakeHypervisor().GetNodeInfo()
        tell([info["memory_total"], info["cpu_total"]])
    """)
    report.unlink()
    assert adapted == [1234, 77]
    assert plain[1] == os.cpu_count()


def test_rpc_faults(home: VirtualCluster, look: Look) -> None:
    folder = home.master.path("/etc/vcluster-faults/rpc")
    folder.mkdir(parents=True)
    fault = {"rpc": "version", "kind": "fail", "text": "on purpose"}
    (folder / "1.json").write_text(json.dumps(fault), encoding="utf-8")
    for notes in ("1.taken", "1.struck"):
        (folder / notes).touch()
    adapted, plain = look("""
        from ganeti import constants
        from ganeti.server import noded
        class Request:
            request_method, request_path, request_body = "POST", "/version", "[]"
        answer = json.loads(noded.NodeRequestHandler().HandleRequest(Request()))
        tell([answer[0], answer[1] == constants.PROTOCOL_VERSION or answer[1]])
    """)
    shutil.rmtree(folder.parent)
    assert (adapted, plain) == ([False, "on purpose"], [True, True])


def test_node_clock(home: VirtualCluster, look: Look) -> None:
    clock = home.master.path("/etc/vcluster-faults/clock")
    clock.parent.mkdir(parents=True)
    clock.write_text("-1000000\n", encoding="ascii")
    adapted, plain = look("""
        import time
        from ganeti import backend, constants
        told = backend.VerifyNode({constants.NV_TIME: None}, "cluster.vc", {})[constants.NV_TIME]
        tell(round(time.time() - told[0], -3))
    """)
    shutil.rmtree(clock.parent)
    assert (adapted, plain) == (1000000, 0)


def test_no_sysrq(look: Look) -> None:
    adapted, plain = look("""
        import os.path
        exists, isfile = os.path.exists, os.path.isfile
        os.path.exists = lambda path: path != "/proc/sysrq-trigger" and exists(path)
        os.path.isfile = lambda path: path != "/proc/sysrq-trigger" and isfile(path)
        from ganeti import backend, constants
        tell(backend.VerifyNode({constants.NV_NODESETUP: None}, "cluster.vc", {})[constants.NV_NODESETUP])
    """)
    assert adapted == []
    [message] = plain
    assert "/proc/sysrq-trigger" in message


def test_power_cycle(home: VirtualCluster, look: Look) -> None:
    # Looked at, never called; tests/rows/test_power.py shows what ours does.
    adapted, plain = look("""
        from ganeti.hypervisor import hv_base
        tell(hv_base.BaseHypervisor.LinuxPowercycle.__func__.__code__.co_filename)
    """)
    assert Path(adapted).name == "power.py"
    assert Path(plain) == home.ganeti.share / "ganeti/hypervisor/hv_base.py"


def test_boot_id(home: VirtualCluster, look: Look) -> None:
    adapted, plain = look("""
        from ganeti import backend
        tell(backend.GetNodeInfo([], [])[0])
    """)
    assert adapted == home.master.path("/var/run/vcluster-boot-id").read_text(encoding="ascii").strip()
    assert plain == Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def test_xen_power_cycle(look: Look) -> None:
    # As above; and Xen is not asked either.
    adapted, plain = look("""
        from ganeti.hypervisor import hv_base, hv_xen
        asked = []
        hv_base.BaseHypervisor.LinuxPowercycle = classmethod(lambda cls: asked.append("linux"))
        hv_xen.utils.RunCmd = asked.append
        hv_xen.XenPvmHypervisor().PowercycleNode({"xen_cmd": "xl"})
        tell(asked)
    """)
    assert adapted == ["linux"]
    assert plain == ["linux", ["xl", "debug", "R"]]


def test_spare_descriptors(look: Look) -> None:
    adapted, plain = look("""
        import pwd, resource
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        pwd.getpwnam("gnt-masterd")
        from ganeti import utils
        utils.CloseFDs()
        taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
        try:
            tell(pwd.getpwnam("gnt-masterd").pw_uid)
        except KeyError:
            tell(None)
    """)
    assert adapted == os.getuid()
    assert plain is None


def test_command_environment(home: VirtualCluster, look: Look) -> None:
    adapted, plain = look("""
        from ganeti import utils
        output = utils.RunCmd(["env"], reset_env=True).stdout
        tell(dict(line.split("=", 1) for line in output.splitlines() if "=" in line))
    """)
    assert adapted["GANETI_HOSTNAME"] == home.master.name
    assert adapted["LD_PRELOAD"]
    assert adapted["VCLUSTER_TOKEN"]
    assert not {"GANETI_HOSTNAME", "LD_PRELOAD", "VCLUSTER_TOKEN"} & set(plain)


def test_hooks_data_dir(home: VirtualCluster, look: Look) -> None:
    home.scripts.add_hook("node-add", "pre", 'echo "$GANETI_DATA_DIR"', nodes=["node1"])
    adapted, plain = look("""
        from ganeti import backend
        [(name, status, output)] = backend.HooksRunner().RunHooks(
            "node-add", "pre", {"GANETI_DATA_DIR": "/other/var/lib/ganeti"})
        tell(output)
    """)
    assert adapted == str(home.master.path("/var/lib/ganeti"))
    assert plain == "/other/var/lib/ganeti"


def test_restricted_command_owner(home: VirtualCluster, look: Look) -> None:
    [command] = home.scripts.add_restricted_command("trial", "echo done", nodes=["node1"])
    adapted, plain = look(f"""
        from ganeti import backend
        tell(backend._PrepareRestrictedCmd({str(command.parent)!r}, "trial"))
    """)
    assert adapted == [True, str(command)]
    assert plain == [False, f"'{command.parent}' is not owned by 0:0"]


def test_remote_public_keys(home: VirtualCluster, look: Look) -> None:
    own, others = (
        node.path("/root/.ssh/id_rsa.pub").read_text(encoding="ascii").strip() for node in home.nodes
    )
    adapted, plain = look(f"""
        from ganeti import constants, ssh
        key = ssh.ReadRemoteSshPubKeys({str(home.master.path("/root/.ssh/id_rsa.pub"))!r}, {home.nodes[1].name!r},
            {home.name!r}, {home.parts.site.ssh_port}, False, False)
        tell(key.strip())
    """)
    assert own != others
    assert (adapted, plain) == (others, own)


def test_writable_targets(home: VirtualCluster, look: Look) -> None:
    source, target = (node.path("/etc/trial") for node in home.nodes)
    source.write_text("new\n", encoding="ascii")
    source.chmod(0o400)
    target.write_text("old\n", encoding="ascii")
    target.chmod(0o400)
    adapted, plain = look(f"""
        from ganeti import ssh
        tell(ssh.SshRunner({home.name!r}).CopyFileToNode(
            {home.nodes[1].name!r}, {home.parts.site.ssh_port}, {str(source)!r}))
    """)
    assert (adapted, plain) == (True, False)
    assert target.read_text(encoding="ascii") == "new\n"


# What is left out, and what is not there


def test_wrong_name_is_told(home: VirtualCluster) -> None:
    result = home.run("gnt-cluster", "version", check=False, env={activation.WITHOUT: "nonsense"})
    assert result.returncode
    assert "there is no adaptation nonsense" in result.stderr


def test_root_never_does_without_what_keeps_the_machine_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(activation.WITHOUT, "no-console,power-cycle")
    assert not {"no-console", "power-cycle"} & {one.name for one in activation.wanted()}
    monkeypatch.setattr(os, "getuid", lambda: 0)
    with pytest.raises(
        ValueError, match="root must not leave out own-hosts-file, power-cycle, xen-power-cycle"
    ):
        activation.wanted()


def test_ganeti_in_which_a_target_is_missing(home: VirtualCluster, tmp_path: Path) -> None:
    ganeti = home.ganeti
    share = tmp_path / "usr/share/ganeti" / ganeti.series
    shutil.copytree(ganeti.share, share, ignore=shutil.ignore_patterns("__pycache__"))
    lib = tmp_path / "usr/lib/ganeti"
    lib.mkdir(parents=True)
    (lib / ganeti.series).symlink_to(ganeti.lib)
    netutils = share / "ganeti/netutils.py"
    netutils.write_text(netutils.read_text(encoding="utf-8").replace("def TcpPing(", "def TcpProbe("))

    with pytest.raises(AdaptationFailed, match=f"{ganeti.version}.* cannot be adapted") as caught:
        build_cluster(ClusterSpec(nodes=1, ganeti=str(tmp_path)), home.parts.settings)
    assert (
        "adaptation 'truthful-ping' does not fit this Ganeti: ganeti.netutils has no TcpPing"
        in caught.value.seen
    )
    assert str(netutils) in caught.value.seen
    assert len(caught.value.seen.splitlines()) == 1


def test_daemon_util_that_does_not_fit(home: VirtualCluster, tmp_path: Path) -> None:
    pkglib = tmp_path / "pkglib"
    shutil.copytree(home.ganeti.pkglib, pkglib, symlinks=True)
    script = pkglib / "daemon-util"
    script.write_text(script.read_text(encoding="utf-8").replace("use_systemctl()", "want_systemctl()"))
    with pytest.raises(AdaptationFailed, match="the edit 'systemd' of daemon-util does not fit"):
        build_farm(attrs.evolve(home.ganeti, pkglib=pkglib), tmp_path / "farm", ())
