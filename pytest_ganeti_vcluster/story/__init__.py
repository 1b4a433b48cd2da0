"""What happened in clusters during a stretch of time, such as a test that failed: gathered, merged, shown.

Knows nothing of pytest. `Mark` where it begins, take the `Evidence` where it ends, make a `Story` of it, and write that
to a folder with a page for people.
"""
