"""Who has no access control does not load its endpoints."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
import apid.driver, apid.endpoints.table
print(*sorted(name for name in sys.modules if name.startswith(("apid.endpoints.acl.", "lictor.state.acl."))))
"""


def test_the_endpoints_of_access_control_are_loaded_where_it_is_on() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == ""
