import time


def delay(seconds, **fields):
    return {"OP_ID": "OP_TEST_DELAY", "duration": seconds, "on_master": True, **fields}


def configs(cluster):
    return [node.path("/var/lib/ganeti/config.data").read_bytes() for node in cluster.nodes]


def test_cluster_is_sound(vcluster):
    assert vcluster.verify() == []
    shown = vcluster.run("gnt-cluster", "version").stdout
    assert f"Software version: {vcluster.ganeti.version}" in shown
    for node in vcluster.nodes:
        said = node.run("gnt-cluster", "getmaster", check=False)
        assert said.stdout.strip() == vcluster.master.name


def test_jobs_run_side_by_side(vcluster):
    first, second = vcluster.submit(delay(0.5)), vcluster.submit(delay(0.5))
    for job in (first, second):
        job.wait(timeout=60)
    assert second.start_timestamp < first.end_timestamp


def test_waiting_job_is_cancelled(vcluster):
    node = vcluster.nodes[1]
    names = {"on_nodes": [node.name], "on_master": False}
    running = vcluster.submit(delay(60, **names))
    waiting = vcluster.submit({"OP_ID": "OP_NODE_SET_PARAMS", "node_name": node.name, "drained": True})

    assert waiting.cancel()

    assert waiting.status == "canceled"
    assert running.status in {"waiting", "running"}
    running.cancel(kill=True)
    assert vcluster.luxi.query("node", ["drained"], ["=", "name", node.name]).column("drained") == [False]


def test_instance_life(vcluster):
    first, second, _third = vcluster.nodes
    web = vcluster.add_instance("web", primary=first)
    web.migrate(second)
    web.stop()
    web.modify(beparams={"memory": 256})
    web.rename("www")
    web.start()
    assert (web.name, web.status, web.primary) == ("www.vc", "running", second)
    web.remove()
    assert vcluster.verify() == []


def test_config_reaches_every_candidate(vcluster):
    vcluster.run("gnt-cluster", "add-tags", "tested")
    # wconfd sends it on by itself, after it has written it.
    deadline = time.monotonic() + 30
    while len(set(configs(vcluster))) > 1:
        assert time.monotonic() < deadline, "nodes have different configurations"
        time.sleep(0.05)
    assert b'"tested"' in configs(vcluster)[0]


def test_master_dies(vcluster):
    old, new, _third = vcluster.nodes
    web = vcluster.add_instance("web", primary=new)
    old.power_off()

    new.run("gnt-cluster", "master-failover")

    assert vcluster.master is new
    assert web.status == "running"
    web.remove()
    old.power_on()
    # It comes back without what only the master has.
    assert "noded" in old.daemons
    assert {"luxid", "rapi", "wconfd"}.isdisjoint(old.daemons)
