"""The codec that the core is handed: everything it must turn into bytes or read from payloads it carries."""

from collections.abc import Callable
from typing import Any

from gossipd.core.messages import Message
from gossipd.wire import filters, serf, swim
from gossipd.wire.coordinate import decode_coordinate, encode_coordinate
from gossipd.wire.errors import ProtocolError
from gossipd.wire.tags import decode_tags, encode_tags

_ENCODERS: dict[type, Callable[[Any], bytes]] = {**swim.ENCODERS, **serf.ENCODERS}


class WireCodec:
    """Implements `gossipd.core.codec.Codec` with the real wire format."""

    error: type[Exception] = ProtocolError

    encode_tags = staticmethod(encode_tags)
    decode_tags = staticmethod(decode_tags)
    encode_coordinate = staticmethod(encode_coordinate)
    decode_coordinate = staticmethod(decode_coordinate)
    decode_key_request = staticmethod(serf.decode_key_request)
    decode_key_response = staticmethod(serf.decode_key_response)
    encode_key_request = staticmethod(serf.encode_key_request)
    encode_key_response = staticmethod(serf.encode_key_response)
    encode_conflict_response = staticmethod(serf.encode_conflict_response)
    filter_matches = staticmethod(filters.matches)

    @staticmethod
    def encode(message: Message) -> bytes:
        """A message with its type byte; Serf's without memberlist's user byte."""
        return _ENCODERS[type(message)](message)
