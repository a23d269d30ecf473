"""Answers that are programs, run for real in the locked process."""

import gzip
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from benching import TASKS, module, shared_data, splits, task

from posttrainbench.inputs import data

scorer = module(TASKS / "humaneval" / "bench" / "scorer.py", "humaneval_scorer")
candidate = module(TASKS / "humaneval" / "bench" / "candidate.py", "humaneval_candidate")

ROW = {
    "id": "made-up",
    "question": (
        "from typing import List\n\n\ndef twice(number):\n    return 2 * number\n\n\n"
        "def total(numbers: List[int]) -> int:\n"
        '    """Give the sum of the numbers.\n    >>> total([1, 2])\n    3\n    """\n'
    ),
    "test": (
        "def check(candidate):\n    assert candidate([1, 2, 3]) == 6\n    assert candidate([]) == 0\n"
        "    assert candidate(numbers=[-1, 1, 5]) == 5\n    assert abs(candidate([0.5, 0.25]) - 0.75) < 1e-9\n"
        "    assert twice(candidate([2])) == 4\n    assert candidate([10**30]) == 10**30\n"
    ),
    "entry_point": "total",
}
# Bodies of the function; each line is indented by four spaces.
GOOD = {
    "builtin": "return sum(numbers)",
    "loop": "found = 0\nfor one in numbers:\n    found += one\nreturn found",
    "reduce": "from functools import reduce\nreturn reduce(lambda a, b: a + b, numbers, 0)",
    "recursion": "if not numbers:\n    return 0\nreturn numbers[0] + total(numbers[1:])",
    "helper of the question": (
        "return sum(twice(one) for one in numbers) / 2 if 0 else twice(sum(numbers)) - sum(numbers)"
    ),
    "import": "import math, itertools\nreturn list(itertools.accumulate([0, *numbers]))[-1]",
    "submodule": "import collections.abc\nassert isinstance(numbers, collections.abc.Sequence)\nreturn sum(numbers)",
    "late import": "import decimal, fractions, datetime, re, random, json, statistics\nreturn sum(numbers)",
    "lazy library": "import datetime\ndatetime.datetime.strptime('2020', '%Y')\nreturn sum(numbers)",
    "prints": "print('the sum is', sum(numbers))\nreturn sum(numbers)",
    "prints much": "print('x' * 2 * 10**7)\nreturn sum(numbers)",
    "reads": "import sys\nassert sys.stdin.read() == ''\nreturn sum(numbers)",
    "subclass": (
        "class Number(int):\n    pass\n"
        "return Number(sum(numbers)) if all(type(one) is int for one in numbers) else sum(numbers)"
    ),
    "bool is a number": "return False if not numbers else sum(numbers)",
    "changes its argument": "found = 0\nwhile numbers:\n    found += numbers.pop()\nreturn found",
    "catches everything": "try:\n    open('/etc/passwd')\nexcept BaseException:\n    pass\nreturn sum(numbers)",
    "os at hand": "import os\nos.getpid()\nreturn sum(numbers)",
    "nested": "def inner(rest):\n    return rest[0] + inner(rest[1:]) if rest else 0\nreturn inner(numbers)",
    "comment": "# the sum\nreturn sum(numbers)  # done",
    "a fence in a line": 'assert "a```b"\nreturn sum(numbers)',
    "names of the whole world": "sümme = sum(numbers)\nreturn sümme",
    "text of the whole world": "assert '٣'.isdigit() and 'ä'.encode('latin-1') == b'\\xe4'\nreturn sum(numbers)",
    "memory within limits": "found = [0] * 10**7\nreturn sum(numbers)",
}
BAD = {
    "stub": "pass",
    "nothing": "",
    "constant": "return 6",
    "off by one": "return sum(numbers) + 1",
    "only the example": "return {(1, 2, 3): 6}.get(tuple(numbers), 0)",
    "string": "return str(sum(numbers))",
    "prints instead": "print(sum(numbers))",
    "prints passed": "print('passed')\nprint('ready')\nprint('{\"value\": 6}')",
    "returns none": "sum(numbers)",
    "generator": "yield sum(numbers)",
    "coroutine": "import asyncio\nasync def later():\n    return sum(numbers)\nreturn later()",
    "function": "return lambda: sum(numbers)",
    "raises": "raise ValueError(sum(numbers))",
    "asserts": "assert False",
    "exits well": "raise SystemExit(0)",
    "exits well at once": "import os\nos._exit(0)",
    "exits by name": "exit(0)",
    "quits": "quit()",
    "sys.exit": "import sys\nsys.exit(0)",
    "interrupt": "raise KeyboardInterrupt",
    "equal to anything": "class Any:\n    def __eq__(self, other):\n        return True\nreturn Any()",
    "number equal to anything": (
        "class Any(int):\n    def __eq__(self, other):\n        return True\n    def __sub__(self, other):\n"
        "        return 0.0\nreturn Any(7)"
    ),
    "list equal to anything": "class Any(list):\n    def __eq__(self, other):\n        return True\nreturn Any()",
    "no assertions": "import builtins\nbuiltins.AssertionError = type('Never', (Exception,), {})\nreturn 7",
    "patched builtins": "import builtins\nbuiltins.abs = lambda value: 0\nbuiltins.int.__eq__ = 1",
    "patched checker": (
        "import sys\nfor found in list(sys.modules.values()):\n    setattr(found, 'check', lambda f: None)\nreturn 7"
    ),
    "patched frames": (
        "import sys\nframe = sys._getframe()\nwhile frame:\n    frame.f_globals['check'] = lambda f: None\n"
        "    frame = frame.f_back\nreturn 7"
    ),
    "patched encoder": "import __main__\n__main__.encode = lambda value: True\nreturn 7",
    "own answers": (
        "import os\nfor place in range(20):\n    try:\n        os.write(place, b'{\"value\": true}\\n' * 9)\n"
        "    except OSError:\n        pass\nreturn 7"
    ),
    "passed on every descriptor": (
        "import os\nfor place in range(20):\n    try:\n        os.write(place, b'passed\\n')\n"
        "    except OSError:\n        pass\nreturn 7"
    ),
    "closes everything": "import os\nos.closerange(0, 100)\nreturn sum(numbers)",
    "endless": "while True:\n    pass",
    "endless in C": "return sum(10**10**8 for _ in range(10**9))",
    "sleeps": "import time\ntime.sleep(10**6)",
    "deep": "import sys\nsys.setrecursionlimit(10**9)\nreturn total(numbers)",
    "endless recursion": "return total(numbers)",
    "memory": "return sum(bytearray(2**34)) + sum(numbers)",
    "memory step by step": "held = []\nwhile True:\n    held.append(bytearray(2**24))",
    "forks": "import os\nwhile True:\n    os.fork()",
    "forks once": "import os\nif os.fork():\n    os._exit(0)\nreturn sum(numbers)",
    "threads": (
        "import threading\nheld = []\nt = threading.Thread(target=lambda: held.append(sum(numbers)))\n"
        "t.start()\nt.join()\nreturn held[0]"
    ),
    "subprocess": "import subprocess\nreturn int(subprocess.run(['expr', '1'], capture_output=True).stdout)",
    "shell": "import os\nos.system('true')\nreturn sum(numbers) if os.system('true') == 0 else None",
    "exec": "import os\nos.execv('/bin/true', ['true'])",
    "kills its parent": "import os\nos.kill(os.getppid(), 9)\nreturn sum(numbers)",
    # No os.kill(-1, 9): a scorer that is broken would let it through.
    "kills its group": "import os\nos.kill(0, 9)\nreturn sum(numbers)",
    "kills itself": "import os\nos.kill(os.getpid(), 9)",
    "aborts": "import os\nos.abort()",
    "reads a file": "open('/etc/passwd').read()\nreturn sum(numbers)",
    "reads its memory": "open('/proc/self/maps').read()\nreturn sum(numbers)",
    "reads the tests": "import glob\nassert glob.glob('/**')\nreturn sum(numbers)",
    "writes a file": "open('/tmp/written-by-an-answer', 'w').close()\nreturn sum(numbers)",
    "lists a folder": "import os\nos.listdir('/')\nreturn sum(numbers)",
    "network": "import socket\nsocket.create_connection(('127.0.0.1', 80))\nreturn sum(numbers)",
    "ctypes": "import ctypes\nctypes.CDLL(None).exit(0)\nreturn sum(numbers)",
    "a library that is not listed": "import socket\nreturn sum(numbers)",
    "unknown library": "import numpy\nreturn sum(numbers)",
    "a library by another way": "return __import__('socket') and sum(numbers)",
    "huge answer": "return 'x' * 10**8",
    "huge number": "return 1 << 10**8",
    "endless answer": "found = []\nfound.append(found)\nreturn found",
    "nested answer": "found = []\nfor _ in range(10**5):\n    found = [found]\nreturn found",
    "null byte": "return '\\0'",
    "surrogate": "return '\\ud800'",
    "not a number": "return float('nan')",
    "infinite": "return float('inf')",
    "changes a limit": "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (99, 99))\nreturn sum(numbers)",
    "syntax error": "return sum(numbers",
    "other language": "return numbers.stream().sum();;}",
    "tail of tabs": "\treturn sum(numbers)\n  return 1",
}


