"""A pytest plugin that keeps a journal of clusters and faults, and has the daemon run that our tools ask."""

import os
import time
from pathlib import Path


def pytest_addoption(parser):
    parser.addoption("--cluster-journal", type=Path, help="Where to write a line for each cluster and fault.")


def pytest_vcluster_spec(keywords):
    keywords["daemons"] = sorted({"confd", *keywords.get("daemons", ())})


def pytest_vcluster_created(config, cluster, how, seconds):
    write(config, f"{cluster.name} of {len(cluster.nodes)} nodes was {how} in {seconds:.1f} s")


def pytest_vcluster_closed(config, name, seconds, error):
    outcome = "was closed" if error is None else f"could not be closed ({error.message})"
    write(config, f"{name} {outcome} after {seconds:.1f} s")


def pytest_vcluster_fault(config, cluster, fault, change):
    after = "" if fault.lifted is None else f" after {fault.lifted - fault.began:.1f} s"
    write(config, f"{cluster.name}: {fault.what} ({change}{after})")


def write(config, text):
    journal = config.getoption("--cluster-journal")
    if journal is not None:
        # Each worker of pytest-xdist has clusters of its own, and all have one journal.
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        with journal.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {worker} {text}\n")
