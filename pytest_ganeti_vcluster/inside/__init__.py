"""What runs inside Ganeti's own Python, in processes of a virtual node only.

This package is copied into the farm of a cluster as `vcluster_inside`; it uses the standard library only and
imports nothing of the rest. `activation` is where every Ganeti process enters, `adaptations` holds what is
changed in Ganeti's memory, one small named unit for each.
"""
