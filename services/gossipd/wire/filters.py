"""Query filters: a type byte, then node names or a regular expression on a tag."""

from gossipd.wire.errors import ProtocolError
from gossipd.wire.fields import as_map, pack, text, unpack
from lictor import regexp

NODE_FILTER = 0
TAG_FILTER = 1
MAX_REGEX_LENGTH = 512


def encode_node_filter(names: list[str]) -> bytes:
    return bytes((NODE_FILTER,)) + pack(names)


def encode_tag_filter(tag: str, expression: str) -> bytes:
    return bytes((TAG_FILTER,)) + pack({"Expr": expression, "Tag": tag})


def _compiled(expression: str) -> regexp.Regexp:
    if len(expression) > MAX_REGEX_LENGTH:
        raise ProtocolError("the filter's expression is too long")
    try:
        return regexp.compiled(expression)
    except regexp.RegexpError as error:
        raise ProtocolError(f"the filter's expression is no regular expression: {error}") from None


def matches(filter_bytes: bytes, node_name: str, tags: dict[str, str]) -> bool:
    """Whether this node is meant. An unknown filter type means no. Raises ProtocolError for garbage."""
    if not filter_bytes:
        raise ProtocolError("an empty filter")
    if filter_bytes[0] == NODE_FILTER:
        names = unpack(filter_bytes[1:])
        if type(names) is not list:
            raise ProtocolError("a node filter without an array")
        return node_name.encode() in names
    if filter_bytes[0] == TAG_FILTER:
        fields = as_map(unpack(filter_bytes[1:]))
        return _compiled(text(fields, b"Expr")).found_in(tags.get(text(fields, b"Tag"), ""))
    return False
