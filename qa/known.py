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
        test="qa_instance.TestRecreateDisks[diskless]",
        error="gnt-instance recreate-disks",
        reason="The suite recreates the disks of an instance that has none, too, which Ganeti refuses.",
        upstream="lib/cmdlib/instance_storage.py:972 (LUInstanceRecreateDisks.CheckPrereq), qa/qa_instance.py:1045",
    ),
    KnownFailure(
        test="qa_instance.TestRecreateDisks[sharedfile]",
        error="gnt-instance recreate-disks",
        reason="To lose the disks, the suite removes a folder in file storage, and these are in shared file storage;"
        " Ganeti refuses to recreate disks that are there.",
        upstream="qa/qa_instance.py:151 (_DestroyInstanceDisks)",
    ),
    KnownFailure(
        test="qa_instance.TestInstanceExport[diskless]",
        error="gnt-backup export",
        reason="Ganeti cannot export an instance without disks: the folder is made when the first disk arrives.",
        upstream="lib/backend.py:4505 (FinalizeExport), lib/backend.py:5185 (_GetImportExportIoCommand)",
    ),
)
