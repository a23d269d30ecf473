"""Runs of words: what is found again, what is not."""

import pytest

from posttrainbench.integrity import ngrams
from posttrainbench.integrity.ngrams import Index, Match, Overlap

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
"""Two runs of thirteen words."""
FIRST = LONG.rpartition(" ")[0]


def test_a_shared_run_is_found_inside_other_text() -> None:
    index = Index({"a": LONG, "b": "nothing of this stands anywhere else in the world of texts that we know of"})
    assert index.matches(f"Before that: {FIRST}, and more.") == [Match("a", 1, 2, FIRST)]
    assert index.matches(LONG) == [Match("a", 2, 2, FIRST)]
    assert index.matches(LONG)[0].share == 1.0


def test_twelve_words_in_a_row_are_no_run() -> None:
    assert Index({"a": LONG}).matches(FIRST.rpartition(" ")[0]) == []
    assert Index({"a": LONG}).matches(FIRST.replace("seven", "7")) == []


@pytest.mark.parametrize(
    "text",
    [
        FIRST.upper(),
        FIRST.replace(" ", "\n\t- "),
        FIRST.replace(" ", ", ").replace("five", "**five**"),
        FIRST.replace("five", "ｆｉｖｅ"),
    ],
)
def test_case_layout_punctuation_and_forms_of_unicode_do_not_matter(text: str) -> None:
    assert [match.shared for match in Index({"a": LONG}).matches(text)] == [1]


def test_a_text_shorter_than_a_run_is_found_whole_or_not_at_all() -> None:
    index = Index({"short": "How many apples does Ann have?", "tiny": "Who is it?"})
    assert len(index) == 1
    assert index.matches("Tell me: how many apples does Ann have now") == [
        Match("short", 1, 1, "how many apples does ann have")
    ]
    assert index.matches("How many apples does Ann own? Who is it?") == []


def test_a_run_that_stands_twice_counts_once() -> None:
    index = Index({"a": f"{FIRST} x {FIRST}"})
    (match,) = index.matches(f"{FIRST}. Again: {FIRST}")
    assert match.shared == 1


def test_the_most_complete_match_comes_first() -> None:
    index = Index({"half": LONG + " fifteen sixteen", "whole": FIRST})
    assert [match.id for match in index.matches(FIRST)] == ["whole", "half"]


def test_another_size() -> None:
    assert Index({"a": "one two three"}, size=2).matches("two three four") == [Match("a", 1, 2, "two three")]


@pytest.mark.parametrize("text", ["", " \n", "…!?", "\x00", "\ud800", "word"])
def test_texts_without_words_match_nothing(text: str) -> None:
    assert Index({"a": text}).matches(text) == []


def test_an_overlap_counts_texts_and_protected_texts() -> None:
    index = Index({"a": LONG, "b": FIRST, "c": "words that stand in no other text but in this one, I hope"})
    found = ngrams.overlap(index, [FIRST, "nothing", LONG, FIRST])
    assert found == Overlap(texts=3, protected=2, most=Match("b", 1, 1, FIRST))
    assert ngrams.overlap(index, ["nothing"]) == Overlap(texts=0, protected=0, most=None)
