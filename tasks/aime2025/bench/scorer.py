r"""Is the integer that the answer ends with the right one?

The content of the last `\boxed{…}` counts; where there is no box, the last place that says clearly what the answer is
(`answer is 204`, `Answer: 204`, `answer = 204`). An integer is one run of decimal digits of one script, so `149` is
never `49`; leading zeros do not matter, values above 999 and signs make it wrong. Wrappers of TeX and Markdown around
it (`$…$`, `\text{…}`, `**…**`, a degree sign, `m + n =` before it) do not matter. What offers two answers (`204 or
205`, two boxes joined by `or`) is wrong, and so is a last box without an integer: no other place is looked at then.
What a model thinks up to `</think>` does not count.
"""

import re
import unicodedata

METRIC = "exact_integer"
LONGEST = 100_000
HIGHEST = 999
BOX = re.compile(r"\\(?:boxed|fbox)\s*")
SPACE = re.compile(r"(?:\s|\\[,;:! ]|\\quad|~)+")
WRAPPED = re.compile(
    r"\\(?:text|textbf|textrm|textit|mathbf|mathrm|mathit|mathsf|boldsymbol|bm|displaystyle|bf|rm)\s*"
    r"|\\[()\[\]]|\^\s*\{?\s*\\circ\s*\}?|\\degree|°|[${}*_`]"
)
STATED = re.compile(r"\banswer\s*(?:is|=|:)", re.IGNORECASE)
# What may stand between the words and the number.
LEAD = re.compile(r"(?:[\s:=*_`$({\[]|\\[(\[,;:! ]|\\(?:text|textbf|mathbf|mathrm)(?![a-z]))*+")
# What follows a number that is whole: the end, a space, a mark that closes; never what would make another number of it.
WHOLE = re.compile(r"(?=\s|$|[*_`$)\]}!?;:°]|\\|[.,](?!\d)|\^\s*\{?\s*\\circ)")
JOINED = re.compile(r"[\s*_`$(){}\[\]\\.]*+(?:,\s*(?:or|and)?|or|and|/)[\s*_`$(){}\[\]\\.]*+", re.IGNORECASE)
# Another number that is offered with the one before it.
OTHER = re.compile(
    rf"[\s*_`$)}}\]\\]*+(?:,\s*(?:or|and)?|or|and|/){LEAD.pattern}(?:\\(?:boxed|fbox)|\d)", re.IGNORECASE
)


def process_results(doc: dict[str, str], results: list[str]) -> dict[str, float]:
    """lm-eval's hook: the verdict on one answer."""
    return {METRIC: score(doc["answer"], results[0])}


def score(answer: str, response: str) -> float:
    """1.0 if `response` ends with the integer `answer`, else 0.0."""
    return 1.0 if final_integer(response) == int(answer) else 0.0


def final_integer(response: str) -> int | None:
    """The integer from 0 to 999 that an answer ends with; None where there is none. Of a very long text only the end is
    read."""
    text = response[-LONGEST:].rpartition("</think>")[2]
    boxes = list(BOX.finditer(text))[-2:]
    return _boxed(text, boxes) if boxes else _stated(text)


def _content(text: str, begin: int) -> tuple[str, int]:
    """What a box that opens at `begin` holds, and where it ends; nothing where it is never closed."""
    if not text.startswith("{", begin):
        word = re.match(r"\w*", text[begin:])
        return (word[0], begin + word.end()) if word else ("", begin)
    depth = 0
    for place in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[begin + 1 : place], place + 1
    return "", len(text)


def _boxed(text: str, boxes: list[re.Match[str]]) -> int | None:
    """The integer in the last of the boxes; None if it is joined to the one before it or to what follows it."""
    content, end = _content(text, boxes[-1].end())
    before = _content(text, boxes[0].end())[1] if len(boxes) > 1 else 0
    # A box inside a box ends before the outer one does; it is not joined to it.
    if 0 < before <= boxes[-1].start() and JOINED.fullmatch(text, before, boxes[-1].start()):
        return None
    if OTHER.match(text, end):
        return None
    return _integer(SPACE.sub(" ", WRAPPED.sub(" ", content.rpartition("=")[2])).strip(" ."))


def _stated(text: str) -> int | None:
    found = None
    for match in STATED.finditer(text):
        begin = LEAD.match(text, match.end())
        digits = re.compile(r"\d+").match(text, begin.end() if begin else match.end())
        if digits and WHOLE.match(text, digits.end()):
            found = None if OTHER.match(text, digits.end()) else _integer(digits[0])
    return found


def _integer(digits: str) -> int | None:
    """A run of decimal digits of one script as an integer from 0 to 999."""
    if not digits.isdecimal() or len({ord(one) - unicodedata.decimal(one) for one in digits}) > 1:
        return None
    digits = "".join(str(unicodedata.decimal(one)) for one in digits).lstrip("0") or "0"
    return int(digits) if len(digits) <= len(str(HIGHEST)) else None
