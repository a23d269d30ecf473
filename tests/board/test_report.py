"""The report shows what the record says, on one page that runs nothing and trusts no text."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import factory
import pytest

from posttrainbench import scores
from posttrainbench.agent.result import SessionResult, Turn
from posttrainbench.board import drawing, report, text
from posttrainbench.checkpoint import Frozen, Refused
from posttrainbench.integrity import Audit, Finding
from posttrainbench.record import Incident, Prepared, Record, Times, seal

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}"
BASE = {f"q{number}": 0.0 for number in range(40)}
FEW = {name: float(name < "q13") for name in BASE}
FINAL = {name: float(name < "q3") for name in BASE}


def record(folder: Path, **changes: Any) -> Record:
    """A sealed record of a scored run; changes may be given for any field."""
    values: dict[str, Any] = {
        "run": "quick-run",
        "plan": factory.plan(folder),
        "prepared": Prepared(
            model_folder="/models/tiny",
            model_digest="sha256:model",
            model_revision="r1",
            bench_digest="sha256:bench",
            test_digest="sha256:test",
            protected={},
            isolation=["The network is shared with the host."],
        ),
        "outcome": "scored",
        "reason": "The checkpoint was scored on the sealed test split.",
        "session": SessionResult(
            reason="exited", seconds=142.0, exit_code=0, turns=[Turn(start=0, end=100), Turn(start=101, end=142)]
        ),
        "freeze": Frozen(
            files={"config.json": "sha256:config"},
            bytes=271_000_000,
            config="sha256:config",
            architecture="LlamaForCausalLM",
            digest="sha256:checkpoint",
            dropped=["optimizer.pt"],
        ),
        "audit": Audit(
            findings=[Finding(check="tamper", status="flag", severity="suspect", detail="One file.", evidence="e.py")],
            verdict="suspect",
        ),
        "base": None,
        "few_shot": None,
        "final": None,
        "scores": scores.score(metric="exact", base=BASE, few_shot=FEW, final=FINAL),
        "incidents": [Incident(kind="resumed", detail="ptb died")],
        "artefacts": {"plan.json": "sha256:plan"},
        "times": Times(created="2026-01-01T00:00:00Z", sealed="2026-01-01T00:10:00Z", stages={"prepare": 1.5}),
    }
    return seal(Record(**values | changes))


class Reader(HTMLParser):
    """Tags, attributes and text of a page, as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "line", "circle", "rect", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def draw(folder: Path, log: bytes = b"hello\n", **changes: Any) -> str:
    """The report of a run that printed `log`."""
    session = folder / "session"
    session.mkdir(exist_ok=True)
    (session / "output.log").write_bytes(log)
    samples = [{"t": 5.0 * n, "cpu_percent": 90.0 + n % 7, "memory_mb": 500.0, "processes": 3} for n in range(900)]
    (session / "telemetry.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples) + '{"t": 5')
    return report.render(record(folder, **changes), folder)


ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "main", "section", "div", "span", "p", "h1", "h2", "h3"),
    *("strong", "code", "pre", "ul", "li", "table", "tr", "th", "td"),
    *("svg", "text", "line", "circle", "rect", "polyline"),
}


def check_harmless(page: str) -> Reader:
    """No element, attribute or character that could act."""
    read = Reader(page)
    assert read.open == []
    assert {tag for tag, _ in read.tags} <= ALLOWED
    for _, attributes in read.tags:
        assert not any(name.startswith("on") or name in ("style", "src", "href", "srcset") for name in attributes)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", page)
    page.encode()
    return read


def test_a_scored_run_shows_everything_that_matters(tmp_path: Path) -> None:
    page = draw(tmp_path)
    assert page.startswith("<!doctype html>")
    words = check_harmless(page).text
    for expected in (
        "quick on tiny × sums",
        "Scored: gain +57.5 %",
        "Much of a gain over a base model is format",
        "scores 12.5 % here when its prompt holds 2 worked examples, and 0.0 % without them",
        "Verdict: suspect",
        "tamper",
        "The network is shared with the host.",
        "resumed",
        "The agent ended by itself with exit code 0, after 2 min 22 s",
        "hello",
        "LlamaForCausalLM, 271 MB",
        "optimizer.pt",
        "sha256:checkpoint",
        "sha256:test",
        "No uplift",
        record(tmp_path).digest,
    ):
        assert expected in words
    assert page.count("<svg") == 2 + 1 + 3


