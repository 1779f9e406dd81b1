"""This node's answers to the internal key queries: install, use, remove and list keys."""

from gossipd.core.context import Context
from gossipd.core.effects import KeyringChanged, LogLevel
from gossipd.core.errors import KeyRefused
from gossipd.core.keyring import Keyring
from gossipd.core.messages import KeyRequest, KeyResponse, Query, QueryResponse


class KeyAnswers:
    """Changes the keyring as asked and says how it went."""

    def __init__(self, context: Context, keyring: Keyring) -> None:
        self.context = context
        self.keyring = keyring

    def answer(self, kind: str, query: Query) -> bytes | None:
        """The payload of the answer; None for a query that is none of these."""
        if kind == "list-keys":
            return self._list(query)
        if kind not in ("install-key", "use-key", "remove-key"):
            return None
        verb = kind.partition("-")[0]
        try:
            key = self.context.codec.decode_key_request(query.payload).key
            self.change(verb, key)
        except (KeyRefused, self.context.codec.error) as error:
            self.context.log(LogLevel.ERROR, "serf", f"serf: Failed to {verb} key: {error}")
            return self.context.codec.encode_key_response(KeyResponse(False, str(error), ()))
        return self.context.codec.encode_key_response(KeyResponse(True, "", ()))

    def change(self, verb: str, key: bytes) -> None:
        """One of install, use, remove. Raises KeyRefused."""
        self.context.log(LogLevel.INFO, "serf", f"serf: Received {verb}-key query")
        {"install": self.keyring.install, "use": self.keyring.use, "remove": self.keyring.remove}[verb](key)
        self.context.effects.append(KeyringChanged(self.keyring.keys))

    def request(self, key: bytes) -> bytes:
        """The payload of a key query."""
        return self.context.codec.encode_key_request(KeyRequest(key))

    def _list(self, query: Query) -> bytes:
        try:
            texts = self.keyring.texts()
        except KeyRefused as error:
            self.context.log(LogLevel.ERROR, "serf", f"serf: {error}")
            return self.context.codec.encode_key_response(KeyResponse(False, str(error), ()))
        shown, message = len(texts), ""
        while True:
            answer = self.context.codec.encode_key_response(KeyResponse(True, message, texts[:shown]))
            response = QueryResponse(query.lamport_time, query.identifier, self.context.config.name, 0, answer)
            if len(self.context.codec.encode(response)) <= self.context.config.query_response_bytes or not shown:
                return answer
            shown -= 1
            message = f"truncated key list response, showing first {shown} of {len(texts)} keys"
