from lictor.state.apply import apply
from lictor.state.commands import KV, Outcome
from lictor.state.memory import MemoryStore


def test_a_set_key_is_found() -> None:
    store = MemoryStore()
    result, topics = apply(store, 5, KV("set", b"a", b"1"))
    assert result == Outcome(True)
    assert topics == {"kv:a"}
