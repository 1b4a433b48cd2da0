"""The copies of the job queue that the master candidates have."""

from __future__ import annotations

from typing import Any

from ..adapting import Adaptation
from ..place import Place


def _archived_jobs(module: Any, place: Place) -> None:
    original = module.JobQueueRename

    def as_virtual(path: str) -> str:
        if path.startswith(place.cluster_root + "/"):
            path = module.vcluster.MakeVirtualPath(place.own_path(path))
        return path

    def JobQueueRename(old: str, new: str) -> Any:
        return original(as_virtual(old), as_virtual(new))

    module.JobQueueRename = JobQueueRename


ADAPTATIONS = (
    Adaptation(
        name="archived-jobs",
        module="ganeti.backend",
        targets=("JobQueueRename", "vcluster.MakeVirtualPath"),
        what="Jobs are archived on all master candidates, as on the master.",
        why="luxid names their files by its own node's root here (src/Ganeti/JQueue.hs, archiveJobs), which other nodes"
        " refuse; after a failover all archived jobs would be back.",
        apply=_archived_jobs,
    ),
)
