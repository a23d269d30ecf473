"""Verifying a bundle: the real thing passes; each forgery, with every digest made to fit again, is refused with why."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bundling
import factory
import msgspec
import pytest
from bundling import Files, changed, resealed

from posttrainbench import bundle
from posttrainbench.bundle import Report
from posttrainbench.cli import main
from posttrainbench.errors import DigestError
from posttrainbench.folder import RunFolder
from posttrainbench.strict import digest_value


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run whose agent calls a model, within its budget."""
    where = tmp_path_factory.mktemp("run")
    agent = factory.agent(where / "agent", api=bundling.API)
    return bundling.sealed(where, agent=agent, max_usd=1.0, max_tokens=5000)


@pytest.fixture(scope="module")
def files(run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """What is in its bundle."""
    scratch = tmp_path_factory.mktemp("files")
    bundle.seal(run, scratch / "x.ptb.tar.gz", environment={})
    (scratch / "out").mkdir()
    return bundling.held(scratch / "x.ptb.tar.gz", scratch / "out")


def verified(files: Files, tmp_path: Path, **more: Any) -> Report:
    made = bundling.packed(files, tmp_path / "in", tmp_path / "made-run.ptb.tar.gz")
    return bundle.verify(made, bundling.KNOWN, **more)


def reasons(report: Report) -> list[str]:
    return [f"{one.check}: {one.reason}" for one in report.failures]


def test_a_bundle_of_a_sealed_run_passes_every_check(run: RunFolder, tmp_path: Path) -> None:
    digest = bundle.seal(run, tmp_path / "made-run.ptb.tar.gz", environment={})
    report = bundle.verify(tmp_path / "made-run.ptb.tar.gz", bundling.KNOWN, digest=digest)
    assert reasons(report) == []
    assert (report.run, report.outcome, report.digest) == ("made-run", "scored", digest)
    assert len(report.checks) == 13
    assert not any("named after" in note for note in report.notes)


def test_a_human_baseline_is_checked_like_the_other_measurements(tmp_path: Path) -> None:
    folder = bundling.sealed(tmp_path / "runs", human=20)
    bundle.seal(folder, tmp_path / "whole.ptb.tar.gz")
    report = bundle.verify(tmp_path / "whole.ptb.tar.gz", bundling.KNOWN)
    assert report.failures == []
    made = bundling.held(tmp_path / "whole.ptb.tar.gz", tmp_path / "out")
    raised = record("human", "score", to=0.9)(made)
    assert any("human" in reason for reason in reasons(verified(resealed(raised), tmp_path)))


def test_it_is_the_same_file_every_time(run: RunFolder, tmp_path: Path) -> None:
    first = bundle.seal(run, tmp_path / "a", environment={})
    assert first == bundle.seal(run, tmp_path / "b", environment={})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_forger_who_changes_nothing_passes_so_that_refusals_below_have_their_reason(
    files: Files, tmp_path: Path
) -> None:
    assert reasons(verified(resealed(files), tmp_path)) == []


def set_in(*path: str | int, to: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = to

    return change


def both(files: Files, name: str, inside: str, change: Callable[[Any], None]) -> Files:
    """The same change in a file and in what the record repeats of it."""
    return changed(changed(files, name, change), "record.json", lambda record: change(record[inside]))


def plan(*path: str | int, to: Any) -> Callable[[Files], Files]:
    return lambda files: both(files, "plan.json", "plan", set_in(*path, to=to))


def record(*path: str | int, to: Any) -> Callable[[Files], Files]:
    return lambda files: changed(files, "record.json", set_in(*path, to=to))


def session(*path: str | int, to: Any) -> Callable[[Files], Files]:
    return lambda files: both(files, "session.json", "session", set_in(*path, to=to))


def appended(name: str, content: bytes) -> Callable[[Files], Files]:
    return lambda files: {**files, name: files.get(name, b"") + content}


def richer(files: Files) -> Files:
    """A ledger beyond the budget, and usage to fit."""
    lines = [msgspec.json.encode(line) for line in bundling.exchange(2, 4.0, 90_000)]
    files = {**files, "gateway/ledger.jsonl": files["gateway/ledger.jsonl"] + b"\n".join(lines) + b"\n"}

    def change(value: Any) -> None:
        usage = value["usage"]
        usage["exchanges"], usage["answered"], usage["cost_usd"] = 2, 2, 4.25
        model = usage["models"][0]
        model["requests"], model["cost_usd"], model["tokens"]["input"] = 2, 4.25, 91_000

    return changed(files, "record.json", change)


def one_more_right(files: Files) -> Files:
    """A wrong answer called right, with digest and mean of the measurement to fit, but not the scores."""
    name = "evaluation/final/questions.jsonl"
    rows = [json.loads(line) for line in files[name].splitlines()]
    rows[-1] |= {"score": 1.0, "samples": [1.0]}
    files = {**files, name: b"".join(json.dumps(row).encode() + b"\n" for row in rows)}

    def change(result: Any) -> None:
        result["questions"], result["score"] = bundling.digest_bytes(files[name]), 10 / 32

    return both(files, "evaluation/final/result.json", "final", change)


def fewer_questions(files: Files) -> Files:
    """The last question, a wrong answer, left out of the final measurement."""
    name = "evaluation/final/questions.jsonl"
    files = {**files, name: b"".join(line + b"\n" for line in files[name].splitlines()[:-1])}

    def change(result: Any) -> None:
        result["questions"], result["score"], result["n"] = bundling.digest_bytes(files[name]), 9 / 31, 31

    return both(files, "evaluation/final/result.json", "final", change)


def disqualified(value: Any) -> None:
    value["findings"].append({"check": "judge", "status": "flag", "severity": "disqualify", "detail": "It cheated."})


KEY = b"sk-ant-api03-" + b"Ab3dEf6hIj9lMn2pQr5tUv8xYz" * 3

FORGERIES: dict[str, tuple[Callable[[Files], Files], str]] = {
    "changed timeout": (plan("protocol", "hours", to=10.0), "protocol smoke version 2 is not the published one: hours"),
    "changed grace": (plan("protocol", "grace_seconds", to=500.0), "not the published one: grace_seconds"),
    "more hours": (plan("hours", to=3.0), "departs from the protocol 'smoke': 3 hours instead of 0.03"),
    "fewer questions planned": (plan("limit", to=8), "8 test questions instead of 32"),
    "other cards": (plan("gpus", to=2), "2 GPUs instead of 0"),
    "unknown protocol": (plan("protocol", "name", to="mine"), "this ptb has none of that name"),
    "newer protocol": (plan("protocol", "version", to=3), "this ptb has version 2 of that name"),
    "easier metric": (plan("task", "metric", to="kind"), "task tiny is not the published one: metric"),
    "longer answers": (plan("task", "decoding", "max_tokens", to=400), "not the published one: decoding.max_tokens"),
    "another test set": (plan("task", "splits", "test", "digest", to="sha256:0"), "splits.test.digest"),
    "another model under a known name": (plan("model", "name", to="tiny-random"), "The model tiny-random is not the"),
    "unknown task": (plan("task", "name", to="mine"), "none that this ptb has"),
    "plan differs": (record("plan", "seed", to=8), "copies: plan.json and the record say different things"),
    "another run's plan": (plan("run", to="other"), "its plan of run 'other'"),
    "session too long": (session("seconds", to=900.0), "session goes to 900 s"),
    "turn too long": (session("turns", 0, "end", to=900.0), "last turn goes to 900 s"),
    "telemetry too long": (appended("session/telemetry.jsonl", b'{"t": 900.0}\n'), "telemetry goes to 900 s"),
    "spent too much": (richer, "cost 4.2500 USD; its budget was 1 USD"),
    "too many tokens": (richer, "used 91000 tokens"),
    "cheaper than the ledger": (record("usage", "cost_usd", to=0.01), "usage is not what the gateway's ledger"),
    "higher score": (record("scores", "final", "value", to=0.9), "scores: The scores are not those that follow"),
    "better gain": (record("scores", "gain", "low", to=0.2), "follow from the questions: gain.low is 0.2"),
    "score of the measurement": (
        lambda files: both(files, "evaluation/final/result.json", "final", set_in("score", to=0.9)),
        "is not the mean over its questions",
    ),
    "one more right": (one_more_right, "scores: The scores are not those that follow"),
    "questions left out": (fewer_questions, "its file has 31, and 32 were planned"),
    "other measurement in the record": (record("base", "score", to=0.0), "say different things about the base"),
    "measured otherwise": (
        lambda files: both(files, "evaluation/final/result.json", "final", set_in("few_shot", to=2)),
        "another worked examples than the plan: 2, not 0",
    ),
    "measured on another bench": (
        lambda files: both(files, "evaluation/final/result.json", "final", set_in("bench", to="sha256:9")),
        "different benches",
    ),
    "no scores": (record("scores", to=None), "there are no scores"),
    "another outcome": (record("outcome", to="no_checkpoint"), "from what the stages found follows scored"),
    "hidden disqualification": (lambda files: both(files, "audit.json", "audit", disqualified), "follows disqualified"),
    "leaked key": (appended("session/output.log", b"key " + KEY), "session/output.log, line 2 (byte 18)"),
    "leaked hub token": (appended("session/output.log", b"hf_" + b"aB3dEfGh1J" * 4), "token of the Hugging Face hub"),
    "no ATIF": (
        lambda files: changed(files, "trajectory.json", set_in("steps", 0, "step_id", to=7)),
        "trajectory: trajectory.json is not ATIF: 'trajectory.steps[0].step_id",
    ),
    "unknown field": (record("bonus", to=1), "unknown field `bonus`"),
    "wrong type": (record("outcome", to="won"), "Invalid enum value"),
    "deep": (lambda files: {**files, "audit.json": b"[" * 100_000}, "copies:"),
    "huge number": (record("scores", "final", "value", to=10**400), "record:"),
    "missing file": (
        lambda files: {name: content for name, content in files.items() if name != "audit.json"},
        "'audit.json' is missing",
    ),
    "further file": (lambda files: {**files, "notes.txt": b"hello"}, "'notes.txt' is not named by the record"),
}


@pytest.mark.parametrize("case", FORGERIES)
def test_a_forgery_with_fitting_digests_is_refused_with_the_reason(case: str, files: Files, tmp_path: Path) -> None:
    forge, reason = FORGERIES[case]
    found = reasons(verified(resealed(forge(files)), tmp_path))
    assert any(reason in one for one in found), found
    assert all(one.isprintable() for one in found)


@pytest.mark.parametrize("name", ["plan.json", "evaluation/final/questions.jsonl", "session/output.log"])
def test_a_file_that_was_changed_without_the_digests_is_refused(name: str, files: Files, tmp_path: Path) -> None:
    found = reasons(verified({**files, name: files[name] + b" "}, tmp_path))
    assert any(one.startswith("contents:") and name in one for one in found), found
    assert any(one.startswith("artefacts:") and name in one for one in found), found


def test_a_record_that_was_edited_is_refused(files: Files, tmp_path: Path) -> None:
    found = reasons(verified(record("scores", "final", "value", to=0.9)(files), tmp_path))
    assert any("not as it was sealed" in one for one in found)


def test_the_record_of_another_run_is_refused(files: Files, tmp_path: Path) -> None:
    other = bundling.sealed(tmp_path / "other", run="other-run", right=30)
    found = reasons(verified({**files, "record.json": other.record.read_bytes()}, tmp_path))
    assert any("not the one that was bundled" in one and "'other-run'" in one for one in found)
    assert any(one.startswith("artefacts:") for one in found)


def test_another_bundle_under_a_published_digest_is_refused(files: Files, tmp_path: Path) -> None:
    report = verified(files, tmp_path, digest="sha256:" + "0" * 64)
    assert [one.check for one in report.failures] == ["digest"]


def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(b"hello")
    report = bundle.verify(tmp_path / "x.gz", bundling.KNOWN)
    assert [one.check for one in report.failures] == ["archive"]
    assert "ptb bundle RUN" in report.failures[0].reason


@pytest.mark.parametrize("name", ["record.json", "bundle.json"])
@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"null", b"\xff", b'{"run": "\\ud800"}', b'{"format": 1}'])
def test_a_file_that_is_no_json_of_ours_is_a_sentence(name: str, content: bytes, files: Files, tmp_path: Path) -> None:
    report = verified({**files, name: content}, tmp_path)
    assert report.failures
    assert all(one.reason.isprintable() for one in report.failures)


