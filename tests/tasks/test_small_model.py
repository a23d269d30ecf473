"""Each of the five tasks is scored for real on this machine: a small model, published test questions."""

import pytest
from benching import first_questions, in_memory

from posttrainbench.sandbox.local import Local


@pytest.mark.long
@pytest.mark.parametrize("name", ["aime2025", "gpqa", "gsm8k", "humaneval", "bfcl"])
def test_a_small_model_is_scored_on_published_questions(name: str) -> None:
    """tests/docker/test_docker_tasks.py does it in the evaluation container."""
    with in_memory() as place:
        found = first_questions(Local(), name, place)
    assert (found.task, found.split, found.n, found.backend) == (name, "test", 2, "hf")
