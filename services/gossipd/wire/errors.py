"""What can be wrong with bytes from the network."""


class ProtocolError(ValueError):
    """The peer sent something that is not the protocol; the text says what. Nothing was changed."""


class DecryptionError(ProtocolError):
    """No key of the ring opens it."""