def test_weights_are_included_on_demand_and_compared(run: RunFolder, tmp_path: Path) -> None:
    bundle.seal(run, tmp_path / "made-run.ptb.tar.gz", weights=True, environment={})
    report = bundle.verify(tmp_path / "made-run.ptb.tar.gz", bundling.KNOWN, weights=run.checkpoint)
    assert reasons(report) == []
    (tmp_path / "out").mkdir()
    held = bundling.held(tmp_path / "made-run.ptb.tar.gz", tmp_path / "out")
    assert held["weights/model.safetensors"] == (run.checkpoint / "model.safetensors").read_bytes()
    held["weights/model.safetensors"] += b"x"
    found = reasons(verified(resealed(held), tmp_path / "again"))
    assert found == [
        "artefacts: 'model.safetensors' is not the file that the record's manifest of the weights names; its digest "
        "differs."
    ]


def test_weights_kept_elsewhere_are_compared_with_the_manifest(run: RunFolder, tmp_path: Path) -> None:
    bundle.seal(run, tmp_path / "x", environment={})
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_bytes(b"{}")
    (tmp_path / "weights" / "more.bin").write_bytes(b"")
    found = reasons(bundle.verify(tmp_path / "x", bundling.KNOWN, weights=tmp_path / "weights"))
    assert len(found) == 3
    assert any("model.safetensors is missing" in one for one in found)
    assert any("'more.bin' was not scored" in one for one in found)


