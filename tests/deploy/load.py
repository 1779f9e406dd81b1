"""A steady load on a proxy, which counts who answered and what failed."""

from __future__ import annotations

import threading
import time

from tests.compat.backends import ask
from tools.agents import wait_until


class Load:
    """Clients that ask without a pause; every answer but 200 is a failure."""

    CLIENTS = 4

    def __init__(self, port: int) -> None:
        self._port, self._stop = port, threading.Event()
        self.answers: dict[str, int] = {}
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(self.CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                status, body = ask(self._port)
            except OSError as error:
                self.failures.append(repr(error))
                continue
            if status == 200:
                self.answers[body] = self.answers.get(body, 0) + 1
            else:
                self.failures.append(f"{time.time():.3f} {status} {body}")
            time.sleep(0.005)

    def only(self, names: set[str]) -> bool:
        """Whether just these answer from now on."""
        self.answers = {}
        wait_until("requests are answered", lambda: sum(self.answers.values()) >= 30)
        return set(self.answers) == names

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
