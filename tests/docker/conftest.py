"""Every test here needs a container engine and the images; it leaves nothing behind in the engine."""

import os
from collections.abc import Iterator

import pytest
from docking import ENVIRONMENT, LIMITS, OWNER, reachable

from posttrainbench.sandbox.docker import Docker
from posttrainbench.sandbox.engine import Engine

os.environ |= ENVIRONMENT


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/docker/" in str(item.path):
            item.add_marker(pytest.mark.docker)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine."""
    found = reachable()
    yield found
    for one in Engine().containers(ptb__owner=OWNER):
        Engine().remove(one.id)


@pytest.fixture
def box(engine: Engine) -> Docker:
    """A sandbox with small limits."""
    return Docker(engine=Engine(), limits=LIMITS)
