import itertools
import json
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from benching import lay, module, splits

ORDER = {
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
WEATHER = {
    "name": "weather",
    "description": "The weather.",
    "parameters": {"type": "dict", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
}
WEATHER["parameters"]["required"] = ["city"]  # type: ignore[index]
APPLES = {
    "shop.order": {
        "item": ["red apple", "apple"],
        "count": [3],
        "price": [2.5, 2.0, ""],
        "gift": [False, ""],
        "tags": [["a", "b"], ""],
        "to": [{"city": ["New York", "NYC"]}, ""],
    }
}
PEARS = {"shop.order": {"item": ["pear"], "count": [4], "gift": [True]}}
ROME, OSLO = {"weather": {"city": ["Rome"], "days": [2, ""]}}, {"weather": {"city": ["Oslo"], "days": [""]}}
CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "simple_python": ([ORDER], [APPLES]),
    "multiple": ([WEATHER, ORDER], [APPLES]),
    "parallel": ([ORDER], [APPLES, PEARS]),
    "parallel_multiple": ([WEATHER, ORDER], [APPLES, ROME, OSLO]),
    "irrelevance": ([WEATHER], []),
}
APPLE, PEAR = "shop.order(item='apple', count=3)", "shop.order(item='pear', count=4, gift=True)"
IN_ROME, IN_OSLO = "weather(city='Rome')", "weather(city='Oslo')"

# One call, as an answer where one is asked for. {} is the call.
FORMS = [
    "[{}]",
    "{}",
    " [{}]",
    "\n\n[{}]\n",
    "[{},]",
    "[\n    {},\n]",
    "```python\n[{}]\n```",
    "```\n{}\n```\nThis orders three apples.",
    "`[{}]`",
    "```tool_code\n{}\n```",
    "[{}]\nThis orders three apples.",
    "[{}]\nQuestion",
    "[{}]  # apples",
    "<think>\nshop.order(item='pear', count=1)?\n</think>\n\n[{}]",
]
RIGHT_CALLS = [
    APPLE,
    "shop.order(count=3, item='Red Apple')",
    "shop.order(item=apple, count=+3)",
    "shop.order(item='apple', count=3, gift=False)",
    "shop.order(item='apple', count=3, price=2)",
    "shop.order(item='red-apple', count=3, tags=['A', 'b'], to={'city': 'NYC'})",
]
WRONG_CALLS = [
    "shop.order()",
    "shop.order(item='apple')",
    "shop.order(item='apple', count=4)",
    "shop.order(item='pear', count=3)",
    "shop.order(item='apple', count='3')",
    "shop.order(item='apple', count=3.0)",
    "shop.order(item='apple', count=True)",
    "shop.order(item='apple', count=None)",
    "shop.order(item=['apple'], count=3)",
    "shop.order(item='apple', count=3, gift=True)",
    "shop.order(item='apple', count=3, gift='False')",
    "shop.order(item='apple', count=3, price=9.0)",
    "shop.order(item='apple', count=3, tags=['b', 'a'])",
    "shop.order(item='apple', count=3, to={'city': 'Rome'})",
    "shop.order(item='apple', count=3, colour='red')",
    "shop.order('apple', 3)",
    "shop.order('apple', item='apple', count=3)",
    "shop.order(*['apple', 3])",
    "shop.order(**{'item': 'apple', 'count': 3})",
    "order(item='apple', count=3)",
    "shop_order(item='apple', count=3)",
    "shop.order(item='apple', count=1+2)",
    "shop.order(item=str('apple'), count=3)",
    "shop.order(item='apple', count=３)",
    "shop.order(item='apple', count=3).result",
    "print(shop.order(item='apple', count=3))",
    "weather(city='apple', days=3)",
]
TOOLS = {
    "apples": {"name": "shop.order", "arguments": {"item": "apple", "count": 3}},
    "pears": {"name": "shop.order", "arguments": {"item": "pear", "count": 4, "gift": True}},
    "rome": {"name": "weather", "arguments": {"city": "Rome"}},
    "oslo": {"name": "weather", "arguments": {"city": "Oslo"}},
}


def tools(*names: str) -> str:
    return "\n".join(f"<tool_call>\n{json.dumps(TOOLS[name])}\n</tool_call>" for name in names)


ONE = ("simple_python", "multiple")
RIGHT = [(category, form.replace("{}", APPLE)) for category, form in itertools.product(ONE, FORMS)]
RIGHT += [(category, f"[{call}]") for category, call in itertools.product(ONE, RIGHT_CALLS[1:])]
RIGHT += [("parallel", f"[{', '.join(order)}]") for order in itertools.permutations([APPLE, PEAR])]
RIGHT += [("parallel_multiple", f"[{', '.join(order)}]") for order in itertools.permutations([APPLE, IN_ROME, IN_OSLO])]
RIGHT += [
    *((category, tools("apples")) for category in ONE),
    ("simple_python", f"<think>{APPLE}</think>\n{tools('apples')}\n"),
    ("simple_python", tools("apples").replace("\n", "")),
    ("parallel", tools("apples", "pears")),
    ("parallel", f"{APPLE}, {PEAR}"),
    ("parallel", f"{PEAR}, {APPLE}\nBoth orders."),
    ("parallel", f"```python\n[\n{APPLE},\n{PEAR}\n]\n```"),
    ("parallel", "[shop.order(item='apple', count=3, gift=False), shop.order(item='pear', count=4, gift=True)]"),
    ("parallel_multiple", tools("rome", "apples", "oslo")),
    ("parallel_multiple", f"[{APPLE}, weather(city='Rome', days=2), {IN_OSLO}]"),
    ("irrelevance", "[]"),
    ("irrelevance", " []\n"),
    ("irrelevance", "[]\nNone of the functions fits."),
    ("irrelevance", "```python\n[]\n```"),
    ("irrelevance", "<think>weather(city='Rome')?</think>[]"),
]
WRONG = [(category, f"[{call}]") for category, call in itertools.product(ONE, WRONG_CALLS)]
WRONG += [("parallel", f"[{call}, {PEAR}]") for call in WRONG_CALLS]
WRONG += [("parallel_multiple", f"[{IN_ROME}, {call}, {IN_OSLO}]") for call in WRONG_CALLS[:12]]
NEVER = [
    "",
    " \n ",
    "[",
    "shop.order",
    "[shop.order]",
    "I cannot do that.",
    "None",
    "{}",
    "()",
    "[[]]",
    "[None]",
    "[1]",
    "''",
    "x",
    "#",
    "<tool_call></tool_call>",
    "<tool_call>{}</tool_call>",
    "<tool_call>[]</tool_call>",
    "<think>[]</think>",
    "\x00",
    "\ud800",
    "(" * 3000,
    "[" * 150 + "]" * 150,
    "x" * 100_000,
    "[] #" + "x" * 100_000,
    "<tool_call>" * 700,
]
WRONG += [(category, response) for response in NEVER for category in CASES]
WRONG += [(category, "[]") for category in CASES if category != "irrelevance"]
WRONG += [
    *((category, f"[{APPLE}, {APPLE}]") for category in CASES),
    *((category, f"{APPLE}\n{APPLE}") for category in CASES),
    *((category, f"Sure! [{APPLE}]") for category in CASES),
    *((category, f"({APPLE}, {PEAR})") for category in CASES),
    *((category, f"calls = [{APPLE}]") for category in CASES),
    ("parallel", APPLE),
    ("parallel", f"[{PEAR}]"),
    ("parallel", f"({APPLE}), {PEAR}"),
    ("parallel", f"{APPLE}\n{PEAR}"),
    ("parallel", f"[{APPLE}]\n[{PEAR}]"),
    ("parallel", f"[{APPLE}, {PEAR}, {PEAR}]"),
    ("parallel", f"[{APPLE}, [{PEAR}]]"),
    ("parallel", f"[{PEAR.replace(', gift=True', '')}, {APPLE}]"),
    ("parallel", tools("apples")),
    ("parallel", tools("apples") + " and " + tools("pears")),
    ("parallel", tools("apples", "pears", "pears")),
    ("parallel_multiple", f"[{APPLE}, {IN_ROME}]"),
    ("parallel_multiple", f"[{APPLE}, {IN_ROME}, {IN_ROME}]"),
    ("parallel_multiple", f"[{APPLE}, {IN_OSLO}, weather(city='Rome', days=3)]"),
    ("parallel_multiple", f"[{APPLE}, {IN_ROME}, weather(city='Oslo', days=1)]"),
    ("simple_python", tools("apples") + "\nDone."),
    ("simple_python", "Sure. " + tools("apples")),
    ("simple_python", tools("apples").replace("arguments", "parameters")),
    ("simple_python", tools("apples").replace("}}", '}, "id": 1}')),
    ("simple_python", tools("apples").replace('"count": 3', '"count": 3, "count": 3')),
    ("simple_python", tools("apples").replace('"count": 3', '"count": "3"')),
    ("simple_python", tools("apples").replace("{", "[", 1)),
    ("simple_python", tools("apples").replace("</tool_call>", "")),
    ("simple_python", tools("apples").replace('"shop.order"', "7")),
    ("simple_python", tools("pears")),
    ("simple_python", json.dumps(TOOLS["apples"])),
    ("simple_python", f"<tool_call>\n{APPLE}\n</tool_call>"),
    ("multiple", f"[{APPLE}, {IN_ROME}]"),
    ("multiple", f"[{IN_ROME}]"),
    ("irrelevance", IN_ROME),
    ("irrelevance", f"[{IN_ROME}]"),
    ("irrelevance", tools("rome")),
    ("irrelevance", "None of the functions can be used."),
    ("irrelevance", "The answer is []"),
    ("irrelevance", f"[]\n{IN_ROME}"),
]


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    folder = lay("bfcl", tmp_path_factory.mktemp("bfcl") / "bench")
    return module(folder / "scorer.py", "bfcl_scorer")


@pytest.mark.parametrize(("category", "response"), RIGHT, ids=range(len(RIGHT)))
def test_right_calls_score_one(scorer: ModuleType, category: str, response: str) -> None:
    functions, answer = CASES[category]
    doc = {"category": category, "functions": json.dumps(functions), "answer": json.dumps(answer)}
    assert scorer.process_results(doc, [response]) == {"ast_accuracy": 1.0}


@pytest.mark.parametrize(("category", "response"), WRONG, ids=range(len(WRONG)))
def test_anything_else_scores_zero(scorer: ModuleType, category: str, response: str) -> None:
    assert scorer.score(category, *CASES[category], response) == 0.0


def test_the_order_of_parallel_calls_means_nothing(scorer: ModuleType) -> None:
    answer = [ROME, {"weather": {"city": ["Rome"], "days": [2]}}]
    calls = ["weather(city='Rome', days=2)", "weather(city='Rome')"]
    orders = [calls, calls[::-1]]
    assert [scorer.score("parallel", [WEATHER], answer, f"[{', '.join(order)}]") for order in orders] == [1.0, 1.0]
    assert scorer.score("parallel", [WEATHER], answer, f"[{calls[1]}, {calls[1]}]") == 0.0


def test_every_worked_answer_is_right_by_the_official_checker(scorer: ModuleType) -> None:
    rows = [row for split in splits("bfcl").values() for row in split]
    wrong = [row["id"] for row in rows if scorer.process_results(row, [f" {row['calls']}"]) != {"ast_accuracy": 1.0}]
    assert (len(rows), wrong) == (1240, [])


def test_no_answer_is_right_for_another_question(scorer: ModuleType) -> None:
    rows = [row for row in splits("bfcl")["dev"] if row["category"] != "irrelevance"]
    half = len(rows) // 2  # Neighbours may have the same question.
    pairs = zip(rows, rows[half:] + rows[:half], strict=True)
    right = [row["id"] for row, other in pairs if scorer.process_results(row, [other["calls"]])["ast_accuracy"]]
    assert right == []


def test_every_category_stands_in_every_split() -> None:
    counts = {name: Counter(row["category"] for row in rows) for name, rows in splits("bfcl").items()}
    assert counts["shots"] == dict.fromkeys(CASES, 2)
    assert [row["category"] for row in splits("bfcl")["shots"][:5]] == list(CASES)
    assert set(counts["test"]) == set(counts["dev"]) == set(CASES)
    assert min(counts["test"].values()) > 100


def test_the_bench_holds_the_checker_but_none_of_its_data(tmp_path: Path) -> None:
    folder = lay("bfcl", tmp_path / "bench")
    assert {path.suffix for path in (folder / "lib").rglob("*") if path.is_file()} == {".py"}
