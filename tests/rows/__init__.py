"""Every row of Ganeti's design for virtual clusters, and what goes beyond it, shown on real daemons.

A test says with `shows(...)` which row it is about and what it shows there; `docs/reference/rows.rst` is made of those
that passed. See `design.py` for the rows and `showing.py` for how a claim comes to be one.
"""