def body(lines: str) -> str:
    return "".join(f"    {line}\n" for line in lines.split("\n"))


def forms(lines: str) -> dict[str, str]:
    """The same function as a completion and as the answers of a chat."""
    whole = ROW["question"] + body(lines)
    alone = whole[whole.index("def total") :]
    other = "def total(numbers):\n    return 7\n"
    example = "assert total([1]) == 2"
    return {
        "completion": body(lines),
        "completion that goes on": body(lines) + "\n\nprint(total([1]))\n\n\ndef other():\n    retur",
        "completion with prose": body(lines) + "\nThis adds the numbers up.\n",
        "completion with a fence": body(lines) + "```\nThat is all: `total`.",
        "completion written twice": f"{body(lines)}\n\n{other}",
        "block": f"```python\n{whole}```",
        "block in prose": f"Here it is.\n\n```python\n{alone}```\n\nIt works:\n\n```python\n{example}\n```\n",
        "last block": f"```python\n{other}```\nBetter:\n```py\n{alone}\n```",
        "block left open": f"Sure:\n```\n{alone}",
        "function alone": alone,
        "with examples": f"{alone}\nprint(total([1]))\n{example}\nif __name__ == '__main__':\n    exit(0)\n",
        "completion after thinking": f"<think>\nAdd them: `sum`.\n</think>\n{body(lines)}",
        "after thinking": f"<think>\n```python\n{other}```\n</think>\n```python\n{alone}```",
    }


