"""Every kind of sandbox by its name. A new kind is a module that satisfies `Sandbox` and a line here."""

from collections.abc import Callable, Mapping

from posttrainbench.errors import UsageError
from posttrainbench.sandbox import Sandbox
from posttrainbench.sandbox.local import Local


def _local(images: Mapping[str, str]) -> Sandbox:
    return Local()


def _docker(images: Mapping[str, str]) -> Sandbox:
    # Here, so that a verb that needs no engine does not wait for the SDK.
    from posttrainbench.sandbox.docker import Docker

    return Docker(images)


KINDS: dict[str, Callable[[Mapping[str, str]], Sandbox]] = {"local": _local, "docker": _docker}


def check(name: str) -> None:
    """Raise UsageError that lists the kinds if there is none of that name."""
    if name not in KINDS:
        raise UsageError(f"There is no sandbox named {name!r}. Known: {', '.join(sorted(KINDS))}.")


def open_sandbox(name: str, images: Mapping[str, str] | None = None) -> Sandbox:
    """The sandbox of that kind, which uses the images of a plan."""
    check(name)
    return KINDS[name](images or {})


def images(name: str) -> dict[str, str]:
    """Digest of each image that a run in such a sandbox would use now; raises MissingError if one is not here."""
    if name != "docker":
        return {}
    from posttrainbench.sandbox import images
    from posttrainbench.sandbox.engine import Engine

    return images.digests(Engine(), images.chosen_variant())
