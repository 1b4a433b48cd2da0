"""What tests of faults see Ganeti do is told with their reports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.seeing import Looks


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Iterator[Looks]:
    """Keep what Ganeti was seen to do for the docs' matrix::

    look = seen(vcluster, "node.freeze()", "an instance is to be created on it")
    with node.freeze():
        look.told(error_text)       # with the seconds since the line before
    look.lifted()
    look.recovered("it answers again")
    """
    looks = Looks(request.node)
    yield looks
    looks.attach()
