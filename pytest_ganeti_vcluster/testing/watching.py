"""What a cluster did since a moment: what its daemons logged, and which jobs failed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_ganeti_vcluster.clients.records import FINAL
from pytest_ganeti_vcluster.cluster.faults.fault import Fault
from pytest_ganeti_vcluster.cluster.virtual_cluster import VirtualCluster

_LINES = 60
_LINE_LENGTH = 500
_MOST_BYTES = 256 * 1024
_MOST_JOBS = 20
#: The kernel's clock for files runs behind by up to a tick.
_TICK = 0.01


class Watch:
    """A cluster watched from now on. Reads files only, so it works on a cluster whose daemons are dead."""

    def __init__(self, cluster: VirtualCluster) -> None:
        self.cluster = cluster
        #: Whether what the test did to it was undone.
        self.is_over = False
        self._began = time.time() - _TICK
        self._before = [one for one in cluster.fault_registry.history if not one.in_force]
        self._sizes = {path: path.stat().st_size for _name, path in _logs(cluster)}

    @property
    def is_closed(self) -> bool:
        """Whether there is nothing left to read."""
        return not self.cluster.root.is_dir()

    def faults(self) -> list[Fault]:
        """Return the faults that have been in force since then, oldest first."""
        return [one for one in self.cluster.fault_registry.history if one not in self._before]

    def logged(self) -> list[tuple[str, str]]:
        """Return what was written to each log of each node since then, as titles and texts."""
        sections = []
        for name, path in _logs(self.cluster):
            lines = _growth(path, self._sizes.get(path, 0))
            if lines:
                bound = f", the last {_LINES} of {len(lines)} lines" if len(lines) > _LINES else ""
                text = "\n".join(line[:_LINE_LENGTH] for line in lines[-_LINES:])
                sections.append((f"{name}{bound}", text))
        return sections

    def failed_jobs(self) -> list[str]:
        """Describe the jobs that ended other than well since then; one text for each."""
        texts = []
        for path in _job_files(self.cluster.master.root):
            try:
                if path.stat().st_mtime < self._began:
                    continue
                job = json.loads(path.read_text(encoding="utf-8"))
                texts += _describe(job)
            except (OSError, ValueError, KeyError, TypeError, IndexError):
                # It is being written, archived, or not what it should be: then the logs must do.
                continue
        return texts[-_MOST_JOBS:]


def _logs(cluster: VirtualCluster) -> Iterator[tuple[str, Path]]:
    for node in cluster.nodes:
        folder = node.root / "var/log/ganeti"
        for path in sorted(folder.rglob("*.log")):
            if path.is_file():
                yield f"{node.name}: {path.relative_to(folder)}", path


def _growth(path: Path, before: int) -> list[str]:
    try:
        with path.open("rb") as log:
            size = log.seek(0, 2)
            # A log that has become shorter was begun anew.
            start = before if before <= size else 0
            log.seek(max(start, size - _MOST_BYTES))
            return log.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def _job_files(root: Path) -> list[Path]:
    queue = root / "var/lib/ganeti/queue"
    files = [*queue.glob("job-*"), *queue.glob("archive/*/job-*")]
    return sorted(files, key=lambda path: int(path.name.partition("-")[2]) if path.name[4:].isdigit() else 0)


def _describe(job: dict[str, Any]) -> list[str]:
    """Describe a job as its file has it (lib/jqueue: `_QueuedJob.Serialize`) if it ended other than well."""
    for op in job["ops"]:
        status = str(op["status"])
        if status not in FINAL or status == "success":
            continue
        log = [str(entry[-1]) for entry in op.get("log") or []]
        head = f"job {job['id']}: {op['input'].get('OP_ID', '?')} {status}: {_message(op.get('result'))}"
        return ["\n    ".join([head, *log])]
    return []


def _message(result: Any) -> str:
    # A failed opcode's result is [error class, [argument, ...]] (lib/errors.py: EncodeException).
    if isinstance(result, list) and len(result) == 2 and isinstance(result[1], list):  # noqa: PLR2004
        return f"{result[0]}: {', '.join(str(argument) for argument in result[1])}"
    return str(result)
