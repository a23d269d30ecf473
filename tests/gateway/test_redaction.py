"""No secret is left in what is stored or passed on."""

from hypothesis import given
from hypothesis import strategies as st

from posttrainbench.gateway.redaction import Mask, Redaction

KEY = "sk-ant/a+b=0123456789"


def test_a_secret_is_found_as_json_and_urls_write_it() -> None:
    redaction = Redaction([KEY, ""])
    for form in (KEY, KEY.replace("/", "\\/"), "sk-ant%2Fa%2Bb%3D0123456789"):
        assert redaction.content(f"<{form}>".encode()) == b"<[redacted]>"


def test_bearer_tokens_and_secret_headers_go() -> None:
    redaction = Redaction([])
    assert redaction.content(b"Authorization: Bearer abcdefgh12345678.x") == b"Authorization: Bearer [redacted]"
    assert redaction.headers({"X-Api-Key": "a", "Accept": "b"}) == {"X-Api-Key": "[redacted]", "Accept": "b"}


@given(st.lists(st.integers(min_value=1, max_value=30), max_size=20), st.binary(max_size=20), st.binary(max_size=20))
def test_a_stream_is_masked_however_it_is_cut(cuts: list[int], before: bytes, after: bytes) -> None:
    content = before + KEY.encode() + after + KEY.encode()[:7]
    mask, passed, rest = Mask([KEY]), b"", content
    for cut in cuts:
        passed += mask.feed(rest[:cut])
        rest = rest[cut:]
    passed += mask.feed(rest) + mask.rest()
    assert passed == content.replace(KEY.encode(), b"*" * len(KEY))


def test_what_cannot_be_a_secret_is_passed_on_at_once() -> None:
    mask = Mask([KEY])
    assert mask.feed(b"data: hello\n\n") == b"data: hello\n\n"
    assert mask.feed(b"data: sk-an") == b"data: "
    assert mask.feed(b"d more") == b"sk-and more"
