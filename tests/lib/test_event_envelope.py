"""User events as they travel: other agents of the pool must read what we send, and we what they send."""

from lictor.user_event import UserEvent, from_wire, to_wire

ID = "6ca481a7-79d8-5889-1fb8-ead31bba1301"
ID_BYTES = b"\xa2ID\xd9\x24" + ID.encode()


def test_an_envelope_has_short_names_and_nothing_empty() -> None:
    event = UserEvent(ID, "deploy", None, "", "", "")
    assert to_wire(event) == b"\x83" + ID_BYTES + b"\xa1n\xa6deploy\xa1v\x01"
    full = UserEvent(ID, "e", b"\xff\x00", "^n", "web", "v1")
    assert to_wire(full) == (
        b"\x87" + ID_BYTES + b"\xa1n\xa1e\xa1v\x01\xa1p\xc4\x02\xff\x00\xa2nf\xa2^n\xa2sf\xa3web\xa2tf\xa2v1"
    )


def test_what_was_sent_is_read_again_with_the_time_it_came_at() -> None:
    event = UserEvent(ID, "e", b"\xff\xfe binary", "", "web", "")
    read = from_wire(to_wire(event), 7)
    assert read == UserEvent(ID, "e", b"\xff\xfe binary", "", "web", "", 1, 7)


def test_what_is_no_envelope_is_none() -> None:
    for raw in (b"", b"\xc1", b"\x01", b"\x81\xa2ID\xa1x", b"\x81\xa1n\xa1e", ID_BYTES):
        assert from_wire(raw, 1) is None, raw
