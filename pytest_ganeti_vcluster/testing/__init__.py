"""The pytest side: options, markers, sharing of clusters between tests, reports.

`options`, `state`, `fixtures` and `summary` are light: every pytest run imports them. The others are imported when
a test asks for a cluster.
"""
