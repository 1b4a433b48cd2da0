import pytest

from pytest_ganeti_vcluster.errors import JobFailed


def test_an_instance_that_cannot_be_started(vcluster):
    node = vcluster.node("node2")
    with node.fail_rpc("instance_start", "no memory", times=1) as fault:
        with pytest.raises(JobFailed, match="Could not start instance: no memory"):
            vcluster.add_instance("instance1", primary=node)
        assert fault.struck == 1
    # It was created, and can be started now.
    vcluster.instance("instance1").start()


def test_what_others_see_while_an_instance_is_created(vcluster):
    op = {
        "OP_ID": "OP_INSTANCE_CREATE",
        "instance_name": "instance1.vc",
        "mode": "create",
        "pnode": "node2.vc",
        "disk_template": "file",
        "disks": [{"size": 16}],
        "nics": [],
        "os_type": "dd+default",
    }
    with vcluster.during(op, after="disks") as moment:
        assert list(vcluster.node("node2").path("/srv/ganeti/file-storage/instance1.vc").iterdir())
        assert vcluster.instances == []
    moment.job.wait()
    assert [one.name for one in vcluster.instances] == ["instance1.vc"]