RIGHT = [
    pytest.param(text, id=f"{name}: {form}")
    for name, lines in GOOD.items()
    for form, text in forms(lines).items()
    if name in ("builtin", "loop", "recursion", "import", "comment") or form in ("completion", "block in prose")
]
WRONG = [
    pytest.param(text, id=f"{name}: {form}")
    for name, lines in BAD.items()
    for form, text in forms(lines).items()
    if form
    in ("completion", *(["block in prose"] if name in ("constant", "exits well at once", "prints passed") else []))
]
WRONG += [
    pytest.param(text, id=name)
    for name, text in {
        "empty": "",
        "only thought": f"<think>\n```python\n{ROW['question']}    return sum(numbers)\n```\n</think>\nI give up.",
        "blank": " \n\n",
        "prose": "I would add the numbers up.",
        "prose with a call": "Use `sum(numbers)`.",
        "another function": "```python\ndef sum_all(numbers):\n    return sum(numbers)\n```",
        "no function": "```python\ntotal = 6\n```",
        "exits when it is loaded": "    return sum(numbers)\n\nx = exit(0)\n",
        "loops when it is loaded": f"{body('return sum(numbers)')}\nx = [0 for _ in iter(int, 1)]\n",
        "decorated to nothing": "```python\n@print\ndef total(numbers):\n    return sum(numbers)\n```",
        "an instance": "```python\nclass total:\n    def __new__(cls, numbers):\n        return sum(numbers)\n```\ndef",
        "asynchronous": "```python\nasync def total(numbers):\n    return sum(numbers)\n```",
        "an empty last block": (
            "```python\ndef total(numbers):\n    return sum(numbers)\n```\n```python\ndef total(numbers):\n```"
        ),
        "a worse last block": (
            f"```python\n{ROW['question']}    return sum(numbers)\n```\n```\ndef total(n):\n    return 0\n```"
        ),
        "too long": body("return sum(numbers)") + "#" * 100_000,
        "null": body("return sum(numbers)\0"),
        "surrogate": "\ud800",
        "brackets": "(" * 40_000,
        "statements": "    return sum(numbers)\n" + "\nx = (" * 8_000,
        "signs": "    return " + "-" * 20_000 + "1\n",
        "backticks": "```" * 15_000,
        "blocks": "```\ndef total\n```\n" * 2_500,
        "JSON": '{"code": "return sum(numbers)"}',
        "diff": "+    return sum(numbers)\n",
    }.items()
]

