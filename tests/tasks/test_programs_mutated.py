"""As test_scorers_mutated.py, for scorers that are more than one file. HumanEval's runs each answer in a process of its
own, so a mutation names the row of the table that notices it, and no row is run that could do harm if let."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from benching import TASKS, lay, module

HERE = Path(__file__).parent

HUMANEVAL = [
    ("scorer.py", 'response.rpartition("</think>")[2]', "response", "only thought"),
    ("scorer.py", "len(text) > LONGEST or", "", "too long"),
    ("scorer.py", "blocks[-1] if blocks", "blocks[0] if blocks", "builtin: last block"),
    ("scorer.py", " if defines.search(block)]", "]", "builtin: block in prose"),
    ("scorer.py", 'bool(defines.match(text.lstrip("\\n"))) or', "", "builtin: function alone"),
    ("scorer.py", " or bool(blocks)\n", "\n", "builtin: block"),
    ("scorer.py", "if isinstance(node, KEPT)]", "]", "builtin: with examples"),
    ("scorer.py", "and node.name == name][1:]", "and node.name == name][:0]", "builtin: completion written twice"),
    ("scorer.py", 'text = "\\n".join(lines[: tops[-1]])', "return None", "builtin: completion with prose"),
    ("scorer.py", "except (WrongError, Exception):\n            return False", "except Exception: pass", "constant"),
    (
        "scorer.py",
        "(WrongError, Exception):",
        "WrongError:\n            return True\n        except Exception:",
        "exits well at once",
    ),
    ("scorer.py", 'namespace["check"](function)', "pass", "stub"),
    ("scorer.py", 'if named & {"datetime", "time"}:', "if False:", "lazy library"),
    ("candidate.py", "    lock()\n    os.write", "    os.write", "reads a file"),
    ("candidate.py", '    "poll": (7, None),', '    "poll": (7, None), "openat": (257, 56),', "reads a file"),
    ("candidate.py", "set(NAMES.split())", "{*NAMES.split(), 'socket'}", "a library that is not listed"),
    ("candidate.py", "0x00050000 | 1", "0x7FFF0000", "reads a file"),
    ("candidate.py", "for descriptor in (0, 1, 2):", "for descriptor in (0, 2):", "prints much"),
    ("candidate.py", 'for name in [*ALWAYS, *task["modules"]]:', "for name in ALWAYS:", "import"),
    (
        "candidate.py",
        "if isinstance(value, int):\n        return",
        "if type(value) is int:\n        return",
        "subclass",
    ),
]
"""File, what stands in it, what is put there, and the row that then gets another verdict."""

BOTH = [
    ("if len(text) > LONGEST:", "if False:"),
    ('found["valid"] is True', "True"),
    (" or node.args:", ":"),
    ("value.id if isinstance(value, ast.Name) else ast.literal_eval(value)", "ast.literal_eval(value)"),
    (' or _tree(text.split("\\n", 1)[0])', ""),
    ("or not isinstance(tree.body[0], ast.Expr)", ""),
    ("if any(isinstance(node, ast.Call)", "if any(False"),
    ("if fence:", "if False:"),
]
BFCL = {
    "bfcl": [
        *BOTH,
        ('response.rpartition("</think>")[2]', "response"),
        ("if calls is None:\n        return 0.0", "calls = calls or []"),
        ("return 1.0 if calls == [] else 0.0", "return 1.0"),
        ('if category == "irrelevance":', "if False:"),
        ('if "parallel" in category and len(calls) == len(answer) else [calls]', "if False else [calls[:1]]"),
        ('text.startswith("<tool_call>")', "False"),
        ('if TOOL_CALL.sub("", text):', "if False:"),
        ('set(found) != {"name", "arguments"}', 'not {"name", "arguments"} <= set(found)'),
        (", object_pairs_hook=_once", ""),
        (' and not text.startswith("(")', ""),
        ("(isinstance(value, ast.Tuple)", "(False"),
        ("value.elts if several", "value.elts[:1] if several"),
    ],
    "bfcl-simple": [
        *BOTH,
        ("value.elts if isinstance(value, ast.List)", "value.elts[:1] if isinstance(value, ast.List)"),
    ],
}


@pytest.fixture(scope="module")
def humaneval() -> ModuleType:
    return module(HERE / "test_humaneval_scorer.py", "table_of_humaneval")


def score(folder: Path, name: str, row: dict[str, str], response: str, monkeypatch: pytest.MonkeyPatch) -> float:
    """What the scorer in `folder` gives, with the candidate.py that lies beside it."""
    monkeypatch.delitem(sys.modules, "ptb_humaneval_candidate", raising=False)
    scorer = module(folder / "scorer.py", name)
    scorer.SECONDS = 2.0
    found: float = scorer.score(row, response)
    monkeypatch.delitem(sys.modules, "ptb_humaneval_candidate", raising=False)
    return found


@pytest.mark.parametrize(("file", "old", "new", "row"), HUMANEVAL, ids=range(len(HUMANEVAL)))
def test_every_mutation_of_humaneval_s_scorer_fails_its_row(
    file: str, old: str, new: str, row: str, humaneval: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = shutil.copytree(TASKS / "humaneval" / "bench", tmp_path / "bench")
    table = {one.id: (one.values[0], verdict) for verdict in (1.0, 0.0) for one in humaneval.TABLE[verdict]}
    response, verdict = table[row if row in table else f"{row}: completion"]
    assert score(bench, "whole_humaneval", humaneval.ROW, response, monkeypatch) == verdict
    source = (bench / file).read_text()
    assert source.count(old) >= 1, f"{old!r} stands no more in {file}"
    (bench / file).write_text(source.replace(old, new))
    assert score(bench, "mutated_humaneval", humaneval.ROW, response, monkeypatch) == 1.0 - verdict


def verdicts(name: str, scorer: ModuleType, table: ModuleType) -> Iterator[bool]:
    """Whether each answer of a table gets the verdict that stands there."""
    for expected, rows in ((1.0, table.RIGHT), (0.0, table.WRONG)):
        for row in rows:
            asked = (row[0], *table.CASES[row[0]], row[1]) if name == "bfcl" else (table.FUNCTION, table.ANSWER, row)
            yield scorer.score(*asked) == expected


@pytest.mark.parametrize("name", BFCL)
def test_every_mutation_of_bfcl_s_scorers_fails_its_table(name: str, tmp_path: Path) -> None:
    bench, short = lay(name, tmp_path / "bench"), name.replace("-", "_")
    table = module(HERE / f"test_{short}_scorer.py", f"table_of_{short}")
    source = (bench / "scorer.py").read_text()
    assert all(verdicts(name, module(bench / "scorer.py", f"whole_{short}"), table))
    survived = []
    for number, (old, new) in enumerate(BFCL[name]):
        assert source.count(old) >= 1, f"{old!r} stands no more in the scorer of {name}"
        (bench / f"mutated_{number}.py").write_text(source.replace(old, new))
        if all(verdicts(name, module(bench / f"mutated_{number}.py", f"mutated_{short}_{number}"), table)):
            survived.append(old)
    assert survived == []
