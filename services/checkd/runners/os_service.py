"""OS service checks (as later Consul versions have): the state of a systemd unit."""

from __future__ import annotations

import msgspec

from checkd.core.status import CRITICAL, PASSING, WARNING
from checkd.runners.result import Result, Run
from checkd.runners.script import run_script

STATE_STATUS = {"active": PASSING, "reloading": PASSING, "activating": WARNING, "deactivating": WARNING}


async def run_os_service(run: Run) -> Result:
    """Ask systemd for the unit's state."""
    name = run.definition.os_service
    args = ("systemctl", "show", "--property=ActiveState", "--value", "--", name)
    definition = msgspec.structs.replace(run.definition, script_args=args)
    asked = await run_script(Run(definition, run.output_limit_bytes))
    state = asked.output.strip()
    if asked.status != PASSING:
        return Result(CRITICAL, f'Unable to ask for service "{name}": {state}')
    status = STATE_STATUS.get(state, CRITICAL)
    words = "healthy" if status == PASSING else f"not running: {state or 'unknown'}"
    return Result(status, f'Service "{name}" is {words}')
