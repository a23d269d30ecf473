"""Training examples of a task: pairs of prompt and completion, in the evaluator's own words."""

import itertools
import json
import random
from collections.abc import Callable, Iterable
from typing import Any

from bench import Bench, Row
from calls import Request, requests

Example = dict[str, str]
MADE_UP = 4000
"""How many function calls are made up; more than any session on a CPU gets through."""


class NoRecipeError(Exception):
    """The task offers nothing to learn from."""


def examples(bench: Bench, tokenizer: Any, seed: int) -> list[Example]:
    """Shuffled examples; raises NoRecipeError."""
    rows = RECIPES.get(bench.task, given)(bench, seed)
    pairs = [as_example(bench, tokenizer, prompt, target) for prompt, target in rows]
    random.Random(seed).shuffle(pairs)
    return pairs


def given(bench: Bench, seed: int) -> Iterable[tuple[str, str]]:
    """The training split that the task offers."""
    rows = bench.rows("train")
    if not rows:
        raise NoRecipeError(
            f"The task {bench.task} offers no train.jsonl, and there is no recipe here that makes examples for it."
        )
    return [(bench.prompt(row), bench.target(row)) for row in rows]


def function_calls(bench: Bench, seed: int) -> Iterable[tuple[str, str]]:
    """Function calls that are made up here; worked examples of the bench only tell how a row is laid out."""
    layout = (bench.rows("shots") or bench.rows("questions"))[0]
    for request in itertools.islice(requests(seed), MADE_UP):
        call = written(request)
        yield bench.prompt(laid_out(layout, request)), f"[{call}]" if "functions" in layout else call


def laid_out(layout: Row, request: Request) -> Row:
    """The request as a row of the task: with its columns, each in the form that the task has it in."""
    row = dict(layout)
    row["id"] = "made-up"
    if isinstance(layout["question"], str):
        row["question"] = request.question
    else:
        row["question"] = [[{"role": "user", "content": request.question}]]
    for name in ("function", "functions"):
        if name in layout:
            asked = layout[name]
            text = asked if isinstance(asked, str) else ""
            functions: Any = [request.function] if text.startswith("[") or isinstance(asked, list) else request.function
            row[name] = json.dumps(functions) if text else functions
    return row


def written(request: Request) -> str:
    """The call in Python's notation."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in request.arguments.items())
    return f"{request.function['name']}({arguments})"


def as_example(bench: Bench, tokenizer: Any, prompt: str, target: str) -> Example:
    """With the chat template around it where the protocol has one, so that training sees what the evaluator shows."""
    template = bench.chat_template
    if template is None:
        return {"prompt": bench.description + prompt, "completion": bench.delimiter + target}
    system = [{"role": "system", "content": bench.description}] if bench.description else []
    asked = [*system, {"role": "user", "content": prompt}]
    shown = _render(tokenizer, template, asked, add_generation_prompt=True)
    said = _render(tokenizer, template, [*asked, {"role": "assistant", "content": target}], add_generation_prompt=False)
    if tokenizer.bos_token and getattr(tokenizer, "add_bos_token", False):
        shown, said = (text.removeprefix(tokenizer.bos_token) for text in (shown, said))
    return {"prompt": shown, "completion": said.removeprefix(shown).rstrip("\n")}


def _render(tokenizer: Any, template: str, messages: list[dict[str, str]], **options: Any) -> str:
    return str(tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, **options))


RECIPES: dict[str, Callable[[Bench, int], Iterable[tuple[str, str]]]] = {
    "bfcl": function_calls,
    "bfcl-simple": function_calls,
}
"""Recipe by task; any other task is learnt from the training split that it offers."""
