"""How a pool protects its traffic: the keys at hand and the two switches for moving to encryption step by step."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Security:
    """Key ring, primary first; no keys means plain traffic.

    `verify_incoming` refuses plain traffic while there are keys; `verify_outgoing` encrypts what is sent.
    """

    keys: tuple[bytes, ...] = ()
    verify_incoming: bool = True
    verify_outgoing: bool = True

    @property
    def sealing_key(self) -> bytes | None:
        """The key to encrypt with; None to send plain."""
        return self.keys[0] if self.keys and self.verify_outgoing else None
