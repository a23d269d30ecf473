r"""Is the letter that the answer ends with the right one?

The last place that states a letter counts: `answer is C`, `Answer: C`, `\boxed{C}`. Where there is none, the last line
counts if it is a letter and nothing else. Wrappers of TeX and Markdown around the letter, brackets, a full stop do not
matter. Only capital letters of ASCII are letters, small ones in brackets or a box too (`(c)`): after `the answer is`, a
bare `a` is a word. A place that offers two (`A or B`, `A, B`, `A/C`, two boxes joined by `or`) is wrong. What a model
thinks up to `</think>` does not count.
"""

import re

METRIC = "exact_letter"
LONGEST = 100_000
WRAPPER = r"(?:[\s*_`$\"'{]|\\[(\[,;:! ]|\\(?:text|textbf|mathbf|mathrm)(?![a-z]))*+"
CLOSER = r"(?:[\s*_`$\"'}]|\\[)\],;:! ])*+"
# A letter in its wrappers: in brackets in any case, bare in capitals.
LETTER = rf"{WRAPPER}(?:[(\[]{WRAPPER}(?P<inside>[A-Da-d]){CLOSER}[)\]]|(?P<bare>[A-D])(?!['’]?\w|[-+^/]\w))"
BOXED = rf"\\(?:boxed|fbox)\s*\{{{WRAPPER}[(\[]?(?P<boxed>[A-Da-d])[\s*_`$\"')\].\\]*+\}}"
STATED = re.compile(rf"\b(?i:answer){CLOSER}(?:(?i:is)\b\s*:?|[:=]){LETTER}|{BOXED}")
ANY = re.compile(rf"{LETTER}|{BOXED}")
JOINED = re.compile(rf"{CLOSER}[.)\]]?{CLOSER}(?i:,\s*(?:or|and)\b|or\b|and\b|[,/&]){WRAPPER}(?i:choice|option)?")
ALONE = re.compile(rf"{LETTER}{CLOSER}[.)]?{CLOSER}")


def process_results(doc: dict[str, str], results: list[str]) -> dict[str, float]:
    """lm-eval's hook: the verdict on one answer."""
    return {METRIC: score(doc["answer"], results[0])}


def score(answer: str, response: str) -> float:
    """1.0 if `response` ends with the letter `answer`, else 0.0."""
    return 1.0 if final_letter(response) == answer else 0.0


def final_letter(response: str) -> str | None:
    """The letter that an answer ends with; None where there is none. Of a very long text only the end is read."""
    text = response[-LONGEST:].rpartition("</think>")[2].strip()
    match, joined = None, False
    for found in STATED.finditer(text):
        joined = match is not None and bool(JOINED.fullmatch(text, match.end(), found.start()))
        match = found
    if match is None:
        match = ALONE.fullmatch(text.rpartition("\n")[2].strip())
        return _letter(match) if match else None
    return None if joined or _offers_another(text, match.end()) else _letter(match)


def _letter(match: re.Match[str]) -> str:
    found = match.groupdict()
    return str(found["inside"] or found["bare"] or found.get("boxed")).upper()


def _offers_another(text: str, end: int) -> bool:
    """Whether another letter is joined to the one that ends there."""
    join = JOINED.match(text, end)
    return bool(join and ANY.match(text, join.end()))
