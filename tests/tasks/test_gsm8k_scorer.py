import importlib
import importlib.resources
import itertools
import time

import pytest
import yaml
from benching import TASKS, module, splits

TRUTH = "Some reasoning with 5.\n#### 72"
scorer = module(TASKS / "gsm8k" / "bench" / "scorer.py", "gsm8k_scorer")

RIGHT = [
    "#### 72",
    "72",
    "48/2 = <<48/2=24>>24\n48+24 = <<48+24=72>>72\n#### 72",
    "#### 72.0",
    "#### 72.",
    "#### $72",
    "#### **72**",
    "**#### 72**",
    "####72",
    "####    72 clips altogether",
    "#### 72 or maybe 73",
    "#### 072",
    "first #### 5, no: #### 72",
    "She sold 24, so the answer is 72.",
    "The answer is 72!",
    "So it is $72",
    "It is 72, I think",
    "#### 72\n",
    "#### 72 #",
    "\t#### 72",
    "100 - 28 = 72",
    "€72",
    "it is 72%",
    "x" * 100_000 + " #### 72",
    "7 " * 50_000 + "72",
]
WRONG = [
    "",
    " ",
    "####",
    "#### ",
    "#### seventy-two",
    "seventy-two",
    "#### 73",
    "#### 7 2",
    "#### -72",
    "#### \u221272",
    "#### 7,2",
    "#### 72,000",
    "#### 72.5",
    "#### 72.0.0",
    "#### 72/1",
    "#### 72e0",
    "#### 72e1",
    "#### 72^2",
    "#### 720",
    "#### --72",
    "#### -$-72",
    "72 #### none",
    "#### ７２",
    "７２",
    "#### 7２",
    "#### 72２",
    "#### ٧٢",
    "72 and then 73",
    "v72",
    "1.72",
    "#### 72" + "0" * 100_000,
    "9" * 100_000,
    "9" * 99_999 + "７",
    "," * 50_000 + "9," * 25_000,
    "#### 72 #### 73",
    "72\x00" * 3 + "#### \x00",
    "#### NaN",
    "#### Infinity",
    "#### 0x48",
]


# Each form holds {} where a number stands; all but the last words of it are other numbers.
FORMS = [
    "#### {}",
    "48/2 = 24, 48+24 = 72\n#### {}",
    "####{} clips in 2 months",
    "**#### {}**",
    "#### **{}**",
    "#### ${}$",
    r"#### \({}\)",
    r"#### \boxed{{{}}}",
    r"#### $\boxed{{{}}}$",
    r"#### \boxed{{\text{{{}}}}}",
    "5 + 3 = 8. The answer is {}.",
    "8 clips, so the answer is **{}**",
    r"2 and 3. The answer is $\boxed{{{}}}$.",
    "It was 100 before. Now: {}!",
    "<think>#### 73</think>#### {}",
    "#### 5\n\nNo, that was wrong.\n#### {}",
]
SAME = ["72", "72.0", "72.00", "072", "$72", "€72", "72."]
OTHERS = ["73", "720", "172", "7.2", "-72", "0.72", "72.5", "72/2", "７２", "7２", "72²2", "7,2", "72e3"]
RIGHT += [form.format(one) for form, one in itertools.product(FORMS, SAME)]
WRONG += [form.format(one) for form, one in itertools.product(FORMS, OTHERS)]
RIGHT += [r"#### \$72", r"#### \text{72 clips}", "<think>72", "<think>73</think>72"]
WRONG += [
    "72 or 73",
    "#### 73 or 72",
    r"#### \boxed{73}, \boxed{72}",
    r"#### \boxed{}",
    r"#### \boxes{72}",
    "<think>#### 72</think>",
    "#### 72x73",
    "#### 72.5/3",
    "#### 72*73",
    "####" * 5_000 + "x72",
    "#### " + "$" * 15_000 + "x72",
    "#### " + r"\boxed{" * 2_500,
    "\ud800",
]


@pytest.mark.parametrize("response", RIGHT, ids=range(len(RIGHT)))
def test_a_right_answer_scores_one(response: str) -> None:
    assert scorer.score("Some reasoning with 5.\n#### 72", response) == 1.0


@pytest.mark.parametrize("response", WRONG, ids=range(len(WRONG)))
def test_any_other_answer_scores_zero(response: str) -> None:
    begun = time.process_time()
    assert scorer.score("Some reasoning with 5.\n#### 72", response) == 0.0
    assert time.process_time() - begun < 2


