import pytest

from pytest_ganeti_vcluster.errors import JobFailed

pytestmark = pytest.mark.vcluster(nodes=2, disk_templates=("diskless", "sharedfile"))


def test_from_creation_to_removal(vcluster):
    create = {
        "OP_ID": "OP_INSTANCE_CREATE",
        "instance_name": "web.vc",
        "mode": "create",
        "disk_template": "sharedfile",
        "disks": [{"size": 16}],
        "nics": [{}],
        "os_type": "dd+default",
        "hypervisor": "fake",
        "pnode": "node1.vc",
    }
    assert vcluster.submit(create).wait(timeout=60) == [["node1.vc"]]

    def where():
        [row] = vcluster.luxi.query("instance", ["name", "pnode", "status"]).rows
        return row["name"], row["pnode"], row["status"]

    def do(opcode, **fields):
        vcluster.submit({"OP_ID": opcode, "instance_name": where()[0], **fields}).wait(timeout=60)

    assert where() == ("web.vc", "node1.vc", "running")
    do("OP_INSTANCE_MIGRATE", target_node="node2.vc")
    assert where() == ("web.vc", "node2.vc", "running")
    do("OP_INSTANCE_SHUTDOWN")
    assert where() == ("web.vc", "node2.vc", "ADMIN_down")
    do("OP_INSTANCE_RENAME", new_name="www.vc")
    do("OP_INSTANCE_STARTUP")
    assert where() == ("www.vc", "node2.vc", "running")
    do("OP_INSTANCE_REMOVE", ignore_failures=False)
    assert vcluster.instances == []


def test_the_same_in_short(vcluster):
    web = vcluster.add_instance("web", "sharedfile", primary="node1")
    web.migrate("node2")
    assert web.primary.name == "node2.vc"
    web.stop()
    web.rename("www")
    web.start()
    assert (web.name, web.status) == ("www.vc", "running")
    web.remove()
    assert vcluster.verify() == []


def test_job_that_fails(vcluster):
    vcluster.add_instance("web", primary="node1")
    with pytest.raises(JobFailed) as caught:
        vcluster.add_instance("web", primary="node2")
    assert caught.value.opcode == "OP_INSTANCE_CREATE"
    assert "already in the cluster" in caught.value.error
