"""What the tests of the rows show is told with their reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rows import showing

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            showing.attach(item)