@pytest.mark.parametrize(
    ("answer", "response", "verdict"),
    [
        ("#### 1,080", "#### 1080", 1.0),
        ("#### 1,080", "#### 1,080", 1.0),
        ("#### 1,080", "#### 1,080.00", 1.0),
        ("#### 1,080", "#### 10,80", 0.0),
        ("#### 1,080", "#### 1.080", 0.0),
        ("#### 109,200,000", "#### 109200000", 1.0),
        ("#### 109,200,000", "#### 109,200000", 0.0),
        ("#### -5", "#### -5", 1.0),
        ("#### -5", "#### \u22125", 1.0),
        ("#### -5", "#### 5", 0.0),
        ("#### -5", "it fell to -$5", 1.0),
        ("#### 0.5", "#### .5", 1.0),
        ("#### 0.5", "#### 0.5000000000000000000000000000001", 0.0),
        ("#### 3", "5-3", 1.0),
    ],
)
def test_numbers_are_compared_exactly(answer: str, response: str, verdict: float) -> None:
    assert scorer.process_results({"answer": answer}, [response]) == {"exact_number": verdict}


def test_every_published_answer_is_right_for_itself() -> None:
    rows = [row for split in splits("gsm8k").values() for row in split]
    assert {scorer.score(row["answer"], row["answer"]) for row in rows} == {1.0}


def lm_eval_verdicts(truths: list[str], responses: list[str], name: str) -> list[float]:
    """What lm-eval's own task of that name, as it is installed, says of each response through one of its filters."""
    extraction = pytest.importorskip("lm_eval.filters.extraction")
    exact_match = importlib.import_module("lm_eval.api.metrics").exact_match_fn
    task = yaml.safe_load((importlib.resources.files("lm_eval") / "tasks/gsm8k/gsm8k.yaml").read_text())
    (filter_,) = [one for one in task["filter_list"] if one["name"] == name]
    regex, first = filter_["filter"]
    assert (regex.pop("function"), first) == ("regex", {"function": "take_first"})
    found = extraction.RegexFilter(**regex).apply([[one] for one in responses], [{}] * len(responses))
    (metric,) = task["metric_list"]
    settings = {key: metric[key] for key in ("ignore_case", "ignore_punctuation", "regexes_to_ignore")}
    return [
        float(exact_match(predictions=[one], references=[truth], **settings)["exact_match"])
        for (one,), truth in zip(found, truths, strict=True)
    ]


FILTERS = ("strict-match", "flexible-extract")
OTHERWISE = {
    "The answer is 72.": (1, 0, 1),
    "€72": (1, 0, 1),
    r"The answer is $\boxed{72}$.": (1, 0, 0),
    "#### 72.0": (1, 0, 0),
    "#### 072": (1, 0, 0),
    "####72": (1, 0, 1),
    "#### **72**": (1, 0, 1),
    "####72 clips in 2 months": (1, 0, 0),
    "#### 72 or maybe 73": (1, 1, 0),
    "#### 5\n#### 72": (1, 0, 1),
    "#### 7,2": (0, 1, 1),
    "#### 72/2": (0, 1, 0),
    "#### 72 #### 73": (0, 1, 0),
    "#### \u221272": (0, 0, 1),
    "#### 73 or 72": (0, 0, 1),
    "72 #### none": (0, 0, 1),
    "<think>#### 72</think>": (0, 1, 1),
    "#### 72\uff12": (0, 1, 1),
}
"""Verdicts of this scorer and of lm-eval's two filters: an answer for each line of the README's table."""


def test_lm_eval_agrees_on_every_published_solution() -> None:
    answers = [row["answer"] for split in splits("gsm8k").values() for row in split]
    assert len(answers) == 8792
    for name in FILTERS:
        assert set(lm_eval_verdicts(answers, answers, name)) == {1.0}


def test_lm_eval_differs_where_the_readme_says() -> None:
    said = {one: tuple(lm_eval_verdicts([TRUTH], [one], name)[0] for name in FILTERS) for one in OTHERWISE}
    assert {one: (scorer.score(TRUTH, one), *said[one]) for one in OTHERWISE} == OTHERWISE


def test_on_other_answers_of_the_table_there_is_nothing_new() -> None:
    """Whoever changes the scorer, or takes another lm-eval, looks at the README's table again."""
    responses = [*RIGHT, *WRONG]
    strict, flexible = (lm_eval_verdicts([TRUTH] * len(responses), responses, name) for name in FILTERS)
    ours = [scorer.score(TRUTH, one) for one in responses]
    alike = sum(len(set(three)) == 1 for three in zip(ours, strict, flexible, strict=True))
    assert (alike, len(responses)) == (231, 401)
