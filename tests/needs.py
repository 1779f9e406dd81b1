"""What tests need of the machine besides Python: where it is missing they are skipped with the reason.

In CI (`CI` is set, `.ci/run` sees to it) nothing may be missing: there they fail.
"""

import os
import shutil
from typing import NoReturn

import pytest

FOLDERS = ("/usr/sbin", "/sbin", "/usr/local/bin", "/usr/lib/postgresql/15/bin")


def missing(what: str) -> NoReturn:
    """Ends the test: it cannot run here."""
    text = f"{what} (.ci/run installs what the tests need)"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


def need(name: str) -> str:
    """The program's path."""
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *FOLDERS)))
    if path is None:
        missing(f"{name} is not installed")
    return path
