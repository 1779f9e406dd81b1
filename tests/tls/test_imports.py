"""Agents without TLS do not pay for it."""

import subprocess
import sys

PROGRAM = """
import sys
import apid.driver, apid.endpoints.table, checkd.main, gossipd.main, raftd.main, lictor.agent.main
print(*sorted(name for name in sys.modules if name.startswith("lictor.tls.")))
"""


def test_nothing_of_tls_is_imported_before_it_is_wanted() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["lictor.tls.wanted"]
