"""Requests per second through wrk: one load generator for every server, so that ratios are fair."""

import re
import subprocess
import tempfile

CONNECTIONS = 64
DURATION_S = 4
RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
ERRORS = re.compile(r"Non-2xx or 3xx responses: (\d+)")

PUT_UNIQUE_KEYS = """
local counter, thread = 0, 0
function setup(t) t:set("number", thread); thread = thread + 1 end
function request()
  counter = counter + 1
  local path = "/v1/kv/bench/" .. number .. "/" .. (counter % 10000)
  return wrk.format("PUT", path, nil, "value-of-some-thirty-two-bytes--")
end
"""

# etcd's JSON gateway takes keys and values as Base64; a fixed-width decimal key encodes without a library.
ETCD_PUT = """
local counter, thread = 0, 0
function setup(t) t:set("number", thread); thread = thread + 1 end
local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local function encode(s)
  local out = {}
  for i = 1, #s, 3 do
    local a, b, c = s:byte(i, i + 2)
    local n = a * 65536 + b * 256 + c
    for shift = 3, 0, -1 do
      local d = math.floor(n / 64 ^ shift) % 64
      out[#out + 1] = alphabet:sub(d + 1, d + 1)
    end
  end
  return table.concat(out)
end
local headers = { ["Content-Type"] = "application/json" }
function request()
  counter = counter + 1
  local key = encode(string.format("bench/%d/%07d", number, counter % 10000))
  return wrk.format("POST", "/v3/kv/put", headers,
    '{"key":"' .. key .. '","value":"dmFsdWUtb2Ytc29tZS10aGlydHktdHdvLWJ5dGVzLS0="}')
end
"""

ETCD_GET = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"key":"YmVuY2gvZ2V0"}'
"""


class BadAnswers(RuntimeError):
    """The server answered with errors, so its rate means nothing."""


def rate(url: str, script: str = "", connections: int = CONNECTIONS, duration_s: int = DURATION_S) -> float:
    """Answers per second. Raises BadAnswers when any answer was no success."""
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{duration_s}s"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        if script:
            file.write(script)
            file.flush()
            argv += ["-s", file.name]
        done = subprocess.run([*argv, url], capture_output=True, text=True, timeout=duration_s + 30, check=True)
    failed = ERRORS.search(done.stdout)
    if failed:
        raise BadAnswers(f"{url}: {failed.group(1)} answers were errors")
    found = RATE.search(done.stdout)
    assert found, done.stdout
    return float(found.group(1))
