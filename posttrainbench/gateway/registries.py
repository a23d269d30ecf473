"""Which package indexes the host uses: the same that its own pip and npm are configured with."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache

from posttrainbench.gateway.refusal import RefusedError

URL = re.compile(r"https?://\S+")
PIP_DEFAULT = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"


async def python_index() -> str:
    """Base URL of the Python index, without a slash at its end; raises RefusedError if the host has none."""
    return await asyncio.to_thread(_python_index)


async def npm_registry() -> str:
    """Base URL of the npm registry, likewise."""
    return await asyncio.to_thread(_npm_registry)


@cache
def _python_index() -> str:
    found = os.environ.get("PIP_INDEX_URL") or _said([sys.executable, "-m", "pip", "config", "get", "global.index-url"])
    found = found or _said([sys.executable, "-c", PIP_DEFAULT])
    if not URL.fullmatch(found):
        raise RefusedError(
            503, "The gateway's host has no Python package index: no pip, and no PIP_INDEX_URL. Tell whoever runs it."
        )
    return found.rstrip("/")


@cache
def _npm_registry() -> str:
    npm = shutil.which("npm")
    found = _said([npm, "config", "get", "registry"]) if npm else os.environ.get("NPM_CONFIG_REGISTRY", "")
    if not URL.fullmatch(found):
        raise RefusedError(
            503, "The gateway's host has no npm registry: no npm, and no NPM_CONFIG_REGISTRY. Tell whoever runs it."
        )
    return found.rstrip("/")


def _said(command: Sequence[str]) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
