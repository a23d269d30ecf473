r"""Is the answer's final number the right one?

The number after the last `####` counts, or the last number where there is no `####`. Numbers are compared as exact
decimals: `72`, `72.0`, `$72`, `**72**` and `72.` are equal, and `1,000` is 1000. What is not well-formed is no number:
`1,00`, `3.4.5`, `72/3`, `7x3`, `72²`, `7e1`, and any digits of Unicode but ASCII's. After `####` the number must come
at once, but for spaces, asterisks, TeX's wrappers (`$`, `\(`, `\boxed{`, `\text{`), a sign and a currency; words after
it do not matter. What a model thinks up to `</think>` does not count.
"""

import re
from decimal import Decimal

METRIC = "exact_number"
LONGEST = 20_000
MOST_DIGITS = 40
# The run of digits, points and commas is taken whole (`*+`), so that no part of a malformed number can count.
WRITTEN = (
    r"([-\u2212]?)[ \t]*[$€£]?[ \t]*([-\u2212]?)((?:[0-9]|\.[0-9])[0-9.,]*+)(?![\d²³¹⁰-⁹½¼¾]|[/^*xX×·]\d|[eE][-+]?\d)"
)
AFTER_MARK = re.compile(r"(?:[ \t*{]|\$(?=[ \t*\\$€£])|\\(?:[(\[]|boxed|text|mathbf|textbf)(?![a-z]))*+\\?" + WRITTEN)
ANYWHERE = re.compile(r"(?<![\w.,])" + WRITTEN)
WELL_FORMED = re.compile(r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)(?:\.[0-9]+)?")


def process_results(doc: dict[str, str], results: list[str]) -> dict[str, float]:
    """lm-eval's hook: the verdict on one answer."""
    return {METRIC: score(doc["answer"], results[0])}


def score(answer: str, response: str) -> float:
    """1.0 if the final number of `response` is that of `answer`, else 0.0."""
    expected = final_number(answer)
    return 1.0 if expected is not None and final_number(response) == expected else 0.0


def final_number(text: str) -> Decimal | None:
    """The number that a solution ends with; None where there is none. Of a very long text only the end is read."""
    _, mark, rest = text[-LONGEST:].rpartition("</think>")[2].rpartition("####")
    found = [AFTER_MARK.match(rest)] if mark else list(ANYWHERE.finditer(rest))
    match = found[-1] if found else None
    return _number(match[1] + match[2], match[3]) if match else None


def _number(sign: str, token: str) -> Decimal | None:
    digits = token.rstrip(".,")
    if len(sign) > 1 or len(digits) > MOST_DIGITS or not WELL_FORMED.fullmatch(digits):
        return None
    return Decimal(("-" if sign else "") + digits.replace(",", ""))
