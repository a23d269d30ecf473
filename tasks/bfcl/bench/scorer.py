"""Are these the right calls? Parsed here without running them, judged by BFCL's own AST checker.

An answer is a list of calls (`[f(x=1), g(y=2)]`, the form that BFCL asks models for; the brackets may be left out)
with keyword arguments whose values are literals; a bare name counts as the text of that name, as in BFCL's own
parser. It may stand in a code fence. If the answer as a whole is not Python, its first line alone must be the list:
prose may follow. Or it is made of `<tool_call>` blocks, the form that the chat templates of Qwen and SmolLM teach,
each with JSON of `name` and `arguments`. What a model thinks up to `</think>` does not count. Everything else is
wrong: prose before the calls, positional or starred arguments, a second statement with calls, values that would have
to be computed.

Where no function fits, the empty list `[]` alone is right. BFCL itself takes anything that is not a call, even nothing
at all, so that a model that cannot answer would be right there.

The checker comes from the package bfcl-eval, laid beside this file as lib/. Its module imports the configuration of
every provider's client, so a stand-in takes that place; so do the converters for Java and JavaScript, which this task
does not need.
"""

import ast
import itertools
import json
import re
import sys
import types
import warnings
from pathlib import Path

METRIC = "ast_accuracy"
LONGEST = 8000
MOST_ORDERS = 24
NAME = "ptb"
TOOL_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>\s*", re.DOTALL)

Calls = list[dict]


def process_results(doc: dict[str, str], results: list[str]) -> dict[str, float]:
    """lm-eval's hook: the verdict on one answer."""
    functions, answer = json.loads(doc["functions"]), json.loads(doc["answer"])
    return {METRIC: score(doc["category"], functions, answer, results[0])}


def score(category: str, functions: list[dict], answer: list, response: str) -> float:
    """1.0 if `response` makes the calls of `functions` that `answer` (BFCL's ground truth) allows, else 0.0."""
    calls = parse(response)
    if calls is None:
        return 0.0
    if category == "irrelevance":
        return 1.0 if calls == [] else 0.0
    # The checker gives the first right answer the first call that fits, which may be the only one that fits a later
    # one; the order of parallel calls means nothing, so any order that it takes will do.
    orders = itertools.permutations(calls) if "parallel" in category and len(calls) == len(answer) else [calls]
    return float(any(_valid(category, functions, answer, list(one)) for one in itertools.islice(orders, MOST_ORDERS)))


def _valid(category: str, functions: list[dict], answer: list, calls: Calls) -> bool:
    try:
        found = _checker().ast_checker(functions, calls, answer, _python(), category, NAME)
    except (ArithmeticError, AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError):
        # The checker expects values of the right shape; one that it fails on is not among the right ones.
        return False
    return found["valid"] is True


def parse(response: str) -> Calls | None:
    """The calls in an answer as BFCL's checker takes them, `[{name: {argument: value}}]`; None where it is none."""
    text = response.rpartition("</think>")[2].strip()
    if len(text) > LONGEST:
        return None
    try:
        return _tool_calls(text) if text.startswith("<tool_call>") else _python_calls(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _tool_calls(text: str) -> Calls:
    """The calls of an answer that is made of `<tool_call>` blocks and nothing else; raises ValueError."""
    if TOOL_CALL.sub("", text):
        raise ValueError("something beside the blocks")
    calls = []
    for block in TOOL_CALL.findall(text):
        found = json.loads(block, object_pairs_hook=_once)
        if set(found) != {"name", "arguments"} or not isinstance(found["name"], str):
            raise ValueError("not a name and arguments")
        if not isinstance(found["arguments"], dict):
            raise ValueError("arguments are not an object")
        calls.append({found["name"]: found["arguments"]})
    return calls


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object whose keys are all different; raises ValueError."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a repeated key")
    return dict(pairs)


def _python_calls(text: str) -> Calls | None:
    fence = re.match(r"```(?:python|py|tool_code)?\s*\n?", text)
    if fence:
        text = text[fence.end() :].split("```", 1)[0]
    text = text.strip().strip("`").strip()
    tree = _tree(text) or _tree(text.split("\n", 1)[0])
    if tree is None or not isinstance(tree.body[0], ast.Expr):
        return None
    if any(isinstance(node, ast.Call) for later in tree.body[1:] for node in ast.walk(later)):
        return None
    value = tree.body[0].value
    # Calls with commas between them and no brackets are a list to BFCL, a tuple to Python.
    several = isinstance(value, ast.List) or (isinstance(value, ast.Tuple) and not text.startswith("("))
    return [_call(node) for node in (value.elts if several else [value])]


def _tree(text: str) -> ast.Module | None:
    """The syntax tree of a text; None where it is not Python, or nested so deeply that Python gives up."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    return tree if tree.body else None


def _call(node: ast.expr) -> dict:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("not a call with keyword arguments only")
    arguments = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise ValueError("a starred or repeated argument")
        value = keyword.value
        arguments[keyword.arg] = value.id if isinstance(value, ast.Name) else ast.literal_eval(value)
    return {_dotted(node.func): arguments}


def _dotted(node: ast.expr) -> str:
    """`a.b.c` as text."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise ValueError("the function is not a name")
    return ".".join([node.id, *reversed(names)])


def _checker() -> types.ModuleType:
    """BFCL's checker, imported once, with stand-ins for what would need every provider's client."""
    name = "bfcl_eval.eval_checker.ast_eval.ast_checker"
    if name not in sys.modules:
        library = str(Path(__file__).resolve().parent / "lib")
        if library not in sys.path:
            sys.path.insert(0, library)
        models = types.ModuleType("bfcl_eval.constants.model_config")
        models.MODEL_CONFIG_MAPPING = {NAME: types.SimpleNamespace(underscore_to_dot=False)}
        sys.modules[models.__name__] = models
        for language in ("java", "js"):
            converter = types.ModuleType(f"bfcl_eval.eval_checker.ast_eval.type_convertor.{language}_type_converter")
            setattr(converter, f"{language}_type_converter", None)
            sys.modules[converter.__name__] = converter
    from bfcl_eval.eval_checker.ast_eval import ast_checker

    return ast_checker


def _python() -> object:
    from bfcl_eval.constants.enums import Language

    return Language.PYTHON
