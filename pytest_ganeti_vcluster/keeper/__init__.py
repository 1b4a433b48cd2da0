"""The process that owns a cluster's processes and leases, so that nothing outlives it.

`client` is for those who use it, `reap` for what is left when even a keeper is killed; the rest is the
keeper itself.
"""
