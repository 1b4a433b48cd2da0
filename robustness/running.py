"""One seed: operations and faults at the same time, then healing, then what may not be otherwise."""

from __future__ import annotations

import json
import threading
from collections.abc import Set as AbstractSet
from typing import TextIO

import attrs

from pytest_ganeti_vcluster.cluster.invariants.broken import Broken
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster
from pytest_ganeti_vcluster.errors import VClusterError
from robustness import plan
from robustness.harming import Saboteur
from robustness.healing import bring_back
from robustness.history import History
from robustness.known import Known, put_right
from robustness.model import DONE, FAILED, UNKNOWN, State
from robustness.operating import Operator

#: Instances that the operations are about.
INSTANCES = 6

#: Seconds that the cluster may take to come to rest once it is brought back.
_RESTING = 60.0

_CONFIG = "var/lib/ganeti/config.data"


@attrs.frozen
class Result:
    """What came of one seed: `wrong` is what must not be, `known` what is Ganeti's own and told elsewhere."""

    seed: int
    operations: int
    done: int
    failed: int
    unknown: int
    faults: int
    wrong: tuple[str, ...]
    known: tuple[Known, ...]

    def __str__(self) -> str:
        how = "all invariants hold" if not self.wrong else f"{len(self.wrong)} things are wrong"
        known = f" but for {len(self.known)} known of Ganeti" if self.known else ""
        return (
            f"seed {self.seed}: {self.operations} operations ({self.done} done, {self.failed} failed,"
            f" {self.unknown} unknown) under {self.faults} faults: {how}{known}"
        )


def run(
    cluster: VirtualCluster,
    seed: int,
    seconds: float,
    *,
    stream: TextIO | None = None,
    only: AbstractSet[str] = frozenset(),
) -> Result:
    """Work and harm a cluster for so many seconds, bring it back, and look at it; `only` some kinds of faults."""
    history = History(stream)
    nodes = [node.name.partition(".")[0] for node in cluster.nodes]
    history.write("seed", seed=seed, seconds=seconds, nodes=nodes, engine=cluster.engine)
    operator, saboteur, stop = Operator(cluster, history), Saboteur(cluster, history), threading.Event()
    capabilities = cluster.parts.site.capabilities
    harming = threading.Thread(
        target=saboteur.run, args=(plan.harms(seed, nodes, capabilities, only), seconds, stop)
    )
    harming.start()
    try:
        operator.run(plan.operations(seed, nodes, INSTANCES), seconds, stop)
    finally:
        stop.set()
        harming.join()
    broken: list[Broken] = []
    known: list[Known] = []
    wrong: list[str] = []
    try:
        bring_back(cluster, history)
        operator.settle()
        known = put_right(cluster, history)
        broken = cluster.check_invariants(_RESTING)
        # Settling may have found more.
        wrong = [*operator.wrong, *_compare(cluster, operator)]
    except VClusterError as error:
        wrong.append(f"the cluster could not be brought back: {error}")
    wrong += [str(one) for one in broken]
    for line in wrong:
        history.write("wrong", what=line)
    return Result(
        seed,
        history.count("begin"),
        history.count("end", outcome=DONE),
        history.count("end", outcome=FAILED),
        history.count("end", outcome=UNKNOWN),
        history.count("fault"),
        tuple(wrong),
        tuple(known),
    )


def _compare(cluster: VirtualCluster, operator: Operator) -> list[str]:
    """Say which instances are not as the answers to the operations on them allow."""
    config = json.loads((cluster.master.root / _CONFIG).read_text(encoding="utf-8"))
    found = {
        str(one["name"]).partition(".")[0]: State(
            there=True,
            running=one["admin_state"] == "up",
            memory=int(one["beparams"].get("maxmem", 0)),
            tags=frozenset(one.get("tags", ())),
        )
        for one in config["instances"].values()
    }
    names = [f"robust{number}" for number in range(1, INSTANCES + 1)]
    wrong = [operator.model.wrong(name, found.get(name, State())) for name in names]
    strangers = [f"{name} is there, and nobody has made it" for name in found.keys() - set(names)]
    return [one for one in (*wrong, *strangers) if one]
