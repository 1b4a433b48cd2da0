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


_IMAGE_KEPT = (
    "A reinstallation from an image that cannot be fetched fails, and Ganeti keeps the image in the instance's"
    " parameters all the same; the suite expects the next one, without an image, to use the OS scripts."
)
_IMAGE_SOURCE = "lib/cmdlib/instance_operation.py:446 (LUInstanceReinstall.Exec), qa/qa_instance.py:423"

KNOWN: tuple[KnownFailure, ...] = (
    KnownFailure(
        test="qa_node.TestOutOfBand",
        error="must be str, not bytes",
        reason="In Python 3 the suite writes bytes where text is wanted.",
        upstream="qa/qa_node.py:390 (_UpdateOobFile), lib/serializer.py (DumpJson gives bytes)",
    ),
    KnownFailure(
        test="qa_instance.TestInstanceRenameAndBack[diskless]",
        error="'NoneType' object is not iterable",
        reason="The suite reads the list of disks of an instance that has none.",
        upstream="qa/qa_instance.py:105 (GetInstanceInfo)",
    ),
    KnownFailure(
        test="qa_instance.TestRecreateDisks[diskless]",
        error="'NoneType' object is not iterable",
        reason="The suite reads the list of disks of an instance that has none.",
        upstream="qa/qa_instance.py:105 (GetInstanceInfo)",
    ),
    KnownFailure(
        test="qa_instance.TestInstanceReinstall[file]",
        error="gnt-instance reinstall -f",
        reason=_IMAGE_KEPT,
        upstream=_IMAGE_SOURCE,
    ),
    KnownFailure(
        test="qa_instance.TestInstanceReinstall[sharedfile]",
        error="gnt-instance reinstall -f",
        reason=_IMAGE_KEPT,
        upstream=_IMAGE_SOURCE,
    ),
    KnownFailure(
        test="qa_instance.TestInstanceExport[diskless]",
        error="gnt-backup export",
        reason="Ganeti cannot export an instance without disks: the folder is made when the first disk arrives.",
        upstream="lib/backend.py:4505 (FinalizeExport), lib/backend.py:5185 (_GetImportExportIoCommand)",
    ),
)
