"""For all tests of this project."""

pytest_plugins = ["pytester", "tests.rows.recording", "tests.faults.recording"]