def test_the_policy_allows_the_style_alone(tmp_path: Path) -> None:
    page = draw(tmp_path)
    style = re.search(r"<style>(.*?)</style>", page, re.S)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    (policy,) = [one["content"] for tag, one in Reader(page).tags if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert page.index("Content-Security-Policy") < page.index("<style>")
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_hostile_text_anywhere_stays_text(tmp_path: Path) -> None:
    page = draw(
        tmp_path,
        log=f"{EVIL}\x1b[31mred\x1b[0m\x1b]0;title\x07 \x00\x9b2J‮reversed</pre>\n".encode() + b"\xff\xfe broken",
        plan=factory.plan(
            tmp_path, agent=factory.agent(tmp_path, name=EVIL, command=[EVIL]), task=factory.task(name=EVIL)
        ),
        reason=EVIL,
        freeze=Frozen(
            files={EVIL: EVIL}, bytes=1, config="c", architecture=EVIL, digest="d", dropped=[EVIL, "a\x1b[2Jb"]
        ),
        audit=Audit(findings=[Finding(check=EVIL, status="flag", detail=EVIL, evidence=EVIL)], verdict="suspect"),
        incidents=[Incident(kind="resumed", detail=EVIL)],
        artefacts={EVIL: EVIL},
        scores=scores.score(metric=EVIL, base=BASE, final=FINAL),
    )
    read = check_harmless(page)
    assert "<script>" not in page
    assert read.text.count(EVIL) >= 12
    assert "red" in read.text
    assert "title" not in read.text.split("The last of its output")[1][:200].replace(EVIL, "")
    assert "broken" in read.text


def test_a_line_of_five_megabytes_is_bounded(tmp_path: Path) -> None:
    page = draw(tmp_path, log=b"x" * 5_000_000 + b" the end")
    assert len(page) < 80_000
    assert "the end" in Reader(page).text


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        ("no_checkpoint", "No checkpoint"),
        ("invalid_checkpoint", "Invalid checkpoint"),
        ("disqualified", "Disqualified"),
        ("infrastructure", "Broken by our side"),
    ],
)
def test_a_run_without_a_score_is_shown_as_what_it_is(outcome: str, shown: str, tmp_path: Path) -> None:
    page = report.render(
        record(
            tmp_path,
            outcome=outcome,
            reason="Because.",
            scores=None,
            audit=None,
            freeze=Refused(code="no_checkpoint", reason="None."),
            incidents=[],
            session=SessionResult(reason="lost", seconds=0, detail="gone"),
        ),
        tmp_path / "nothing-there",
    )
    words = check_harmless(page).text
    assert f"{shown}" in words
    assert "Because." in words
    assert "The session was lost: gone" in words
    assert "Verdict: unchecked" in words
    assert "Scores" not in words
    assert "Gain" not in words
    assert ": gain" not in words
    assert "<svg" not in page


def test_no_change_is_no_evidence(tmp_path: Path) -> None:
    page = draw(tmp_path, scores=scores.score(metric="exact", base=BASE, final=BASE))
    words = Reader(page).text
    assert "interval includes 0: no evidence" in words
    assert "was not measured with worked examples" in words
    assert "no evidence" not in Reader(draw(tmp_path)).text


def test_the_same_record_gives_the_same_page(tmp_path: Path) -> None:
    assert draw(tmp_path) == draw(tmp_path)


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("10 %\r50 %\r100 %\r\nnext", "100 %\nnext"),
        ("a\x00b\x08c\x7f", "a\ufffdb\ufffdc\ufffd"),
        ("\u202eabc\u2066\u200b\ufeff", "\ufffdabc\ufffd\ufffd\ufffd"),
        ("\ud800", "\ufffd"),
        ("\x1b", ""),
        ("é 漢 🙂", "é 漢 🙂"),
    ],
)
def test_clean(raw: str, cleaned: str) -> None:
    assert text.clean(raw) == cleaned


def test_clean_keeps_the_end_that_is_asked_for() -> None:
    assert text.clean("abcdef", 3) == "abc …"
    assert text.clean("abcdef", 3, end=True) == "… def"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(4.21, "4.2 s"), (142, "2 min 22 s"), (3599.9, "1 h 0 min"), (35_880, "9 h 58 min")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_drawings_of_nothing_are_nothing() -> None:
    assert drawing.intervals([]) == ""
    assert drawing.turns([], 0) == ""
    assert drawing.sparkline("CPU", [1.0], [1.0], "%") == ""
    assert drawing.sparkline("CPU", [0.0, 1.0], [float("nan"), float("inf")], "%") == ""


def test_a_drawing_stays_within_its_frame() -> None:
    found = drawing.sparkline("CPU", [float(n) for n in range(5000)], [float(n % 300) for n in range(5000)], "%")
    points = [tuple(map(float, pair.split(","))) for pair in re.search(r'points="([^"]+)"', found)[1].split()]  # type: ignore[index]
    assert len(points) <= drawing.MAX_POINTS
    assert all(8 <= x <= drawing.WIDTH - 8 and 24 <= y <= 64 for x, y in points)


def test_a_drawing_escapes_its_names() -> None:
    (found,) = drawing.intervals([(EVIL, scores.Estimate(value=0.5, low=0.4, high=0.6, method="made up"))]).split("\n")
    assert "<script>" not in found
    assert "<img" not in found
    assert Reader(found).text.startswith(EVIL)
