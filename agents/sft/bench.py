"""The task as its bench folder tells it: rows, and the very prompt and target that the evaluator makes of a row."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Bench:
    """A bench folder. `prompt(row)` and `target(row)` follow lm_eval.yaml's doc_to_text and doc_to_target."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = json.loads((folder / "bench.json").read_text(encoding="utf-8"))
        self.task: str = self.settings["task"]
        yaml = _read_yaml(folder)
        self.prompt = _renderer(yaml["doc_to_text"])
        self.target = _renderer(yaml["doc_to_target"])
        self.delimiter: str = yaml.get("target_delimiter", " ")
        self.description: str = yaml.get("description", "")
        """Stands before the prompt; with a chat template it is the system's turn."""

    @property
    def chat_template(self) -> str | None:
        """The template that wraps prompts, where the protocol uses one."""
        if not self.settings["chat_template"]:
            return None
        return (self.folder / "chat_template.jinja").read_text(encoding="utf-8")

    def rows(self, name: str) -> list[Row]:
        """Rows of `<name>.jsonl`; none where there is no such file."""
        path = self.folder / f"{name}.jsonl"
        if not path.exists():
            return []
        # Not splitlines(): real questions hold separators such as U+2028, which end no line of JSON.
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _read_yaml(folder: Path) -> dict[str, Any]:
    import yaml  # Comes with transformers.

    class Loader(yaml.SafeLoader):
        """Understands lm-eval's `!function module.name`."""

    def function(loader: Any, node: Any) -> Callable[[Row], Any]:
        module, _, name = loader.construct_scalar(node).rpartition(".")
        return getattr(_module(folder, module), name)

    Loader.add_constructor("!function", function)
    with (folder / "lm_eval.yaml").open(encoding="utf-8") as file:
        return yaml.load(file, Loader=Loader)  # noqa: S506  # a SafeLoader


def _module(folder: Path, name: str) -> Any:
    full = f"bench_{name}"
    if full not in sys.modules:
        for place in (folder, folder / "lib"):
            if str(place) not in sys.path:
                sys.path.append(str(place))
        spec = importlib.util.spec_from_file_location(full, folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


def _renderer(rule: Any) -> Callable[[Row], str]:
    """As lm-eval reads it: a function, the name of a column, or a Jinja template."""
    if callable(rule):
        return lambda row: str(rule(row))
    import jinja2

    template = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True).from_string(str(rule))  # noqa: S701
    return lambda row: str(row[rule]) if rule in row else template.render(**row)
