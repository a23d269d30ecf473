"""What a bench's cell.py writes is not trusted: here stand-ins for it write what an honest one never would."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from benching import lay, pretend

from posttrainbench.errors import DigestError, InfrastructureError
from posttrainbench.evaluation import CheckpointUnusable, Measurement, measure
from posttrainbench.inputs import build_model
from posttrainbench.sandbox.local import Local
from posttrainbench.strict import digest_file, read_json

LIES = {
    "a score above one": "rows[0] |= {'score': 2.0, 'samples': [2.0]}; result['score'] += 1 / len(rows); write()",
    "a negative score": "rows[0] |= {'score': -1.0, 'samples': [-1.0]}; write()",
    "NaN": "rows[0] |= {'score': float('nan'), 'samples': [float('nan')]}; write()",
    "infinity": "rows[0] |= {'score': 1e999, 'samples': [1e999]}; write()",
    "a number as text": "rows[0] |= {'samples': ['1.0']}; write()",
    "a mean that is none": "rows[0] |= {'score': 0.5}; write()",
    "a total that does not follow": "result['score'] = 0.25; write()",
    "another count": "result['n'] += 1; write()",
    "one question left out": "rows.pop(); result['n'] -= 1; write()",
    "one question twice": "rows[0] = rows[1]; write()",
    "another order": "rows.reverse(); write()",
    "a question that was not asked": "rows[0] |= {'id': 'other'}; write()",
    "more samples than asked for": "rows[0] |= {'samples': [1.0, 1.0], 'responses': ['a', 'a']}; write()",
    "no answers": "rows[0] |= {'responses': []}; write()",
    "an endless answer": "rows[0] |= {'responses': ['a' * 20001]}; write()",
    "a key too many": "result['extra'] = 1; write()",
    "a key too few": "del result['device']; write()",
    "another split": "result['split'] = 'test'; write()",
    "another decoding": "result['decoding'] = result['decoding'] | {'max_tokens': 999}; write()",
    "worked examples": "result['few_shot'] = 2; write()",
    "another backend": "result['backend'] = 'vllm'; write()",
    "a try of negative time": "result['tries'] = [{'batch_size': 1, 'outcome': 'done', 'seconds': -1}]; write()",
    "negative time": "result['seconds'] = -1; write()",
    "another digest": "result['questions_digest'] = 'sha256:0'; write()",
    "nothing": "",
    "no questions": "write(); (out / 'questions.jsonl').unlink()",
    "no JSON": "write(); (out / 'result.json').write_bytes(b'\\xff\\xfe{')",
    "deep JSON": "write(); (out / 'result.json').write_text('[' * 500000)",
    "a huge result": "write(); (out / 'result.json').write_text(' ' * 2000000)",
    "huge questions": "os.truncate(out / 'questions.jsonl', 2**40) if write() is None else 0",
    "a link as the result": "write(); os.rename(out / 'result.json', out / 'x'); os.symlink('x', out / 'result.json')",
    "a pipe as the result": "write(); (out / 'result.json').unlink(); os.mkfifo(out / 'result.json')",
    "a folder as the result": "write(); (out / 'result.json').unlink(); (out / 'result.json').mkdir()",
}


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    return lay("tiny", tmp_path / "bench")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


def run(bench: Path, model: Path, out: Path, **options: Any) -> measure.Measured:
    return measure.measure(Local(), bench=bench, model=model, out=out, **options)


def test_an_honest_result_becomes_a_measurement(bench: Path, model: Path, tmp_path: Path) -> None:
    pretend(bench, "write()")
    found = run(bench, model, tmp_path / "out", few_shot=2)
    assert isinstance(found, Measurement)
    assert (found.task, found.split, found.n, found.score, found.few_shot) == ("tiny", "dev", 24, 1, 2)
    assert 0 < found.seconds < 60
    assert found.questions == digest_file(tmp_path / "out" / "questions.jsonl")
    assert measure.read(tmp_path / "out") == found == read_json(tmp_path / "out" / "result.json", measure.Measured)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cell.log", "questions.jsonl", "result.json"]


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_result_that_cannot_be_trusted_is_our_fault_and_never_a_score(
    bench: Path, model: Path, tmp_path: Path, lie: str
) -> None:
    pretend(bench, lie)
    with pytest.raises(InfrastructureError, match=r"cannot be trusted"):
        run(bench, model, tmp_path / "out")
    assert not (tmp_path / "out" / "result.json").exists()


def test_a_failure_of_the_evaluator_ends_with_its_last_words(bench: Path, model: Path, tmp_path: Path) -> None:
    pretend(bench, "write(); print('the disk', file=sys.stderr); sys.exit('is full')")
    with pytest.raises(InfrastructureError, match=r"exit code 1.*the disk \| is full"):
        run(bench, model, tmp_path / "out")
    assert not (tmp_path / "out" / "result.json").exists()


def test_an_unusable_checkpoint_is_a_result(bench: Path, model: Path, tmp_path: Path) -> None:
    pretend(bench, "print('checkpoint: its weights are torn', file=sys.stderr); sys.exit(65)")
    found = run(bench, model, tmp_path / "out")
    assert found == CheckpointUnusable(reason="The checkpoint cannot be used: its weights are torn.")
    assert read_json(tmp_path / "out" / "result.json", measure.Measured) == found
    with pytest.raises(DigestError):
        measure.read(tmp_path / "out")


def test_an_evaluator_that_takes_too_long_is_our_fault(bench: Path, model: Path, tmp_path: Path) -> None:
    pretend(bench, "write(); __import__('time').sleep(600)")
    with pytest.raises(InfrastructureError, match="was not done after"):
        run(bench, model, tmp_path / "out", seconds=1.0)
    assert not (tmp_path / "out" / "result.json").exists()


def test_one_that_the_kernel_killed_is_tried_again_with_a_smaller_batch(
    bench: Path, model: Path, tmp_path: Path
) -> None:
    pretend(bench, "'--batch-size' in options or os.kill(os.getpid(), 9)\nwrite()")
    found = run(bench, model, tmp_path / "out")
    assert isinstance(found, Measurement)
    assert [one.outcome for one in found.tries] == ["killed, probably for memory"]


FAULTS = {
    "sys.exit(75)": "the engine failed",
    "os.kill(os.getpid(), 11)": "the engine crashed with exit code 139",
    "os.kill(os.getpid(), 6)": "the engine crashed with exit code 134",
}


@pytest.mark.parametrize(("fault", "told"), FAULTS.items())
def test_an_engine_that_failed_is_started_again_with_less_memory_and_the_same_decoding(
    bench: Path, model: Path, tmp_path: Path, fault: str, told: str
) -> None:
    pretend(bench, f"float(options.get('--memory', 1)) < 0.7 or {fault}\nresult['versions'] = options\nwrite()")
    found = run(bench, model, tmp_path / "out", backend="vllm")
    assert isinstance(found, Measurement)
    assert (found.versions["--batch-size"], found.versions["--memory"]) == ("64", "0.65")
    assert found.versions["--last-try"] == told
    assert sorted(found.versions) == sorted(
        ["--bench", "--model", "--out", "--few-shot", "--backend", "--resume", "--last-try", "--batch-size", "--memory"]
    )


def test_a_fault_of_our_own_program_is_not_tried_again(bench: Path, model: Path, tmp_path: Path) -> None:
    pretend(bench, "sys.exit(1) if '--last-try' not in options else write()")
    with pytest.raises(InfrastructureError, match="exit code 1"):
        run(bench, model, tmp_path / "out")


# An evaluator that finds answers where it left them, as long as the very same is asked of it.
KEEPING = """
kept = out / "answers.jsonl"
result["versions"] = {"found": kept.read_text() if kept.is_file() else "nothing"}
kept.write_text(options["--resume"])
"""


def test_a_killed_measurement_is_taken_up_where_the_very_same_model_is_named(
    bench: Path, model: Path, tmp_path: Path
) -> None:
    pretend(bench, KEEPING + "(out / 'left').touch(); (out / 'link').symlink_to('/'); sys.exit(1)")
    with pytest.raises(InfrastructureError):
        run(bench, model, tmp_path / "out", model_digest="sha256:1")
    pretend(bench, KEEPING + "result['versions']['left'] = str(os.listdir(out)); write()")
    found = run(bench, model, tmp_path / "out", model_digest="sha256:1")
    assert isinstance(found, Measurement)
    assert found.versions == {"found": "sha256:1", "left": "['answers.jsonl']"}
    assert found.model == "sha256:1"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cell.log", "questions.jsonl", "result.json"]


def test_a_model_without_a_digest_takes_up_nothing(bench: Path, model: Path, tmp_path: Path) -> None:
    pretend(bench, KEEPING + "sys.exit(1)")
    with pytest.raises(InfrastructureError):
        run(bench, model, tmp_path / "out")
    pretend(bench, KEEPING + "write()")
    found = run(bench, model, tmp_path / "out")
    assert isinstance(found, Measurement)
    assert found.versions == {"found": "nothing"}


def test_answers_that_became_a_link_are_not_followed(bench: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "answers.jsonl").write_text("kept")
    (tmp_path / "out" / "job").symlink_to(tmp_path / "elsewhere")
    pretend(bench, KEEPING + "write()")
    found = run(bench, model, tmp_path / "out", model_digest="sha256:1")
    assert isinstance(found, Measurement)
    assert found.versions == {"found": "nothing"}
    assert (tmp_path / "elsewhere" / "answers.jsonl").read_text() == "kept"


@pytest.mark.parametrize(
    ("again", "same"),
    [({}, True), ({"model_digest": "sha256:2"}, False), ({"few_shot": 2}, False), ({"model_digest": ""}, False)],
)
def test_a_whole_measurement_of_the_very_same_is_not_taken_again(
    bench: Path, model: Path, tmp_path: Path, again: dict[str, Any], same: bool
) -> None:
    pretend(bench, "result['versions'] = {'at': str(__import__('time').time_ns())}\nwrite()")
    options = {"model_digest": "sha256:1"}
    first = run(bench, model, tmp_path / "out", **options)
    assert (run(bench, model, tmp_path / "out", **options | again) == first) is same


def test_a_measurement_whose_questions_were_changed_is_taken_again(bench: Path, model: Path, tmp_path: Path) -> None:
    pretend(bench, "result['versions'] = {'at': str(__import__('time').time_ns())}\nwrite()")
    first = run(bench, model, tmp_path / "out", model_digest="sha256:1")
    (tmp_path / "out" / "questions.jsonl").write_text("{}")
    assert run(bench, model, tmp_path / "out", model_digest="sha256:1") != first


def test_one_that_is_killed_every_time_is_our_fault(bench: Path, model: Path, tmp_path: Path) -> None:
    pretend(bench, "os.kill(os.getpid(), 9)")
    with pytest.raises(InfrastructureError, match="exit code"):
        run(bench, model, tmp_path / "out")


def test_what_an_earlier_measurement_left_is_gone(bench: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "job").mkdir(parents=True)
    for name in ("result.json", "questions.jsonl", "job/result.json", "job/questions.jsonl"):
        (tmp_path / "out" / name).write_text("old")
    pretend(bench, "")
    with pytest.raises(InfrastructureError):
        run(bench, model, tmp_path / "out")
    assert not any((tmp_path / "out" / name).exists() for name in ("result.json", "questions.jsonl", "job/result.json"))


def test_outcomes_are_those_of_the_questions(bench: Path, model: Path, tmp_path: Path) -> None:
    pretend(bench, "rows[0] |= {'score': 0.0, 'samples': [0.0]}; result['score'] = 23 / 24; write()")
    found = run(bench, model, tmp_path / "out")
    outcomes = measure.outcomes(tmp_path / "out")
    assert isinstance(found, Measurement)
    assert (len(outcomes), sum(outcomes.values()) / 24) == (24, found.score)


def test_outcomes_that_were_changed_afterwards_are_a_digest_error(bench: Path, model: Path, tmp_path: Path) -> None:
    pretend(bench, "write()")
    run(bench, model, tmp_path / "out")
    path = tmp_path / "out" / "questions.jsonl"
    path.write_text(path.read_text().replace("1.0", "0.0"))
    with pytest.raises(DigestError, match="not the file"):
        measure.outcomes(tmp_path / "out")


def test_a_killed_ptb_leaves_no_result(bench: Path, model: Path, tmp_path: Path) -> None:
    pretend(bench, "(out / 'begun').touch(); __import__('time').sleep(600)")
    script = (
        "import sys; from pathlib import Path; from posttrainbench.evaluation import measure\n"
        "from posttrainbench.sandbox.local import Local; bench, model, out = map(Path, sys.argv[1:])\n"
        "measure.measure(Local(), bench=bench, model=model, out=out)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(bench), str(model), str(tmp_path / "out")])
    until = time.monotonic() + 60
    while not (tmp_path / "out" / "job" / "begun").exists() and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert (tmp_path / "out" / "job" / "begun").exists()
    assert not (tmp_path / "out" / "result.json").exists()


@pytest.mark.slow
def test_the_real_evaluator_scores_a_real_model_in_the_sandbox(bench: Path, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    build_model.random_model(tmp_path / "random", 0)
    found = run(bench, tmp_path / "random", tmp_path / "out", few_shot=2)
    assert isinstance(found, Measurement)
    assert (found.n, found.few_shot, found.chat_template, found.device) == (24, 2, False, "cpu")
    assert "scored 24/24" in measure.log(tmp_path / "out").read_text()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cell.log", "questions.jsonl", "result.json"]
    lines = [json.loads(line) for line in (tmp_path / "out" / "questions.jsonl").open()]
    assert found.score == sum(line["score"] for line in lines) / 24
