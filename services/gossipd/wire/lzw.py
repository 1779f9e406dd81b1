"""LZW as memberlist compresses: 8-bit literals, least significant bit first, codes of 9 to 12 bits (GIF's flavour).

The encoder restarts the table when it is full; the decoder also reads streams that go on with a full table.
"""

from gossipd.wire.errors import ProtocolError

CLEAR = 256
END = 257
FIRST_WIDTH = 9
MAX_WIDTH = 12
LAST_CODE = 4095


def compress(data: bytes) -> bytes:
    """Compresses; empty input gives an empty but complete stream."""
    out = bytearray()
    bits = CLEAR
    bit_count = FIRST_WIDTH
    width = FIRST_WIDTH
    high = END
    overflow = 1 << FIRST_WIDTH
    table: dict[int, int] = {}
    code = -1
    for literal in data:
        if code < 0:
            code = literal
            continue
        key = code << 8 | literal
        hit = table.get(key)
        if hit is not None:
            code = hit
            continue
        bits |= code << bit_count
        bit_count += width
        code = literal
        high += 1
        if high == overflow:
            width += 1
            overflow <<= 1
        if high == LAST_CODE:
            bits |= CLEAR << bit_count
            bit_count += width
            width, high, overflow = FIRST_WIDTH, END, 1 << FIRST_WIDTH
            table.clear()
        else:
            table[key] = high
        if bit_count >= 64:
            out += (bits & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")
            bits >>= 64
            bit_count -= 64
    if code >= 0:
        bits |= code << bit_count
        bit_count += width
        high += 1
        if high == overflow:
            width += 1
        if high == LAST_CODE:
            bits |= CLEAR << bit_count
            bit_count += width
            width = FIRST_WIDTH
    bits |= END << bit_count
    bit_count += width
    out += bits.to_bytes((bit_count + 7) // 8, "little")
    return bytes(out)


def decompress(data: bytes, limit_bytes: int) -> bytes:
    """Decompresses up to `limit_bytes` of output. Raises ProtocolError for a broken or a larger stream."""
    out: list[bytes] = []
    size = 0
    table = [bytes((value,)) for value in range(256)] + [b"", b""]
    width = FIRST_WIDTH
    overflow = 1 << FIRST_WIDTH
    last = b""
    bits = 0
    bit_count = 0
    position = 0
    length = len(data)
    while True:
        while bit_count < width:
            if position >= length:
                raise ProtocolError("compressed data ends early")
            chunk = data[position : position + 8]
            bits |= int.from_bytes(chunk, "little") << bit_count
            bit_count += len(chunk) * 8
            position += 8
        code = bits & (overflow - 1)
        bits >>= width
        bit_count -= width
        if code == CLEAR:
            del table[END + 1 :]
            width, overflow, last = FIRST_WIDTH, 1 << FIRST_WIDTH, b""
            continue
        if code == END:
            return b"".join(out)
        # `table` lacks the entry that this code is about to complete: its index is len(table).
        if code < len(table):
            entry = table[code]
        elif code == len(table) and last:
            entry = last + last[:1]
        else:
            raise ProtocolError(f"compressed data holds the unknown code {code}")
        if last and len(table) <= LAST_CODE:
            table.append(last + entry[:1])
        out.append(entry)
        size += len(entry)
        if size > limit_bytes:
            raise ProtocolError(f"decompresses to more than {limit_bytes} bytes")
        last = entry
        if len(table) >= overflow and width < MAX_WIDTH:
            width += 1
            overflow <<= 1
