"""Ganeti's own QA suite on a virtual cluster: `python -m qa`, or `tox run -e qa`.

The suite (`qa/` in Ganeti's source, Debian's package `ganeti-testsuite`) makes a cluster by itself, over ssh, uses it
and destroys it. It is given nodes that nobody has initialised, and is run unaltered; `inside/` says in which places it
is led elsewhere. What it is not asked to test, and what is known to fail, stands in tables with the reasons.
"""
