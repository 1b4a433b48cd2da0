"""What can go wrong, as one tree, sorted by whose fault it is.

`VClusterError`
    `UserError`            the request is wrong: change the request
        `SpecError`        a cluster spec, marker or option that cannot be
        `ResultsError`     results of a sweep that are not what they should be
        `CassetteError`    a cassette of RAPI exchanges that is not there, or not what it should be
    `MachineError`         the machine lacks something: `ganeti-vcluster doctor` tells the cure
        `GanetiNotFound`, `InstallFailed`, `NoFreeAddresses`, `PathTooLong`, `DiskFull`, `ImageCacheUnusable`,
        `EngineUnavailable`, `ExtraMissing`
    `GanetiError`          Ganeti said no, or did not do what it should
        `BootFailed`, `DaemonDied`, `AdaptationFailed`, `ResetFailed`, `HealFailed`, `FaultNotStruck`,
        `CommandFailed`, `LuxiError`, `WconfdError`, `RapiError`, `JobFailed`, `JobTimeout`
        `InstancesFailed`  some of many instances could not be created
    `KeeperError`          the process that owns a cluster cannot be reached
        `RootTaken`        the folder asked for is another cluster's
    `ImageError`           an image of a cluster could not be had
        `ImageDamaged`     one is not what it was when it was made: it is discarded and built again

Every error says what was tried, what was seen and what to do next, and survives pickling, because
pytest-xdist sends errors from one process to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class VClusterError(Exception):
    """Say what was tried (`message`), what was seen (`seen`, such as the end of a log) and what to do (`cure`)."""

    def __init__(self, message: str, *, seen: str = "", cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.seen = seen
        self.cure = cure
        #: What is left to look at of a cluster that is gone (`cluster.remains.Remains`); not sent to other processes.
        self.remains: Any = None

    def __str__(self) -> str:
        parts = [self.message]
        if self.seen.strip():
            parts.append("\n".join("    " + line for line in self.seen.rstrip().splitlines()))
        if self.cure:
            parts.append("What to do: " + self.cure)
        return "\n".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are rebuilt from their positional arguments; ours carry keyword ones.
        return (_rebuild, (type(self), self.args, {**self.__dict__, "remains": None}))


def _rebuild(cls: type[VClusterError], args: tuple[Any, ...], state: dict[str, Any]) -> VClusterError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class UserError(VClusterError):
    """The request is wrong."""


class SpecError(UserError):
    """A cluster spec, marker or option has a value that cannot be."""


class ResultsError(UserError):
    """Results of a sweep, or the file that keeps them, are not what they should be."""


class CassetteError(UserError):
    """A cassette of exchanges with a RAPI is not there, or is not what it should be."""


class MachineError(VClusterError):
    """The machine lacks something that a cluster needs."""


class GanetiNotFound(MachineError):
    """No usable Ganeti installation was found."""


class InstallFailed(MachineError):
    """`ganeti-vcluster install` could not finish; what was fetched so far is kept for the next try."""


class NoFreeAddresses(MachineError):
    """Every block of loopback addresses in the pool is in use."""


class PathTooLong(MachineError):
    """A folder is so deep that Ganeti's Unix sockets in it would exceed the kernel's 107 bytes."""


class DiskFull(MachineError):
    """There is not enough room for a cluster."""


class ImageCacheUnusable(MachineError):
    """The folder for images of clusters cannot be used."""


class EngineUnavailable(MachineError):
    """The engine asked for cannot run on this machine."""


class ExtraMissing(MachineError):
    """A Python package is missing that only some of what this product does needs."""


class KeeperError(VClusterError):
    """The process that owns a cluster cannot be reached, or refused."""


class ImageError(VClusterError):
    """An image of a cluster could not be had."""


class ImageDamaged(ImageError):
    """An image is not what it was when it was made: something is changed, missing or additional, or it is gone."""


class RootTaken(KeeperError):
    """Somebody else has made, or is making, a cluster in the folder that was asked for."""


class GanetiError(VClusterError):
    """Ganeti refused, failed, or did not do what it should."""


class BootFailed(GanetiError):
    """A cluster did not come up."""


class ResetFailed(GanetiError):
    """A cluster could not be put back to an earlier state; a new one can be had."""


class HealFailed(GanetiError):
    """Faults of a cluster could not be lifted; a new cluster can be had."""


class FaultNotStruck(GanetiError):
    """Ganeti did not do what a fault waits for, such as an RPC: not in the time given, or not before it was lifted."""


class DaemonDied(BootFailed):
    """A daemon ended, or never answered, while it was waited for."""


class AdaptationFailed(BootFailed):
    """An adaptation does not fit this Ganeti: what it changes is not there."""


class CommandFailed(GanetiError):
    """A command on a virtual node ended with a status that was not asked for; `result` has all of it."""

    def __init__(self, message: str, *, result: Any = None, seen: str = "", cure: str = "") -> None:
        super().__init__(message, seen=seen, cure=cure)
        self.result = result


class LuxiError(GanetiError):
    """LUXI answered with an error, broke off or did not answer.

    `kind` is Ganeti's error class (`"OpPrereqError"`, ...; lib/errors.py), empty where the error is not
    Ganeti's; `details` are its arguments.
    """

    def __init__(
        self, message: str, *, kind: str = "", details: tuple[Any, ...] = (), seen: str = "", cure: str = ""
    ) -> None:
        super().__init__(message, seen=seen, cure=cure)
        self.kind = kind
        self.details = details


class WconfdError(GanetiError):
    """wconfd answered with an error, broke off or did not answer; `kind` and `details` as in `LuxiError`."""

    def __init__(
        self, message: str, *, kind: str = "", details: tuple[Any, ...] = (), seen: str = "", cure: str = ""
    ) -> None:
        super().__init__(message, seen=seen, cure=cure)
        self.kind = kind
        self.details = details


class RapiError(GanetiError):
    """RAPI answered with an HTTP error, or not at all; `status` is the HTTP status, 0 without an answer."""

    def __init__(self, message: str, *, status: int = 0, seen: str = "", cure: str = "") -> None:
        super().__init__(message, seen=seen, cure=cure)
        self.status = status


class JobFailed(GanetiError):
    """A job ended with an error or was cancelled.

    `job_id`, `status` (`"error"`, `"canceled"`), `opcode` (the `OP_ID` that failed), `error` (Ganeti's own
    message), `kind` (Ganeti's error class) and `log` (list of the job's log messages, in order).
    """

    def __init__(
        self,
        message: str,
        *,
        job_id: int = 0,
        status: str = "",
        opcode: str = "",
        error: str = "",
        kind: str = "",
        log: tuple[str, ...] = (),
        seen: str = "",
        cure: str = "",
    ) -> None:
        super().__init__(message, seen=seen or "\n".join(log), cure=cure)
        self.job_id = job_id
        self.status = status
        self.opcode = opcode
        self.error = error
        self.kind = kind
        self.log = log


class InstancesFailed(JobFailed):
    """Some of the instances that were asked for at once could not be created; the others are there.

    `failures` has the `JobFailed` of each by the instance's name; all else is as in the first of these.
    """

    def __init__(
        self, message: str, *, failures: Mapping[str, JobFailed] | None = None, seen: str = "", cure: str = ""
    ) -> None:
        self.failures = dict(failures or {})
        first = next(iter(self.failures.values()), JobFailed(""))
        super().__init__(
            message,
            job_id=first.job_id,
            status=first.status,
            opcode=first.opcode,
            error=first.error,
            kind=first.kind,
            log=first.log,
            seen=seen or str(first),
            cure=cure,
        )


class JobTimeout(GanetiError):
    """A job did not end in the time given; it goes on."""

    def __init__(
        self, message: str, *, job_id: int = 0, status: str = "", seen: str = "", cure: str = ""
    ) -> None:
        super().__init__(message, seen=seen, cure=cure)
        self.job_id = job_id
        self.status = status
