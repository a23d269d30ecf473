"""The tables of answers would notice: each of these changes to a scorer gives at least one answer another verdict."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from benching import TASKS, module

MUTATIONS = {
    "aime2025": [
        ("final_integer(response) == int(answer)", "str(final_integer(response)).endswith(str(int(answer)))"),
        ("list(BOX.finditer(text))[-2:]", "list(BOX.finditer(text))[:1]"),
        ("if OTHER.match(text, end):", "if False:"),
        ("if 0 < before <= boxes[-1].start() and", "if False and"),
        ("return _boxed(text, boxes) if boxes else _stated(text)", "return _stated(text)"),
        ('.rpartition("</think>")[2]', ""),
        ("> 1:\n        return None", "> 99:\n        return None"),
        ("found = None if OTHER.match(text, digits.end()) else", "found ="),
    ],
    "gpqa": [
        ("1.0 if final_letter(response) == answer", "1.0 if answer in (final_letter(response) or response)"),
        ("return None if joined or _offers_another(text, match.end()) else", "return None if joined else"),
        ("return None if joined or", "return None if"),
        ('.rpartition("</think>")[2]', ""),
        ("match = found\n", "match = match or found\n"),
        ("(?P<bare>[A-D])(?!['’]?\\w|[-+^/]\\w)", "(?P<bare>[A-D])"),
        ("(?P<bare>[A-D])", "(?P<bare>[A-Da-d])"),
    ],
    "gsm8k": [
        ("final_number(response) == expected", "str(final_number(response)).endswith(str(expected))"),
        ('rpartition("####")', 'partition("####")'),
        ('.rpartition("</think>")[2]', ""),
        ("match = found[-1]", "match = found[0]"),
        ("not WELL_FORMED.fullmatch(digits)", "not digits"),
        ("[0-9.,]*+)(?![\\d²³¹⁰-⁹½¼¾]|[/^*xX×·]\\d|[eE][-+]?\\d)", "[0-9.,]*+)"),
        ('"-" if sign else ""', '""'),
    ],
}


def tables(name: str) -> Callable[[ModuleType], Iterator[bool]]:
    """Whether each answer of the task's table gets the verdict that stands there."""
    found = module(Path(__file__).with_name(f"test_{name}_scorer.py"), f"table_of_{name}")
    answer = {"aime2025": "49", "gpqa": "C", "gsm8k": "Some reasoning with 5.\n#### 72"}[name]

    def verdicts(scorer: ModuleType) -> Iterator[bool]:
        # The long ones are about time, and take some of it.
        for expected, responses in ((1.0, found.RIGHT), (0.0, found.WRONG)):
            yield from (scorer.score(answer, text) == expected for text in responses if len(text) < 1000)

    return verdicts


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mutation_of_the_scorer_fails_its_table(name: str, tmp_path: Path) -> None:
    source, verdicts = (TASKS / name / "bench" / "scorer.py").read_text(), tables(name)
    assert all(verdicts(module(TASKS / name / "bench" / "scorer.py", f"whole_{name}")))
    survived = []
    for number, (old, new) in enumerate(MUTATIONS[name]):
        assert source.count(old) >= 1, f"{old!r} stands no more in the scorer of {name}"
        (tmp_path / f"{number}.py").write_text(source.replace(old, new))
        if all(verdicts(module(tmp_path / f"{number}.py", f"mutated_{name}_{number}"))):
            survived.append(old)
    assert survived == []
