"""The dynamic loader asked about real programs, made to lack something."""

from __future__ import annotations

from pathlib import Path

from pytest_ganeti_vcluster.ganeti.fetch.libraries import missing_libraries, programs_below


def altered_program(folder: Path) -> Path:
    """A copy of a real program that needs a C library which is nowhere."""
    path = folder / "program"
    path.write_bytes(Path("/bin/true").read_bytes().replace(b"libc.so.6", b"libc.so.9"))
    path.chmod(0o755)
    return path


def test_a_program_that_has_all_misses_nothing() -> None:
    assert missing_libraries([Path("/bin/true")], []) == {}


def test_a_library_that_is_nowhere_is_named_with_who_needs_it(tmp_path: Path) -> None:
    path = altered_program(tmp_path)
    assert missing_libraries([path], [])["libc.so.9"] == path


def test_a_library_that_cannot_be_loaded_is_missing_too(tmp_path: Path) -> None:
    path = altered_program(tmp_path)
    (tmp_path / "libc.so.9").write_bytes(b"")
    assert list(missing_libraries([path], [tmp_path])) == [str(tmp_path / "libc.so.9")]


def test_programs_are_found_by_what_they_are(tmp_path: Path) -> None:
    path = altered_program(tmp_path)
    (tmp_path / "script").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "empty").write_bytes(b"")
    assert programs_below(tmp_path) == [path]
