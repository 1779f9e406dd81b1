"""Node metadata: Serf's tags behind a magic byte, at most 512 bytes in all."""

from gossipd.wire.errors import ProtocolError
from gossipd.wire.fields import as_map, pack, unpack

TAGS_MAGIC = 0xFF
MAX_META_BYTES = 512


def encode_tags(tags: dict[str, str]) -> bytes:
    """Raises ProtocolError when the tags do not fit a node's metadata."""
    meta = bytes((TAGS_MAGIC,)) + pack(tags)
    if len(meta) > MAX_META_BYTES:
        raise ProtocolError(f"Encoded length of tags exceeds limit of {MAX_META_BYTES} bytes")
    return meta


def decode_tags(meta: bytes) -> dict[str, str]:
    """Metadata without the magic byte is the role; unreadable metadata has no tags (a peer's bug harms only itself)."""
    if not meta or meta[0] != TAGS_MAGIC:
        return {"role": meta.decode(errors="replace")}
    try:
        fields = as_map(unpack(meta[1:]))
        return {_text(key): _text(value) for key, value in fields.items()}
    except ProtocolError:
        return {}


def _text(value: object) -> str:
    if not isinstance(value, bytes):
        raise ProtocolError("a tag is not text")
    return value.decode(errors="replace")
