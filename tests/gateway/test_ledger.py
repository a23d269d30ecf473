"""What a ledger comes to, whatever has been written into it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posttrainbench.gateway import ledger
from posttrainbench.gateway.ledger import Attempt, Begin, End, ModelUsage, Tokens, Usage


def begin(n: int, **changes: object) -> Begin:
    told = {"t": 0.0, "at": "2026-11-28T00:00:00Z", "route": "anthropic.messages", "model": "m", "background": False}
    told |= {"reserved_usd": 1.0, "reserved_tokens": 10, "digest": "d"}
    return Begin(n=n, **told | changes)  # type: ignore[arg-type]


def end(n: int, **changes: object) -> End:
    told: dict[str, object] = {"t": 1.0, "status": 200, "seconds": 1.0, "first_byte_seconds": 0.5}
    told |= {"attempts": [Attempt(status=200, seconds=1.0)], "throttled_seconds": 0.0, "answered_model": "m"}
    told |= {"tokens": Tokens(input=1, output=2), "cost_usd": 0.5, "sent_bytes": 1, "received_bytes": 1, "cause": None}
    return End(n=n, **told | changes)  # type: ignore[arg-type]


def written(path: Path, *lines: Begin | End) -> Path:
    file = ledger.Ledger(path)
    for line in lines:
        file.write(line)
    file.close()
    return path


def test_a_summary_adds_up_by_model(tmp_path: Path) -> None:
    path = written(
        tmp_path / "l",
        begin(1),
        begin(2, model="small", background=True),
        end(2, tokens=Tokens(cached=7), cost_usd=0.25),
        end(1, throttled_seconds=2.5),
        begin(3),
        end(3, status=529, cause="overloaded", tokens=Tokens(), cost_usd=0.0),
        begin(4, model="other"),
        end(4, status=403, cause="policy", attempts=[], tokens=Tokens(), cost_usd=None),
        begin(5),
    )
    assert ledger.summary(path) == Usage(
        exchanges=5,
        answered=2,
        models=[
            ModelUsage(model="m", background=False, requests=2, tokens=Tokens(input=1, output=2), cost_usd=0.5),
            ModelUsage(model="small", background=True, requests=1, tokens=Tokens(cached=7), cost_usd=0.25),
        ],
        cost_usd=0.75,
        throttled_seconds=2.5,
        causes={"overloaded": 1, "policy": 1},
        unfinished=1,
        unserved=False,
    )


LOST = Attempt(status=None, seconds=1.0, cause="stall")
BUSY = Attempt(status=529, seconds=1.0, cause="overloaded")
UNKNOWN = "The model `m` does not exist."


@pytest.mark.parametrize(
    ("begins", "ends", "unserved"),
    [
        ({}, {"status": 401, "cause": "auth"}, True),
        ({}, {"status": 502, "cause": "connection", "attempts": [LOST]}, True),
        ({}, {"cause": "stall", "detail": "The answer was cut off: TimeoutError."}, True),
        # It waited for long, and its program gave up first.
        ({}, {"status": 499, "cause": "connection", "detail": ledger.HUNG_UP, "attempts": [BUSY]}, True),
        ({}, {"status": 404, "cause": "invalid_request", "detail": UNKNOWN}, True),
        ({"reserved_tokens": 0}, {"status": 503, "cause": "auth", "attempts": []}, True),
        # What follows any agent could bring about, so that its run would be repeated.
        ({}, {"status": 499, "cause": "connection", "detail": ledger.HUNG_UP, "attempts": []}, False),
        ({}, {"cause": "connection", "detail": ledger.HUNG_UP}, False),
        ({}, {"status": 400, "cause": "invalid_request"}, False),
        ({}, {"status": 400, "cause": "context_exceeded"}, False),
        ({"reserved_tokens": 0}, {"status": 401, "cause": "policy", "attempts": []}, False),
        ({"reserved_tokens": 0}, {"status": 403, "cause": "budget", "attempts": []}, False),
        ({}, {"cause": "refused"}, False),
    ],
)
def test_whose_fault_it_is_that_no_model_answered(
    tmp_path: Path, begins: dict[str, object], ends: dict[str, object], unserved: bool
) -> None:
    path = written(tmp_path / "l", begin(1, **begins), end(1, **ends))
    assert ledger.summary(path).unserved is unserved
    written(path, begin(2), end(2))
    assert ledger.summary(path).unserved is False


def test_a_count_of_tokens_and_a_small_model_beside_it_are_no_answer(tmp_path: Path) -> None:
    path = written(
        tmp_path / "l",
        begin(1, route="anthropic.count_tokens", reserved_tokens=0),
        end(1),
        begin(2, background=True),
        end(2),
        begin(3),
        end(3, status=403, cause="auth"),
    )
    assert (ledger.summary(path).answered, ledger.summary(path).unserved) == (2, True)


def test_one_unknown_price_makes_the_sum_unknown(tmp_path: Path) -> None:
    path = written(tmp_path / "l", begin(1), end(1), begin(2), end(2, cost_usd=None))
    assert ledger.summary(path).cost_usd is None


def test_no_file_is_nothing(tmp_path: Path) -> None:
    assert ledger.summary(tmp_path / "none") == Usage(
        exchanges=0, answered=0, models=[], cost_usd=0.0, throttled_seconds=0.0, causes={}, unfinished=0
    )


@pytest.mark.parametrize(
    "bad", [b"{", b"[]", b"\xff\xfe", b'{"line":"begin"}', b"x" * 300_000, b"", b'{"line":"end","n":"1"}']
)
def test_lines_that_are_not_ours_are_skipped(tmp_path: Path, bad: bytes) -> None:
    path = written(tmp_path / "l", begin(1))
    with path.open("ab") as file:
        file.write(bad + b"\n")
    written(path, end(1))
    assert (ledger.summary(path).exchanges, ledger.summary(path).answered) == (1, 1)


def test_a_line_that_was_cut_off_costs_only_itself(tmp_path: Path) -> None:
    path = written(tmp_path / "l", begin(1), end(1))
    path.write_bytes(path.read_bytes()[:-5])
    written(path, begin(2), end(2))
    assert (ledger.summary(path).exchanges, ledger.summary(path).answered, ledger.summary(path).unfinished) == (2, 1, 1)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_can_be_summed_up(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "l"
    path.write_bytes(content)
    assert ledger.summary(path).exchanges == 0
