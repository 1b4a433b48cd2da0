"""Errors teach, and travel between processes."""

from __future__ import annotations

import pickle

import pytest

from pytest_ganeti_vcluster import errors


def _all_errors(cls: type[errors.VClusterError]) -> list[type[errors.VClusterError]]:
    return [cls, *(found for sub in cls.__subclasses__() for found in _all_errors(sub))]


@pytest.mark.parametrize("cls", _all_errors(errors.VClusterError), ids=lambda cls: cls.__name__)
def test_every_error_survives_pickling_whole(cls: type[errors.VClusterError]) -> None:
    # pytest-xdist sends errors from workers to the controller.
    error = cls("tried this", seen="saw that\nand that", cure="do so")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_text_says_what_was_tried_seen_and_to_do() -> None:
    text = str(errors.BootFailed("could not boot", seen="line 1\nline 2", cure="look"))
    assert text == "could not boot\n    line 1\n    line 2\nWhat to do: look"


def test_a_failed_job_shows_its_log() -> None:
    error = errors.JobFailed("job 3 failed", job_id=3, log=("creating disks", "no room"))
    assert "    creating disks\n    no room" in str(error)
