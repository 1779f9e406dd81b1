"""Locks and semaphores over sessions and keys, as Consul's own client makes them (so that both exclude each other)."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from lictor.cli.client import ApiError, Client, Options
from lictor.cli.watching import index_of

SESSION_TTL_S = 15
LOCK_WAIT_S = 15.0
RETRY_S = 5.0
MONITOR_RETRY_S = 2.0
LOCK_FLAGS = 0x2DDCCBC058A50C18
SEMAPHORE_FLAGS = 0xE0F69A2BAA414DE0
LOCK_KEY = ".lock"


class LockError(Exception):
    """The lock cannot be had, kept or cleaned up."""


class Session:
    """A session that is renewed until it is destroyed."""

    def __init__(self, options: Options, name: str) -> None:
        self._client = Client(options)
        body = {"Name": name, "TTL": f"{SESSION_TTL_S}s"}
        try:
            self.identity = str(self._client.put_json("/v1/session/create", body).json()["ID"])
        except ApiError:
            self._client.close()
            raise
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def _renew(self) -> None:
        while not self._ended.wait(SESSION_TTL_S / 2):
            try:
                self._client.put(f"/v1/session/renew/{self.identity}")
            except ApiError as error:
                if error.status == 404:
                    return

    def destroy(self) -> None:
        """End it; its locks are released."""
        self._ended.set()
        self._thread.join()
        try:
            self._client.put(f"/v1/session/destroy/{self.identity}")
        finally:
            self._client.close()


class Lock:
    """One holder: the key `<prefix>/.lock`."""

    flags = LOCK_FLAGS

    def __init__(self, options: Options, prefix: str, name: str, monitor_retries: int) -> None:
        self._options, self._retries = options, monitor_retries
        self._client = Client(options)
        self._key = f"{prefix.rstrip('/')}/{LOCK_KEY}"
        self._session = Session(options, name)

    def acquire(self, timeout_s: float | None, stop: threading.Event) -> bool:
        """Wait for the lock; False when it was not free in time. Raises ApiError and LockError."""
        started = time.monotonic()
        index = 0
        while not stop.is_set():
            wait_s = LOCK_WAIT_S if timeout_s is None else min(LOCK_WAIT_S, timeout_s - (time.monotonic() - started))
            if index and wait_s <= 0:
                return False
            index, pair = self._read(self._key, index, max(wait_s, 0.0))
            if pair is not None and pair["Flags"] != self.flags:
                raise LockError("Existing key does not match lock use")
            if pair is not None and pair.get("Session"):
                if pair["Session"] == self._session.identity:
                    return True
                continue
            if self._take():
                return True
            if timeout_s is not None and time.monotonic() - started >= timeout_s:
                return False
            # Not taken though free: the lock-delay after a holder was lost.
            stop.wait(RETRY_S if timeout_s is None else min(RETRY_S, timeout_s))
        return False

    def watch(self, lost: threading.Event) -> None:
        """Set `lost` when the lock is no longer held; returns then."""
        client = Client(self._options)
        try:
            self._watch(client, lost)
        finally:
            client.close()
        lost.set()

    def _watch(self, client: Client, lost: threading.Event) -> None:
        index, failures = 0, 0
        while not lost.is_set():
            try:
                index, pair = self._read(self._key, index, LOCK_WAIT_S, client)
            except ApiError:
                failures += 1
                if failures > self._retries:
                    break
                time.sleep(MONITOR_RETRY_S)
                index = 0
                continue
            failures = 0
            if not self._holds(pair):
                break

    def release(self) -> bool:
        """Give the lock back and remove what nobody uses; False when somebody does. Raises ApiError."""
        query = {"release": self._session.identity, "flags": str(self.flags)}
        self._client.put(f"/v1/kv/{self._key}", query)
        self._session.destroy()
        _, pair = self._read(self._key, 0, 0.0)
        if pair is None:
            return True
        return not pair.get("Session") and self._remove(int(pair["ModifyIndex"]))

    def abandon(self) -> None:
        """Give up waiting."""
        self._session.destroy()

    def close(self) -> None:
        """Close the connection to the agent."""
        self._client.close()

    def _remove(self, modify_index: int) -> bool:
        return self._client.delete(f"/v1/kv/{self._key}", {"cas": str(modify_index)}).body.strip() == b"true"

    def _take(self) -> bool:
        query = {"acquire": self._session.identity, "flags": str(self.flags)}
        return self._client.put(f"/v1/kv/{self._key}", query).body.strip() == b"true"

    def _holds(self, pair: dict[str, Any] | None) -> bool:
        return pair is not None and pair.get("Session") == self._session.identity

    def _read(
        self, key: str, index: int, wait_s: float, client: Client | None = None
    ) -> tuple[int, dict[str, Any] | None]:
        query = {"consistent": ""}
        if index:
            query |= {"index": str(index), "wait": f"{int(wait_s * 1000)}ms"}
        answer = (client or self._client).get(f"/v1/kv/{key}", query, missing_ok=True)
        return index_of(answer), answer.json()[0] if answer.status == 200 else None


class Semaphore(Lock):
    """Up to `limit` holders, named in `<prefix>/.lock`; each has an entry `<prefix>/<session>` bound to its session."""

    flags = SEMAPHORE_FLAGS

    def __init__(self, options: Options, prefix: str, name: str, monitor_retries: int, limit: int) -> None:
        super().__init__(options, prefix, name, monitor_retries)
        self._prefix, self._limit = prefix.rstrip("/"), limit

    def acquire(self, timeout_s: float | None, stop: threading.Event) -> bool:
        """Wait for a place; False when none was free in time. Raises ApiError and LockError."""
        started = time.monotonic()
        session = self._session.identity
        entry = f"/v1/kv/{self._prefix}/{session}"
        query = {"acquire": session, "flags": str(self.flags)}
        if self._client.put(entry, query).body.strip() != b"true":
            raise LockError("failed to make contender entry")
        index = 0
        while not stop.is_set():
            wait_s = LOCK_WAIT_S if timeout_s is None else min(LOCK_WAIT_S, timeout_s - (time.monotonic() - started))
            if index and wait_s <= 0:
                return False
            index, pairs = self._tree(index, max(wait_s, 0.0))
            state, modify_index = self._state(pairs)
            if state["Limit"] != self._limit:
                raise LockError(f"semaphore limit conflict (lock: {state['Limit']}, local: {self._limit})")
            if len(state["Holders"]) >= state["Limit"]:
                continue
            state["Holders"][session] = True
            if self._write(state, modify_index):
                return True
        return False

    def release(self) -> bool:
        """Give the place back and remove what nobody uses; False when somebody does. Raises ApiError."""
        session = self._session.identity
        while True:
            _, pairs = self._tree(0, 0.0)
            state, modify_index = self._state(pairs)
            if session not in state["Holders"]:
                break
            del state["Holders"][session]
            if self._write(state, modify_index):
                break
        self._client.delete(f"/v1/kv/{self._prefix}/{session}")
        self._session.destroy()
        _, pairs = self._tree(0, 0.0)
        state, modify_index = self._state(pairs)
        if not modify_index:
            return True
        return not state["Holders"] and self._remove(modify_index)

    def _holds(self, pair: dict[str, Any] | None) -> bool:
        if pair is None:
            return False
        state, _ = self._state([pair])
        return self._session.identity in state["Holders"]

    def _write(self, state: dict[str, Any], modify_index: int) -> bool:
        query = {"cas": str(modify_index), "flags": str(self.flags)}
        return self._client.put(f"/v1/kv/{self._key}", query, json.dumps(state).encode()).body.strip() == b"true"

    def _tree(self, index: int, wait_s: float) -> tuple[int, list[dict[str, Any]]]:
        query = {"recurse": "", "consistent": ""}
        if index:
            query |= {"index": str(index), "wait": f"{int(wait_s * 1000)}ms"}
        answer = self._client.get(f"/v1/kv/{self._prefix}/", query, missing_ok=True)
        return index_of(answer), answer.json() if answer.status == 200 else []

    def _state(self, pairs: list[dict[str, Any]]) -> tuple[dict[str, Any], int]:
        """Limit and living holders, and the index to write them back with. Raises LockError."""
        import base64

        living = {pair["Session"] for pair in pairs if pair.get("Session")}
        for pair in pairs:
            if pair["Key"] != self._key:
                continue
            if pair["Flags"] != self.flags:
                raise LockError("Existing key does not match semaphore use")
            state = json.loads(base64.b64decode(pair["Value"] or "") or b"{}")
            holders = state.get("Holders") or {}
            # A lone key, as the watch reads it, tells nothing about who lives.
            if len(pairs) > 1 or pair["Key"] != pairs[0]["Key"]:
                holders = {session: True for session in holders if session in living}
            return {"Limit": state.get("Limit", self._limit), "Holders": holders}, int(pair["ModifyIndex"])
        return {"Limit": self._limit, "Holders": {}}, 0
