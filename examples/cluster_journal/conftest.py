from cluster_journal import (  # noqa: F401 - here pytest finds them
    pytest_vcluster_closed,
    pytest_vcluster_created,
    pytest_vcluster_fault,
    pytest_vcluster_spec,
)
