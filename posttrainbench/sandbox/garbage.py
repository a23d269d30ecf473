"""What no run needs any more: found by our own labels alone, so nothing of another owner is ever touched."""

import datetime
from collections.abc import Mapping
from typing import Literal

from posttrainbench.sandbox.container import is_orphan, owner
from posttrainbench.sandbox.engine import Engine
from posttrainbench.sandbox.leases import Leases
from posttrainbench.strict import Value


class Item(Value, frozen=True, kw_only=True):
    """Something to remove, and why."""

    kind: Literal["container", "network", "volume", "lease"]
    name: str
    run: str
    why: str


def find(engine: Engine, leases: Leases) -> list[Item]:
    """What bears our label and has expired, jobs whose ptb is gone, and GPU leases that hold no more."""
    found = []
    for one in engine.containers(ptb__owner=owner()):
        why = "its ptb is gone" if is_orphan(one.labels) else _expiry(one.labels)
        if why:
            found.append(Item(kind="container", name=one.name, run=one.labels.get("ptb.run", ""), why=why))
    for kind, name, labels in engine.networks_and_volumes(owner()):
        if why := _expiry(labels):
            found.append(Item(kind=kind, name=name, run=labels.get("ptb.run", ""), why=why))
    return found + [Item(kind="lease", name=card, run="", why="nobody holds it") for card in leases.stale()]


def remove(engine: Engine, leases: Leases, items: list[Item]) -> None:
    """Remove what `find` found; what is gone already is no failure."""
    for item in items:
        if item.kind == "container":
            engine.remove(item.name)
        elif item.kind != "lease":
            engine.remove_other(item.kind, item.name)
    if any(item.kind == "lease" for item in items):
        leases.sweep()


def _expiry(labels: Mapping[str, str]) -> str:
    """Why it may be removed; empty if it may not, as when its label cannot be read."""
    text = labels.get("ptb.expires", "")
    try:
        moment = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        return ""
    return f"expired {text}" if moment < datetime.datetime.now(datetime.UTC) else ""