TABLE = {1.0: RIGHT, 0.0: WRONG}


@pytest.fixture(autouse=True)
def impatient() -> Any:
    scorer.SECONDS = 2.0
    yield
    scorer.SECONDS = 10.0


@pytest.mark.parametrize("response", RIGHT)
def test_a_right_answer_passes(response: str) -> None:
    assert scorer.process_results(ROW, [response]) == {"pass_at_1": 1.0}


@pytest.mark.parametrize("response", WRONG)
def test_any_other_answer_fails_in_time(response: str) -> None:
    begun = time.monotonic()
    assert scorer.score(ROW, response) == 0.0
    assert time.monotonic() - begun < 8


def test_nothing_that_an_answer_started_is_left() -> None:
    before = {name for name in os.listdir("/proc") if name.isdigit()}
    for name in ("endless", "forks", "sleeps", "threads"):
        scorer.score(ROW, body(BAD[name]))
    left = [
        pid for pid in os.listdir("/proc") if pid.isdigit() and pid not in before and b"candidate.py" in _command(pid)
    ]
    assert left == []


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_set_has_the_same_order_in_every_process() -> None:
    row = {**ROW, "test": "def check(candidate):\n    seen.append(candidate())\n", "question": "seen = []\n"}
    code = "def total():\n    return list({str(n) for n in range(50)})\n"
    row["test"] = "import sys\n" + row["test"] + "    sys.seen_by_test = [*getattr(sys, 'seen_by_test', []), seen[0]]\n"
    try:
        assert [scorer.passes(row, code) for _ in range(3)] == [True] * 3
        assert sys.seen_by_test[0] == sys.seen_by_test[1] == sys.seen_by_test[2]  # type: ignore[attr-defined]
    finally:
        vars(sys).pop("seen_by_test", None)


