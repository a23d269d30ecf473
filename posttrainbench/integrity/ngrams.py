"""Which texts share a run of thirteen words: the usual measure of contamination of a benchmark.

Words are runs of letters, digits and underscores, in one case and one form of Unicode, so layout and punctuation do not
matter. A protected text that is shorter than a run counts as one run of its own length, if it has at least `SHORTEST`
words; a still shorter one says too little to be found again, and is never found.

What this does not find: paraphrases, translations, other numbers in the same words. What it finds without a fault: the
boilerplate that many questions share, so a person should see `example` before a match is called contamination.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SIZE = 13
SHORTEST = 6
WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Match:
    """What a text shares with one protected text."""

    id: str
    shared: int
    """How many of the protected text's distinct runs stand in the text."""
    of: int
    """How many it has."""
    example: str
    """The first shared run, as words with single spaces."""

    @property
    def share(self) -> float:
        """From above 0 to 1."""
        return self.shared / self.of


def words(text: str) -> list[str]:
    """The words of a text, for comparing."""
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def runs(text: list[str], size: int) -> list[str]:
    """Every run of `size` words, in order; none where there are fewer words."""
    return [" ".join(text[begin : begin + size]) for begin in range(len(text) - size + 1)]


class Index:
    """Protected texts, for looking up which of them stand, in whole or in part, in other texts."""

    def __init__(self, texts: Mapping[str, str], size: int = SIZE) -> None:
        """`texts`: the protected texts by id; `size`: words in a run."""
        self._owners: dict[str, list[str]] = {}
        self._totals: dict[str, int] = {}
        self._sizes: set[int] = set()
        for name, text in texts.items():
            found = words(text)
            if len(found) < min(SHORTEST, size):
                continue
            length = min(size, len(found))
            distinct = dict.fromkeys(runs(found, length))
            self._sizes.add(length)
            self._totals[name] = len(distinct)
            for run in distinct:
                self._owners.setdefault(run, []).append(name)

    def __len__(self) -> int:
        """How many protected texts are long enough to be found."""
        return len(self._totals)

    def matches(self, text: str) -> list[Match]:
        """The protected texts that share a run with `text`, the most complete first."""
        found = words(text)
        shared: Counter[str] = Counter()
        examples: dict[str, str] = {}
        for run in dict.fromkeys(run for size in sorted(self._sizes, reverse=True) for run in runs(found, size)):
            for name in self._owners.get(run, ()):
                shared[name] += 1
                examples.setdefault(name, run)
        made = [Match(name, count, self._totals[name], examples[name]) for name, count in shared.items()]
        return sorted(made, key=lambda match: (-match.share, match.id))


@dataclass(frozen=True)
class Overlap:
    """What texts share with protected ones, counted."""

    texts: int
    """How many of the texts share a run with a protected one."""
    protected: int
    """How many protected texts share a run with one of the texts."""
    most: Match | None
    """The most complete match."""


def overlap(index: Index, texts: Iterable[str]) -> Overlap:
    """Look each of the texts up."""
    found = [matches for matches in map(index.matches, texts) if matches]
    every = [match for matches in found for match in matches]
    most = max(every, key=lambda match: match.share, default=None)
    return Overlap(len(found), len({match.id for match in every}), most)
