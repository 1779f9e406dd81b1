"""Push/pull: checking a remote view and merging it into ours."""

from collections.abc import Iterable

from gossipd.core.errors import MergeRefused
from gossipd.core.messages import Alive, Dead, Suspect
from gossipd.core.node import VERSION_COUNT, Node, NodeState
from gossipd.core.swim import Swim


def check_versions(swim: Swim, remote: Iterable[Node]) -> None:
    """Every live node must speak versions that all understand. Raises MergeRefused naming the node that does not."""
    spoken: dict[bytes, str] = {versions: "" for versions, count in swim.alive_versions.items() if count > 0}
    for node in remote:
        if not node.is_dead_or_left and len(node.versions) == VERSION_COUNT:
            spoken.setdefault(node.versions, node.name)
    for kind, low, high, current in (("protocol", 0, 1, 2), ("delegate protocol", 3, 4, 5)):
        minimum = max((versions[low] for versions in spoken), default=0)
        maximum = min((versions[high] for versions in spoken), default=255)
        for versions, name in spoken.items():
            if not minimum <= versions[current] <= maximum:
                name = name or _speaker(swim, versions)
                raise MergeRefused(
                    f"Node '{name}' {kind} version ({versions[current]}) is incompatible: [{minimum}, {maximum}]"
                )


def _speaker(swim: Swim, versions: bytes) -> str:
    return next(node.name for node in swim.nodes.values() if node.versions == versions)


def merge_nodes(swim: Swim, remote: Iterable[Node]) -> None:
    """Takes remote nodes as rumours; a remote dead one is only suspected, never believed at once."""
    own_name = swim.context.config.name
    get = swim.nodes.get
    for node in remote:
        known = get(node.name)
        if known is node:
            continue
        if node.state is NodeState.ALIVE:
            swim.handle_alive(Alive(node.incarnation, node.name, node.address, node.port, node.meta, node.versions))
        elif node.state is NodeState.LEFT:
            swim.handle_dead(Dead(node.incarnation, node.name, node.name))
        else:
            swim.handle_suspect(Suspect(node.incarnation, node.name, own_name))
