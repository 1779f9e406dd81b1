"""Running checks: one file per kind, each a coroutine from definition to status and output."""
