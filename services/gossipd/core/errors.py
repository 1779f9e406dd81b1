"""What can go wrong in a pool; every text is fit for the user who asked."""


class PoolError(Exception):
    """The pool refuses; nothing was changed."""


class MergeRefused(PoolError):
    """A remote view may not be merged into this pool."""


class EventTooLarge(PoolError):
    """A user event or query is over its size limit."""


class KeyRefused(PoolError):
    """The keyring cannot do this."""


class NoSuchMember(PoolError):
    """The pool has no member of this name."""
