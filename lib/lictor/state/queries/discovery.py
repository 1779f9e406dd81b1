"""Discovery chains over the stored configuration entries."""

from __future__ import annotations

from lictor.state import topics
from lictor.state.config_entries import Body
from lictor.state.discovery.compile import Chain, ChainError, compile_chain
from lictor.state.discovery.customization import Overrides
from lictor.state.queries import config, operator
from lictor.state.queries.read import QueryError, Read, max_index
from lictor.state.store import ReadTxn


def chain(
    txn: ReadTxn, service: str, datacenter: str, overrides: Overrides | None = None, own_datacenter: str = ""
) -> Read[Chain]:
    """The compiled chain as seen from a datacenter, used in another.

    Its index is that of all entries, as one that goes changes chains too. Errors: QueryError.
    """

    def lookup(kind: str, name: str) -> Body | None:
        entry = config.entry(txn, kind, name).value
        return None if entry is None else entry.body

    ca_config = operator.ca_config(txn).value
    trust_domain = f"{ca_config.cluster_id}.consul" if ca_config is not None else ""
    try:
        compiled = compile_chain(lookup, service, datacenter, trust_domain, overrides, own_datacenter)
    except ChainError as error:
        raise QueryError(str(error)) from error
    return Read(compiled, max_index(txn, "config-entries"), (topics.CONFIG,))
