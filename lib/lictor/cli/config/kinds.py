"""The kinds of configuration entries."""

KINDS = frozenset({"service-defaults", "proxy-defaults", "service-router", "service-splitter", "service-resolver"})