def test_a_report_is_drawn_of_a_good_bundle_alone(run: RunFolder, files: Files, tmp_path: Path) -> None:
    bundle.seal(run, tmp_path / "x", environment={})
    bundle.verify(tmp_path / "x", bundling.KNOWN, page=tmp_path / "good.html")
    assert "Content-Security-Policy" in (tmp_path / "good.html").read_text()
    verified(resealed(plan("hours", to=3.0)(files)), tmp_path, page=tmp_path / "bad.html")
    assert not (tmp_path / "bad.html").exists()


@pytest.mark.parametrize(
    ("place", "content", "environment"),
    [
        ("session/output.log", KEY, {}),
        ("session/output.log", b"the-hosts-own-secret-key", {"ANTHROPIC_API_KEY": "the-hosts-own-secret-key"}),
        ("session/output.log", b"the-hosts-hub-token", {"HF_TOKEN": "the-hosts-hub-token"}),
        ("session/output.log", b"the-secret-of-the-run", {}),
        ("session/telemetry.jsonl", b"Bearer abcdefghij0123456789", {}),
    ],
)
def test_a_run_that_holds_a_key_is_not_bundled(
    place: str, content: bytes, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = bundling.sealed(tmp_path / "run")
    (folder.gateway).mkdir(exist_ok=True)
    spec = {"run": "r", "secret": "the-secret-of-the-run", "api": None, "network": "closed", "web_tools": False}
    (folder.gateway / "gateway.json").write_text(json.dumps({**spec, "cache": "", "seconds": 1.0}))
    path = folder.path / place
    path.write_bytes(path.read_bytes() + content)
    sealed = json.loads(folder.record.read_bytes())
    sealed["artefacts"][place] = bundling.digest_file(path)
    sealed["digest"] = digest_value({**sealed, "digest": ""})
    folder.record.write_text(json.dumps(sealed))
    with pytest.raises(DigestError, match=f"{place}, line 2") as error:
        bundle.seal(folder, tmp_path / "x", environment=environment)
    assert content.decode() not in str(error.value)
    assert not (tmp_path / "x").exists()


def test_a_run_that_was_changed_or_has_no_weights_is_not_bundled(tmp_path: Path) -> None:
    folder = bundling.sealed(tmp_path / "run")
    (folder.checkpoint / "config.json").write_bytes(b"{}")
    with pytest.raises(DigestError, match="not what was frozen"):
        bundle.seal(folder, tmp_path / "x", weights=True, environment={})
    (folder.session / "output.log").write_bytes(b"")
    with pytest.raises(DigestError, match="changed after"):
        bundle.seal(folder, tmp_path / "x", environment={})
    assert not (tmp_path / "x").exists()


def test_the_commands_say_it_with_their_exit_codes(
    run: RunFolder, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("PTB_")]:
        monkeypatch.delenv(name)
    where = ["--runs-dir", str(run.path.parent)]
    assert main(["bundle", "made-run", *where]) == 0
    name = capsys.readouterr().out.partition("  ")[0]
    assert Path(name).is_file()
    assert main(["verify", "made-run.ptb.tar.gz"]) == 0
    digest = capsys.readouterr().out.split()[-1]
    assert main(["verify", "made-run.ptb.tar.gz", "--digest", digest, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failures"] == []
    assert main(["verify", "made-run", "--json", *where]) == 0
    capsys.readouterr()
    assert main(["verify", "made-run.ptb.tar.gz", "--digest", "sha256:1"]) == 2
    assert main(["verify", "made-run.ptb.tar.gz", "--max-gb", "nan"]) == 2
    assert main(["verify", "x" * 5000]) == 2
    bundling.packed(resealed(plan("hours", to=3.0)(files)), tmp_path / "in", tmp_path / "bad.ptb.tar.gz")
    assert main(["verify", "bad.ptb.tar.gz"]) == 7
    assert "refused  protocol: The run departs from the protocol" in capsys.readouterr().out
    assert main(["bundle", "made-run", "--out", str(tmp_path), *where]) == 2
    (tmp_path / "cut.ptb.tar.gz").write_bytes((tmp_path / "bad.ptb.tar.gz").read_bytes()[:-1])
    assert main(["verify", "cut.ptb.tar.gz"]) == 7
    assert "cut off" in capsys.readouterr().out
