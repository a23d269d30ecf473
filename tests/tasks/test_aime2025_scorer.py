import itertools
import json
import time
from pathlib import Path

import pytest
from benching import TASKS, module, splits, task

from posttrainbench.inputs import data

scorer = module(TASKS / "aime2025" / "bench" / "scorer.py", "aime2025_scorer")

# The right answer is 49. Each form holds {} where an integer stands.
FORMS = [
    r"\boxed{{{}}}",
    r"So $m + n = {}$, and the answer is $\boxed{{{}}}$.",
    r"\[ \boxed{{{}}} \]",
    r"\boxed{{\text{{{}}}}}",
    r"\boxed{{\mathbf{{{}}}}}",
    r"\boxed{{ {} }}",
    r"\boxed{{{}.}}",
    r"\boxed{{\,{}\,}}",
    r"\boxed{{$ {} $}}",
    r"\boxed{{m+n={}}}",
    r"\boxed{{{}^\circ}}",
    r"\boxed{{{}^{{\circ}}}}",
    r"\boxed{{{}°}}",
    r"\boxed{{\(  {} \)}}",
    r"\boxed {}",
    r"\boxed {{{}}}",
    r"\fbox{{{}}}",
    r"\boxed{{\boxed{{{}}}}}",
    "**Final answer: \\boxed{{{}}}**",
    "The answer is {}.",
    "The final answer is **{}**",
    "the ANSWER IS {}",
    "Answer: {}",
    "Answer:\n\n{}\n",
    "**Answer:** {}",
    "answer = {}",
    "The answer is: ${}$.",
    r"The answer is \({}\).",
    r"The answer is \text{{{}}}",
    r"answer is ${}^\circ$",
    "The answer is {}, because 7 times 7 is that.",
    "The answer is {}! We are done.",
    "the answer is {}\nand more lines follow",
    "<think>the answer is 50, \\boxed{{51}}</think>The answer is {}",
    "<think>unsure</think>\\boxed{{{}}}",
]
SAME = ["49", "049", "0049", "４９", "٤٩"]
OTHERS = ["149", "490", "4 9", "9", "-49", "49.5", "4,9", "49/1", "49e0", "4９", "4²", "x", "", "1049", "49000"]
# Where another number would stand beside other digits or signs, a form may read differently; these forms do not.
PLAIN = [FORMS[0], FORMS[1], FORMS[3], FORMS[5], FORMS[19], FORMS[22], FORMS[26]]

RIGHT = [form.replace("{}", one).replace("{{", "{").replace("}}", "}") for form in FORMS for one in SAME[:2]]
RIGHT += [form.format(*[one] * 9) for form in PLAIN for one in SAME[2:]]
RIGHT += [
    r"\boxed{50} is wrong; it is \boxed{49}",
    r"\boxed{50}. \boxed{49}",
    "The answer is 50. No: the answer is 49.",
    r"The answer is 50, or so I thought: \boxed{49}",
    r"\boxed{49} is my answer, not 50",
    r"\boxed{49}. 50 would be too many.",
    r"\boxed{49} or so I think",
    "The answer is 49 and nothing else.",
    "The answer is unclear. The answer is 49. So the answer is that.",
    "x" * 200_000 + r"\boxed{49}",
    r"\boxed{50} " * 20_000 + r"\boxed{49}",
    # Thinking that is never closed is all that there is.
    "<think>The answer is 49",
]
WRONG = [form.format(*[one] * 9) for form, one in itertools.product(PLAIN, OTHERS)]
WRONG += [
    "",
    " \n",
    "49",
    "I get 49",
    "= 49",
    "$49$",
    "**49**",
    r"\boxed{}",
    r"\boxed{49",
    r"\boxed{49} then \boxed{}",
    r"The answer is 49. \boxed{}",
    r"\boxed{x}, that is: the answer is 49",
    r"\boxed{49} then \boxed{none}",
    r"\boxed{49} then \boxed{50}",
    r"\boxed{49} or \boxed{50}",
    r"\boxed{50} or \boxed{49}",
    r"\boxed{49}, \boxed{50}",
    r"\boxed{50}, \boxed{49}",
    r"$\boxed{50}$ and $\boxed{49}$",
    r"\boxed{50} / \boxed{49}",
    r"\boxed{49} or 50",
    r"\boxed{49}, or $50$",
    r"\boxed{49 or 50}",
    r"\boxed{49, 50}",
    r"\boxed{49}/2",
    r"\boxed{\{49, 50\}}",
    r"\boxed{49}\boxed{50}",
    r"\boxed{\frac{49}{1}}",
    r"\boxed{7^2}",
    r"\boxed{7 \cdot 7}",
    r"\boxed{49+0}",
    r"\boxed{49\%}",
    r"\boxed{forty-nine}",
    r"\boxed{49 = x}",
    r"\boxed{x \ne 49}",
    "The answer is 49 or 50",
    "The answer is 50 or 49",
    "The answer is 49, 50",
    "The answer is 49 and 50",
    "The answer is either 49 or 50",
    "The answer is not 49",
    "The answer is about 49",
    "The answer isn't 50, it is 49",
    "The answer is 49. Wait, the answer is 50.",
    "Answers: 49",
    "The reanswer is 49",
    r"<think>\boxed{49}</think> I do not know",
    r"\boxed{49}</think>",
    "answer is " + "9" * 100_000,
    r"\boxed{" + "49" * 50_000 + "}",
    r"\boxed{" * 20_000,
    "answer is " * 20_000,
    "answer is " + r"\text " * 20_000,
    r"\boxed{49}" + "x" * 200_000 + r"\boxed{5}",
    "\x00",
    "\ud800",
]


