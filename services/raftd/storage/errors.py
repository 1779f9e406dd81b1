"""Why storage refuses or fails. `DiskFullError` passes; the others end the process."""


class StorageError(Exception):
    """Base of everything that goes wrong with files."""


class DiskFullError(StorageError):
    """No space (or quota) left: nothing of the failed write counts, and it may be tried again later."""


class DiskFailedError(StorageError):
    """A write or sync failed for another reason: what is on disk is unknown, so the process must end.

    After a failed fsync the kernel may have dropped the dirty pages and report success next time ("fsyncgate"):
    trying again would acknowledge what was lost.
    """


class CorruptError(StorageError):
    """A file is damaged in a way no crash can cause. The text names file, offset and what to do."""
