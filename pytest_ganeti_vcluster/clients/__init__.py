"""Clients of a running Ganeti: LUXI, jobs, RAPI, confd. They know nothing of pytest, processes or engines."""

from __future__ import annotations

from pytest_ganeti_vcluster.clients.confd import ConfdClient, ConfdReply
from pytest_ganeti_vcluster.clients.jobs import Job, submit
from pytest_ganeti_vcluster.clients.luxi import LuxiClient
from pytest_ganeti_vcluster.clients.rapi import RapiClient
from pytest_ganeti_vcluster.clients.records import JobChange, JobRecord, LogEntry
from pytest_ganeti_vcluster.clients.rows import Cell, FieldDefinition, QueryResult, ResultStatus
from pytest_ganeti_vcluster.clients.transport import LuxiTimeout, LuxiUnreachable
from pytest_ganeti_vcluster.clients.wconfd import LockOwner, WconfdClient

__all__ = [
    "Cell",
    "ConfdClient",
    "ConfdReply",
    "FieldDefinition",
    "Job",
    "JobChange",
    "JobRecord",
    "LockOwner",
    "LogEntry",
    "LuxiClient",
    "LuxiTimeout",
    "LuxiUnreachable",
    "QueryResult",
    "RapiClient",
    "ResultStatus",
    "WconfdClient",
    "submit",
]
