"""The node's state as apid gets it: JSON built piece by piece, so that a change costs what changed."""

from __future__ import annotations

import json

from checkd.core.local_state import LocalState
from checkd.core.render import agent_check, whole_agent_service
from lictor.pb.lictor.v1 import agent_pb2


class SnapshotCache:
    """Rendered services and checks by ID, kept up to date with the state."""

    def __init__(self, state: LocalState, node_name: str) -> None:
        self._state = state
        self._node_name = node_name
        self._services: dict[str, bytes] = {}
        self._checks: dict[str, bytes] = {}
        self._service_versions: dict[str, int] = {}
        self._check_versions: dict[str, int] = {}
        self._full: agent_pb2.LocalSnapshotResponse | None = None

    def full(self) -> agent_pb2.LocalSnapshotResponse:
        """Everything, as of now."""
        self._refresh()
        version = self._state.version
        if self._full is None or self._full.version != version:
            self._full = agent_pb2.LocalSnapshotResponse(
                version=version, services_json=_joined(self._services), checks_json=_joined(self._checks)
            )
        return self._full

    def since(self, version: int) -> agent_pb2.LocalSnapshotResponse:
        """What changed after a version."""
        self._refresh()
        services = [key for key, changed in self._service_versions.items() if changed > version]
        checks = [key for key, changed in self._check_versions.items() if changed > version]
        return agent_pb2.LocalSnapshotResponse(
            version=self._state.version,
            services_json=_joined({key: self._services[key] for key in services if key in self._services}),
            checks_json=_joined({key: self._checks[key] for key in checks if key in self._checks}),
            delta=True,
            removed_services=[key for key in services if key not in self._services],
            removed_checks=[key for key in checks if key not in self._checks],
        )

    def _refresh(self) -> None:
        services, checks = self._state.take_changed()
        version = self._state.version
        for service_id in services:
            self._service_versions[service_id] = version
            entry = self._state.service(service_id)
            if entry is None:
                self._services.pop(service_id, None)
            else:
                self._services[service_id] = _encode(whole_agent_service(entry.service))
        for check_id in checks:
            self._check_versions[check_id] = version
            check = self._state.check(check_id)
            if check is None:
                self._checks.pop(check_id, None)
            else:
                self._checks[check_id] = _encode(agent_check(check.check, self._node_name))


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _joined(parts: dict[str, bytes]) -> bytes:
    """An object of the parts, keys in order as Go writes maps."""
    members = (json.dumps(key, ensure_ascii=False).encode() + b":" + parts[key] for key in sorted(parts))
    return b"{" + b",".join(members) + b"}"