VALUES: list[Any] = [
    None, True, 0, -1, 2**200, 0.5, float("inf"), 1 + 2j, "", "a\ud800\n", b"\0", [], [1, [2]], (1,), ((), []), {1, 2},
    frozenset("ab"), {}, {1: "a", (2, 3): [None]}, {"int": "0x1"}, {"value": {"set": []}},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_value_crosses_as_it_is(value: Any) -> None:
    crossed = candidate.decode(json.loads(json.dumps(candidate.encode(value))))
    assert (crossed, type(crossed)) == (value, type(value))


@pytest.mark.parametrize(
    "found", [1, [], {}, {"int": 1}, {"int": "x"}, {"list": 1}, {"set": [{"list": []}]}, {"x": []}, {"a": 1, "b": 2}]
)
def test_what_no_encoder_gives_is_no_value(found: Any) -> None:
    with pytest.raises((ArithmeticError, TypeError, ValueError)):
        candidate.decode(found)


def test_the_locked_process_is_the_kernel_s_prisoner() -> None:
    """Not only by Python's means: a system call itself is refused."""
    code = (
        "import os\n"
        "CALLS = [(os.open, '/', 0), (os.kill, 1, 0), (os.fork,), (os.stat, '/'), (os.getcwd,)]\n"
        "def total():\n"
        "    found = []\n"
        "    for call, *words in CALLS:\n"
        "        try:\n"
        "            call(*words)\n"
        "        except OSError as error:\n"
        "            found.append(error.errno)\n"
        "    return found\n"
    )
    row = {**ROW, "question": "", "test": "def check(candidate):\n    assert candidate() == [1, 1, 1, 1, 1]\n"}
    assert scorer.passes(row, code)


def test_memory_is_limited() -> None:
    code = "def total():\n    try:\n        bytearray(2**31)\n    except MemoryError:\n        return True\n"
    assert scorer.passes({**ROW, "question": "", "test": "def check(candidate):\n    assert candidate()\n"}, code)


def test_where_code_cannot_be_locked_up_nothing_is_scored(tmp_path: Path) -> None:
    for name in ("scorer.py", "candidate.py"):
        (tmp_path / name).write_text((TASKS / "humaneval" / "bench" / name).read_text())
    runner = tmp_path / "candidate.py"
    runner.write_text(runner.read_text().replace("def lock() -> None:\n", "def lock() -> None:\n    raise OSError\n"))
    broken = module(tmp_path / "scorer.py", "broken_humaneval_scorer")
    with pytest.raises(RuntimeError, match="only in a process that the kernel locks up"):
        broken.score(ROW, body("return sum(numbers)"))


MBPP = [
    {
        "task_id": number,
        "prompt": f"Write a function to add {number}. ",
        "code": (
            "import math\r\ndef helper(x):\r\n\treturn x\r\n"
            f"def add_{number} (x,y=0):  \r\n # why\r\n return helper(x)+{number} \r\n"
        ),
        "test_imports": ["import math"],
        "test_list": [
            f"assert add_{number}(math.floor(1.5)) == {number + 1}",
            f"assert add_{number}(2) == {number + 2} ",
        ],
    }
    for number in (600, 3, 511, 10, 601, 400)
]


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    (tmp_path / "sanitized-mbpp.json").write_text(json.dumps(MBPP))
    row = {"task_id": "HumanEval/0", "prompt": ROW["question"], "canonical_solution": body(GOOD["loop"])}
    row |= {"test": ROW["test"], "entry_point": "total"}
    (tmp_path / "HumanEval.jsonl.gz").write_bytes(gzip.compress((json.dumps(row) + "\n").encode()))
    mbpp = tmp_path / "sanitized-mbpp.json"
    return {"test": tmp_path / "HumanEval.jsonl.gz", "dev": mbpp, "shots": mbpp}


def read(sources: dict[str, Path]) -> dict[str, list[dict[str, Any]]]:
    return data.read(task("humaneval"), TASKS / "humaneval", sources)


def test_rows_of_mbpp_are_laid_out_as_humaneval_s(sources: dict[str, Path]) -> None:
    rows = read(sources)
    assert {name: [row["id"] for row in split] for name, split in rows.items()} == {
        "dev": ["MBPP/511", "MBPP/600"],
        "test": ["HumanEval/0"],
        "shots": ["MBPP/3", "MBPP/10"],
    }
    assert rows["shots"][0] == {
        "id": "MBPP/3",
        "question": (
            "import math\ndef helper(x):\n    return x\ndef add_3 (x,y=0):\n # why\n"
            ' r"""Write a function to add 3.\n\n Example: assert add_3(math.floor(1.5)) == 4\n """\n'
        ),
        "solution": " return helper(x)+3\n",
        "test": (
            "def check(candidate):\n    import math\n    assert add_3(math.floor(1.5)) == 4\n    assert add_3(2) == 5\n"
        ),
        "entry_point": "add_3",
    }


def test_the_solution_of_every_row_passes_and_a_stub_does_not(sources: dict[str, Path]) -> None:
    rows = [row for split in read(sources).values() for row in split]
    assert [(scorer.score(row, row["solution"]), scorer.score(row, "    pass\n")) for row in rows] == [(1.0, 0.0)] * 5


def test_parquet_files_give_the_same_rows(sources: dict[str, Path], tmp_path: Path) -> None:
    parquet, table = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow").Table
    found = {"dev": [row for row in MBPP if row["task_id"] in range(511, 601)]}
    found["shots"] = [row for row in MBPP if row["task_id"] in range(1, 11)]
    found["test"] = [json.loads(gzip.decompress(sources["test"].read_bytes()))]
    files = {name: tmp_path / f"{name}.parquet" for name in found}
    for name, rows in found.items():
        parquet.write_table(table.from_pylist(rows), files[name])
    assert read(files) == read(sources)


@pytest.mark.slow
def test_every_published_solution_passes(sources: dict[str, Path]) -> None:
    published = shared_data() / "humaneval" / "HumanEval.jsonl.gz"
    rows = read(sources | {"test": published})["test"]
    scorer.SECONDS = 60.0
    failed = [row["id"] for row in rows if scorer.score(row, row["solution"]) != 1.0]
    assert (len(rows), failed) == (164, [])


@pytest.mark.slow
def test_every_published_solution_of_dev_passes() -> None:
    rows = [row for split in ("dev", "shots") for row in splits("humaneval")[split]]
    scorer.SECONDS = 60.0
    assert [row["id"] for row in rows if scorer.score(row, row["solution"]) != 1.0] == []
