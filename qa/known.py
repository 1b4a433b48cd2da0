"""What is known to fail, and why. Whatever else fails is news, and so is one of these that passes."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class KnownFailure:
    """A test of the suite that fails here.

    `test` is its name in the results, `error` a regular expression that is found in what it tells. `reason` says in
    whole sentences why it fails, `upstream` where that is to be seen: file and line in Ganeti's source, or an issue.
    """

    test: str
    error: str
    reason: str
    upstream: str


KNOWN: tuple[KnownFailure, ...] = ()
