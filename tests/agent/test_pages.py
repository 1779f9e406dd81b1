"""What the supervisor only read can be let go at any time."""

import subprocess
import sys

from lictor.agent.pages import read_only_files

SMAPS = """\
1000-3000 r-xp 00000000 fe:00 7 /usr/lib/code.so
Rss:                   8 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
3000-4000 r--p 00002000 fe:00 7 /usr/lib/relocated.so
Anonymous:             4 kB
4000-5000 rw-p 00003000 fe:00 7 /usr/lib/data.so
Anonymous:             0 kB
5000-6000 r--p 00000000 00:00 0 [vvar]
Anonymous:             0 kB
6000-7000 r--p 00000000 00:00 0
Anonymous:             0 kB
7000-9000 r--p 00000000 fe:00 8 /usr/lib/a name with blanks
Anonymous:             0 kB
"""
PROGRAM = """
import grpc, json
from lictor.agent.pages import release_read_only
def file_kb():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Rss:"))
before = file_kb()
released = release_read_only()
after = file_kb()
print(released > 0, after < before, json.loads(json.dumps({"still": grpc.StatusCode.OK.name})))
"""


def test_only_files_without_a_written_page_are_let_go() -> None:
    assert list(read_only_files(SMAPS.splitlines())) == [(0x1000, 0x2000), (0x7000, 0x2000)]


def test_a_process_goes_on_with_less_memory() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "True True {'still': 'OK'}\n", done.stderr