@pytest.mark.parametrize("response", RIGHT, ids=range(len(RIGHT)))
def test_a_right_answer_scores_one(response: str) -> None:
    assert scorer.process_results({"answer": "49"}, [response]) == {"exact_integer": 1.0}


@pytest.mark.parametrize("response", WRONG, ids=range(len(WRONG)))
def test_any_other_answer_scores_zero(response: str) -> None:
    begun = time.process_time()
    assert scorer.score("49", response) == 0.0
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(("answer", "response"), [("0", "0"), ("0", "000"), ("999", "999"), ("49", "00000049")])
def test_the_ends_of_the_range_count(answer: str, response: str) -> None:
    assert scorer.score(answer, rf"\boxed{{{response}}}") == 1.0


def test_no_answer_ends_another_s() -> None:
    """What a comparison of endings would take for right."""
    rows = [row for split in splits("aime2025").values() for row in split]
    pairs = itertools.permutations({row["answer"] for row in rows}, 2)
    assert [pair for pair in pairs if scorer.score(pair[0], rf"\boxed{{{pair[1]}}}")] == []


def test_every_row_is_right_for_itself() -> None:
    rows = [row for split in splits("aime2025").values() for row in split]
    scores = [scorer.score(row["answer"], rf"{row['solution']} $\boxed{{{row['answer']}}}$") for row in rows]
    assert (len(rows), set(scores)) == (64, {1.0})


def test_the_hub_s_parquet_files_give_the_same_rows(tmp_path: Path) -> None:
    parquet, table = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow").Table
    expected, sources = splits("aime2025"), {}
    for split, column, first in (("test", "problem_idx", 1), ("dev", "id", 60)):
        made = [
            {column: first + place, "problem": row["question"].replace(". ", ".\n "), "answer": row["answer"].zfill(3)}
            for place, row in enumerate(expected[split])
        ]
        sources[split] = tmp_path / f"{split}.parquet"
        parquet.write_table(table.from_pylist(made[::-1]), sources[split])
    assert data.read(task("aime2025"), TASKS / "aime2025", sources) == expected


def test_jsonl_rows_keep_their_order(tmp_path: Path) -> None:
    lines = [json.dumps({"id": "x", "problem": f"P{n}\u2028?", "answer": f"00{n}"}, ensure_ascii=False) for n in (3, 1)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = data.read(task("aime2025"), TASKS / "aime2025", dict.fromkeys(("test", "dev"), tmp_path / "a.jsonl"))
    assert [(row["id"], row["question"], row["answer"]) for row in rows["test"]] == [
        ("2025-01", "P3 ?", "3"),
        ("2025-02", "P1 ?", "1"),
    ]
