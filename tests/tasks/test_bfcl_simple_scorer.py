import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from benching import lay, module, splits

FUNCTION = {
    "name": "shop.order",
    "description": "Order something.",
    "parameters": {
        "type": "dict",
        "properties": {
            "item": {"type": "string", "description": "What."},
            "count": {"type": "integer", "description": "How many."},
            "price": {"type": "float", "description": "At most."},
            "gift": {"type": "boolean", "description": "Whether it is wrapped. Default false."},
            "tags": {"type": "array", "items": {"type": "string"}, "description": "Words."},
            "to": {"type": "dict", "properties": {"city": {"type": "string"}}, "description": "Where to."},
        },
        "required": ["item", "count"],
    },
}
ANSWER = [
    {
        "shop.order": {
            "item": ["red apple", "apple"],
            "count": [3],
            "price": [2.5, 2.0, ""],
            "gift": [False, ""],
            "tags": [["a", "b"], ""],
            "to": [{"city": ["New York", "NYC"]}, ""],
        }
    }
]
GOOD = "shop.order(item='apple', count=3)"

RIGHT = [
    GOOD,
    f" {GOOD}",
    f"\n\n{GOOD}\n",
    'shop.order(item="apple", count=3)',
    "shop.order(count=3, item='apple')",
    "shop.order(item='Red Apple', count=3)",
    "shop.order(item='red-apple', count=3)",
    "shop.order(item=apple, count=3)",
    "shop.order(item='apple', count=3, gift=False)",
    "shop.order(item='apple', count=3, price=2.5)",
    "shop.order(item='apple', count=3, price=2)",
    "shop.order(item='apple', count=3, tags=['a', 'b'])",
    "shop.order(item='apple', count=3, tags=['A', 'B'])",
    "shop.order(item='apple', count=3, to={'city': 'NYC'})",
    f"[{GOOD}]",
    f"`{GOOD}`",
    f"```python\n{GOOD}\n```",
    f"```\n{GOOD}\n```\nThis orders three apples.",
    "shop.order(\n    item='apple',\n    count=3,\n)",
    f"{GOOD}\nThis orders three apples.",
    f"{GOOD}\nQuestion",
    f"{GOOD}  # three apples",
    "(shop.order)(item='apple', count=3)",
    "shop . order(item='apple', count=+3)",
]
WRONG = [
    "",
    " \n ",
    "shop.order",
    "shop.order()",
    "shop.order(item='apple')",
    "shop.order(item='apple', count=4)",
    "shop.order(item='pear', count=3)",
    "shop.order(item='apple', count='3')",
    "shop.order(item='apple', count=3.0)",
    "shop.order(item='apple', count=True)",
    "shop.order(item='apple', count=None)",
    "shop.order(item=['apple'], count=3)",
    "shop.order(item='apple', count=[3])",
    "shop.order(item='apple', count={3})",
    "shop.order(item='apple', count=3, gift=True)",
    "shop.order(item='apple', count=3, gift='False')",
    "shop.order(item='apple', count=3, gift=0)",
    "shop.order(item='apple', count=3, price='2.5')",
    "shop.order(item='apple', count=3, price=9.0)",
    "shop.order(item='apple', count=3, tags=['b', 'a'])",
    "shop.order(item='apple', count=3, tags=[1])",
    "shop.order(item='apple', count=3, tags='a')",
    "shop.order(item='apple', count=3, to={'city': 'Rome'})",
    "shop.order(item='apple', count=3, to={'town': 'NYC'})",
    "shop.order(item='apple', count=3, to={})",
    "shop.order(item='apple', count=3, to='NYC')",
    "shop.order(item='apple', count=3, colour='red')",
    "shop.order('apple', 3)",
    "shop.order('apple', count=3)",
    "shop.order('apple', item='apple', count=3)",
    "shop.order(*['apple', 3])",
    "shop.order(**{'item': 'apple', 'count': 3})",
    "shop.order(item='apple', item='pear', count=3)",
    "order(item='apple', count=3)",
    "shop_order(item='apple', count=3)",
    "SHOP.ORDER(item='apple', count=3)",
    "shop.order(item='apple', count=1+2)",
    "shop.order(item='app' + 'le', count=3)",
    "shop.order(item=str('apple'), count=3)",
    "shop.order(item='apple', count=len('abc'))",
    f"{GOOD}; {GOOD}",
    f"{GOOD}\n{GOOD}",
    f"[{GOOD}, {GOOD}]",
    "[]",
    f"({GOOD}, {GOOD})",
    f"x = {GOOD}",
    f"await {GOOD}",
    f"print({GOOD})",
    f"{GOOD}.result",
    f"{GOOD}()",
    f"Sure! {GOOD}",
    f"The call is:\n{GOOD}",
    f"'{GOOD}'",
    f"# {GOOD}",
    '{"name": "shop.order", "arguments": {"item": "apple", "count": 3}}',
    "shop.order(item='apple', count=３)",
    "ｓｈｏｐ.order(item='apple', count=4)",
    "shop.order(item='apple', count=3",
    "shop.order(item='apple', count=3))",
    "shop.order(item='apple\x00', count=3)",
    "\x00",
    "\ud800",
    "(" * 3000,
    "[" * 150 + "]" * 150,
    "-" * 7000 + "1",
    "shop.order(item='apple', count=" + "-" * 3000 + "3)",
    "shop.order(item='apple', count=" + "9" * 7000 + ")",
    "shop.order(item='apple', count=3, price=" + "9" * 400 + ")",
    "a." * 3500 + "b()",
    "x" * 100_000,
    f"{GOOD}#{'x' * 100_000}",
    "shop.order(item=__import__('os').system('true'), count=3)",
    "shop.order(item='apple', count=9**9**9**9)",
]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    folder = lay("bfcl-simple", tmp_path_factory.mktemp("bfcl-simple") / "bench")
    return module(folder / "scorer.py", "bfcl_simple_scorer")


@pytest.mark.parametrize("response", RIGHT, ids=range(len(RIGHT)))
def test_a_right_call_scores_one(scorer: ModuleType, response: str) -> None:
    assert scorer.score(FUNCTION, ANSWER, response) == 1.0


@pytest.mark.parametrize("response", WRONG, ids=range(len(WRONG)))
def test_anything_else_scores_zero(scorer: ModuleType, response: str) -> None:
    assert scorer.score(FUNCTION, ANSWER, response) == 0.0


def test_every_worked_call_is_right_by_the_official_checker(scorer: ModuleType) -> None:
    rows = [row for split in splits("bfcl-simple").values() for row in split]
    wrong = [row["id"] for row in rows if scorer.process_results(row, [f" {row['call']}"]) != {"ast_accuracy": 1.0}]
    assert (len(rows), wrong) == (400, [])


def test_no_call_is_right_for_another_question(scorer: ModuleType) -> None:
    rows = splits("bfcl-simple")["dev"]
    calls = [row["call"] for row in rows[1:]] + [rows[0]["call"]]
    assert sum(_score(scorer, row, call) for row, call in zip(rows, calls, strict=True)) == 0


def _score(scorer: ModuleType, row: dict[str, Any], call: str) -> float:
    return scorer.score(json.loads(row["function"]), json.loads(row["answer"]), call)


def test_the_bench_holds_the_checker_but_none_of_its_data(tmp_path: Path) -> None:
    folder = lay("bfcl-simple", tmp_path / "bench")
    assert {path.suffix for path in (folder / "lib").rglob("*") if path.is_file()} == {".py"}
