"""Get a Ganeti without root: the distribution's packages, unpacked into a folder of one's own."""

from __future__ import annotations

from pytest_ganeti_vcluster.ganeti.fetch.installer import install
from pytest_ganeti_vcluster.ganeti.fetch.report import Report

__all__ = ["Report", "install"]
