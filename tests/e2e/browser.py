"""A headless Chromium, driven through chromedriver's own HTTP protocol (W3C WebDriver)."""

import contextlib
import json
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.needs import need
from tools.agents import free_ports, wait_until

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1100,700",
)
CALL_TIMEOUT_S = 120
"""A browser that starts on a busy machine takes its time."""


class Browser:
    """One browser window."""

    def __init__(self, driver: str, session: str) -> None:
        self._base = f"{driver}/session/{session}"

    def open(self, url: str) -> None:
        call(f"{self._base}/url", {"url": url})

    def run(self, script: str) -> Any:
        """What a function body of JavaScript returns in the page."""
        return call(f"{self._base}/execute/sync", {"script": script, "args": []})

    def text(self) -> str:
        """The page's visible text with runs of blanks as one."""
        return " ".join(str(self.run("return document.body.innerText")).split())

    def fill(self, name: str, value: str) -> None:
        """Give the form control of this name a value, once it is there."""
        control = f"document.querySelector('form [name={json.dumps(name)}]')"
        wait_until(f"there is a field {name}", lambda: self.run(f"return {control} !== null"), 60)
        self.run(f"const field = {control}; field.value = {json.dumps(value)}; field.dispatchEvent(new Event('input'))")

    def press(self, text: str, within: str = "body") -> None:
        """Click the button or link that reads `text`, once it is there."""
        find = f"[...document.querySelectorAll({json.dumps(f'{within} button, {within} a')})]"
        find += f".find((item) => item.textContent.trim() === {json.dumps(text)} && item.checkVisibility())"
        wait_until(f"there is a button {text!r}", lambda: self.run(f"return {find} !== undefined"), 60)
        self.run(f"{find}.click()")

    def path(self) -> str:
        """The path of the page's address."""
        return str(self.run("return location.pathname"))

    def wait_for(self, text: str, timeout_s: float = 60) -> str:
        """The page's text once it holds `text`."""

        def shown() -> str | None:
            now = self.text()
            return now if text in now else None

        return wait_until(f"the page shows {text!r}", shown, timeout_s)

    def close(self) -> None:
        request = urllib.request.Request(self._base, method="DELETE")
        with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S):
            pass


def call(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S) as answer:
        return json.loads(answer.read())["value"]


def runs(driver: str) -> bool:
    """Whether chromedriver takes sessions."""
    with urllib.request.urlopen(f"{driver}/status", timeout=5) as answer:
        return bool(json.loads(answer.read())["value"]["ready"])


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A new browser with an empty profile."""
    (port,) = free_ports(1)
    driver = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="lictor-browser-", ignore_cleanup_errors=True) as profile:
        log = Path(profile) / "driver.log"
        argv = [need("chromedriver"), f"--port={port}", f"--log-path={log}"]
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        try:
            wait_until("chromedriver runs", lambda: runs(driver), 60)
            options = {"args": [*ARGUMENTS, f"--user-data-dir={profile}/data"]}
            wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
            window = Browser(driver, call(f"{driver}/session", wanted)["sessionId"])
            yield window
            window.close()
        finally:
            process.terminate()
            process.wait(timeout=CALL_TIMEOUT_S)
