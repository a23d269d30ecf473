"""Is the answer a right call of the function? Parsed here without running it, judged by BFCL's own AST checker.

An answer is one call with keyword arguments whose values are literals; a bare name counts as the text of that name, as
in BFCL's own parser. It may stand in a code fence or in brackets (`[f(x=1)]`, the form that BFCL asks models for). If
the answer as a whole is not Python, its first line alone must be the call: prose may follow. Everything else is wrong:
prose before the call, positional or starred arguments, two calls, values that would have to be computed.

The checker comes from the package bfcl-eval, laid beside this file as lib/. Its module imports the configuration of
every provider's client, so a stand-in takes that place; so do the converters for Java and JavaScript, which this task
does not need.
"""

import ast
import json
import re
import sys
import types
import warnings
from pathlib import Path

METRIC = "ast_accuracy"
LONGEST = 8000
NAME = "ptb"


def process_results(doc: dict[str, str], results: list[str]) -> dict[str, float]:
    """lm-eval's hook: the verdict on one answer."""
    return {METRIC: score(json.loads(doc["function"]), json.loads(doc["answer"]), results[0])}


def score(function: dict, answer: list, response: str) -> float:
    """1.0 if `response` calls `function` with arguments that `answer` (BFCL's ground truth) allows, else 0.0."""
    calls = parse(response)
    if calls is None:
        return 0.0
    try:
        found = _checker().ast_checker([function], calls, answer, _python(), "simple_python", NAME)
    except (ArithmeticError, AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError):
        # The checker expects values of the right shape; one that it fails on is not among the right ones.
        return 0.0
    return 1.0 if found["valid"] is True else 0.0


def parse(response: str) -> list[dict] | None:
    """The calls in an answer as BFCL's checker takes them, `[{name: {argument: value}}]`; None where there is none."""
    text = response.strip()
    if len(text) > LONGEST:
        return None
    fence = re.match(r"```(?:python|py)?\s*\n?", text)
    if fence:
        text = text[fence.end() :].split("```", 1)[0]
    text = text.strip().strip("`").strip()
    tree = _tree(text) or _tree(text.split("\n", 1)[0])
    if tree is None or not isinstance(tree.body[0], ast.Expr):
        return None
    if any(isinstance(node, ast.Call) for later in tree.body[1:] for node in ast.walk(later)):
        return None
    value = tree.body[0].value
    nodes = value.elts if isinstance(value, ast.List) else [value]
    try:
        return [_call(node) for node in nodes]
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


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
