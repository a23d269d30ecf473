"""Every kind of sandbox by its name. A new kind is a module that satisfies `Sandbox` and a line here."""

from collections.abc import Callable

from posttrainbench.errors import UsageError
from posttrainbench.sandbox import Sandbox
from posttrainbench.sandbox.local import Local

KINDS: dict[str, Callable[[], Sandbox]] = {"local": Local}


def open_sandbox(name: str) -> Sandbox:
    """The sandbox of that kind; raises UsageError that lists the kinds."""
    if name not in KINDS:
        raise UsageError(f"There is no sandbox named {name!r}. Known: {', '.join(sorted(KINDS))}.")
    return KINDS[name]()
