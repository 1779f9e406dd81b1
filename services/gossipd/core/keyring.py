"""The gossip keys of a pool: the first one encrypts, every one decrypts."""

import base64
import binascii

from gossipd.core.errors import KeyRefused

KEY_LENGTHS = (16, 24, 32)


def key_from_text(text: str) -> bytes:
    """A key from its base64 text. Raises KeyRefused."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyRefused(f"Invalid encryption key: {error}") from None
    return checked(key)


def key_to_text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def checked(key: bytes) -> bytes:
    if len(key) not in KEY_LENGTHS:
        raise KeyRefused("key size must be 16, 24 or 32 bytes")
    return key


class Keyring:
    """Empty when the pool is not encrypted; then nothing can be installed either."""

    def __init__(self, keys: tuple[bytes, ...] = ()) -> None:
        self.keys = tuple(checked(key) for key in dict.fromkeys(keys))

    def install(self, key: bytes) -> None:
        self._expect_encryption()
        if checked(key) not in self.keys:
            self.keys = (*self.keys, key)

    def use(self, key: bytes) -> None:
        """Make an installed key the primary one."""
        self._expect_encryption()
        if key not in self.keys:
            raise KeyRefused("Requested key is not in the keyring")
        self.keys = (key, *(other for other in self.keys if other != key))

    def remove(self, key: bytes) -> None:
        """A key that is not there is no error; the primary one is."""
        self._expect_encryption()
        if key == self.keys[0]:
            raise KeyRefused("Removing the primary key is not allowed")
        self.keys = tuple(other for other in self.keys if other != key)

    def texts(self) -> tuple[str, ...]:
        if not self.keys:
            raise KeyRefused("Keyring is empty (encryption not enabled)")
        return tuple(map(key_to_text, self.keys))

    def _expect_encryption(self) -> None:
        if not self.keys:
            raise KeyRefused("No keyring to modify (encryption not enabled)")
