"""Key operations on every member of a pool: ask all, count the answers (Serf's key manager)."""

from dataclasses import dataclass, field

from gossipd.core.keyring import key_from_text
from gossipd.driver import PoolDriver
from gossipd.wire.codec import WireCodec

OPERATIONS = ("list-keys", "install-key", "use-key", "remove-key")


@dataclass(slots=True)
class KeyResult:
    """What the members answered. `error` is empty when all of them did as asked."""

    node_count: int = 0
    answer_count: int = 0
    error_count: int = 0
    keys: dict[str, int] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    error: str = ""


async def ask_keys(driver: PoolDriver, operation: str, key_text: str, relay_factor: int) -> KeyResult:
    """Runs one of OPERATIONS on the pool. Raises KeyRefused for a bad key and PoolError when it cannot be asked."""
    assert operation in OPERATIONS
    key = b"" if operation == "list-keys" else key_from_text(key_text)
    payload = driver.pool.keys.request(key)
    result = KeyResult(node_count=driver.alive_count())
    answers = await driver.query(f"_serf_{operation}", payload, relay_factor=relay_factor, enough=result.node_count)
    for node, answer in answers.payloads.items():
        _count(result, node, answer)
    if result.error_count:
        result.error = f"{result.error_count}/{result.node_count} nodes reported failure"
    elif result.answer_count != result.node_count:
        result.error = f"{result.answer_count}/{result.node_count} nodes reported success"
    return result


def local_keys(driver: PoolDriver) -> KeyResult:
    """This node's keys, asking nobody. Raises KeyRefused when the pool is not encrypted."""
    texts = driver.pool.keyring.texts()
    return KeyResult(node_count=1, answer_count=1, keys=dict.fromkeys(texts, 1))


def _count(result: KeyResult, node: str, payload: bytes) -> None:
    result.answer_count += 1
    try:
        response = WireCodec.decode_key_response(payload)
    except WireCodec.error as error:
        result.messages[node] = f"Invalid key query response: {error}"
        result.error_count += 1
        return
    if not response.result:
        result.error_count += 1
    if response.message:
        result.messages[node] = response.message
    for key in response.keys:
        result.keys[key] = result.keys.get(key, 0) + 1
