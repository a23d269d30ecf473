"""Rows of HumanEval, which is `test`, and of MBPP sanitized, whose validation split is `dev` and whose prompt split is
`shots`, laid out as HumanEval's are: what stands before the function's body, with a docstring; the body; the tests.

Sources are the hub's parquet files or the authors' own: HumanEval.jsonl.gz, and sanitized-mbpp.json, which holds all of
MBPP sanitized; a row's number says there which split it belongs to.
"""

import ast
import gzip
import json
from pathlib import Path

DEV = range(511, 601)
SHOTS = range(1, 11)

Row = dict[str, str]


def rows(sources: dict[str, Path]) -> dict[str, list[Row]]:
    """The rows of each split; `sources` names the files of `test`, `dev` and `shots`."""
    return {
        "dev": _mbpp(sources["dev"], DEV),
        "test": [_humaneval(read) for read in _read(sources["test"])],
        "shots": _mbpp(sources["shots"], SHOTS),
    }


def _read(path: Path) -> list[dict]:
    if path.suffix == ".parquet":
        import pyarrow.parquet

        found: list[dict] = pyarrow.parquet.read_table(path).to_pylist()
        return found
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = content.decode("utf-8")
    if path.suffix == ".json":
        return list(json.loads(text))
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _humaneval(read: dict) -> Row:
    return {
        "id": read["task_id"],
        "question": read["prompt"],
        "solution": read["canonical_solution"],
        "test": read["test"],
        "entry_point": read["entry_point"],
    }


def _mbpp(path: Path, ids: range) -> list[Row]:
    return [_laid_out(read) for read in sorted(_read(path), key=lambda read: read["task_id"]) if read["task_id"] in ids]


def _laid_out(read: dict) -> Row:
    """A row of MBPP in HumanEval's form; the first test is the docstring's example: MBPP's prompt shows it too."""
    code = read["code"].replace("\r\n", "\n").expandtabs(4)
    tests = [*read["test_imports"], *read["test_list"]]
    name = _entry_point(code, read["test_list"][0])
    function = next(node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef) and node.name == name)
    lines = code.split("\n")
    begin = function.body[0].lineno - 1
    indent = lines[begin][: len(lines[begin]) - len(lines[begin].lstrip())]
    docstring = [f'r"""{read["prompt"].strip()}', "", f"Example: {read['test_list'][0].strip()}", '"""']
    head = [line.rstrip() for line in lines[:begin]] + [indent + line if line else "" for line in docstring]
    return {
        "id": f"MBPP/{read['task_id']}",
        "question": "\n".join(head) + "\n",
        "solution": "\n".join(line.rstrip() for line in lines[begin:]).rstrip() + "\n",
        "test": "\n".join(["def check(candidate):", *(f"    {line.strip()}" for line in tests)]) + "\n",
        "entry_point": name,
    }


def _entry_point(code: str, test: str) -> str:
    """The function of the code that a test calls."""
    defined = {node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
    called = [
        node.func.id
        for node in ast.walk(ast.parse(test))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return next(name for name in called if name in defined)
