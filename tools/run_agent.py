"""`make run`: one server agent with everything on, in the foreground, its data under ./.lab/run."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    data_dir = ROOT / ".lab" / "run"
    data_dir.mkdir(parents=True, exist_ok=True)
    print(
        "Lictor starts. Look around:\n"
        "  web page   http://127.0.0.1:8500/ui/\n"
        "  HTTP API   http://127.0.0.1:8500/v1/catalog/services   documentation: http://127.0.0.1:8500/docs\n"
        "  DNS        dig @127.0.0.1 -p 8600 consul.service.consul\n"
        "  commands   .venv/bin/consul members\n"
        "Ctrl-C stops it.\n",
        flush=True,
    )
    program = str(ROOT / ".venv" / "bin" / "consul")
    raft_multiplier = "performance { raft_multiplier = 1 }"
    argv = [program, "agent", "-server", "-bootstrap-expect=1", f"-data-dir={data_dir}", "-bind=127.0.0.1", "-ui"]
    os.execv(program, [*argv, f"-hcl={raft_multiplier}", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
