from __future__ import annotations

from pytest_ganeti_vcluster import clients


def test_public_names() -> None:
    assert clients.__all__ == [
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
    assert all(hasattr(clients, name) for name in clients.__all__)
