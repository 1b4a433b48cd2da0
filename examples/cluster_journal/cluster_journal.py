"""A pytest plugin that keeps a journal of clusters and faults, and has the daemon run that our tools ask."""

import os
import time
from pathlib import Path


def pytest_vcluster_spec(keywords):
    keywords["daemons"] = sorted({"confd", *keywords.get("daemons", ())})


def pytest_vcluster_created(cluster, how, seconds):
    write(f"{cluster.name} of {len(cluster.nodes)} nodes was {how} in {seconds:.1f} s")


def pytest_vcluster_closed(name, seconds, error):
    outcome = "was closed" if error is None else f"could not be closed ({error.message})"
    write(f"{name} {outcome} after {seconds:.1f} s")


def pytest_vcluster_fault(cluster, fault, change):
    after = "" if fault.lifted is None else f" after {fault.lifted - fault.began:.1f} s"
    write(f"{cluster.name}: {fault.what} ({change}{after})")


def write(text):
    journal = os.environ.get("CLUSTER_JOURNAL")
    if journal:
        # Each worker of pytest-xdist has clusters of its own, and all have one journal.
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        with Path(journal).open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {worker} {text}\n")
