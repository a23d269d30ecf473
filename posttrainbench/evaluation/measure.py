"""Runs cell.py in a sandbox and reads what it wrote as hostile: a tokenizer and weights of an agent were loaded there.

Below the folder `out`: result.json (a Measured), questions.jsonl (a Question a line) and cell.log. The first two are
written only after everything was checked, so an interrupted measurement leaves no result. What it leaves is
answers.jsonl in the evaluator's folder, which the next one goes on from.
"""

import hashlib
import secrets
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from posttrainbench.catalog import Decoding
from posttrainbench.errors import ConfigError, DigestError, InfrastructureError
from posttrainbench.evaluation import CheckpointUnusable, Generation, Measurement, Question, Try, cell_decoding
from posttrainbench.evaluation.bench import Bench
from posttrainbench.evaluation.cell_answers import INTERRUPTED
from posttrainbench.sandbox import JobResult, JobSpec, Mounts, Sandbox, absolute
from posttrainbench.strict import (
    digest_bytes,
    digest_file,
    digest_folder,
    disk,
    read_json,
    read_regular,
    write_json,
    write_lines,
)

Measured = Measurement | CheckpointUnusable

UNUSABLE, HOST = 65, 75
KILLED = (-9, 137)
"""Exit codes of a process that the kernel ended, as it does when memory is used up."""
SIZES: dict[str, list[list[str]]] = {
    "hf": [[], ["--batch-size", "8"], ["--batch-size", "1"]],
    "vllm": [
        [],
        ["--batch-size", "128", "--memory", "0.8"],
        ["--batch-size", "64", "--memory", "0.65"],
        ["--batch-size", "32", "--memory", "0.5"],
    ],
}
"""What the attempts differ in after a fault of the host: questions at a time, share of the GPU's memory."""
ANSWERS = "answers.jsonl"
MAX_ANSWERS_BYTES = 2**32
MAX_RESULT_BYTES = 2**20
MAX_RESPONSE = 20_000
MAX_LINE_BYTES = 12 * MAX_RESPONSE + 4096
"""A line with one answer; JSON takes up to twelve bytes for a character."""
SECONDS = 12 * 3600.0

T = TypeVar("T")


class Written(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What cell.py leaves in result.json."""

    task: str
    version: int
    split: str
    metric: str
    decoding: Decoding
    generation: Generation | None = None
    chat_template: bool
    few_shot: int
    n: int
    score: float
    backend: str
    device: str
    dtype: str
    batch_size: int
    tries: list[Try]
    versions: dict[str, str]
    seconds: float
    questions_digest: str


def measure(
    sandbox: Sandbox,
    *,
    bench: Path,
    model: Path,
    out: Path,
    model_digest: str = "",
    few_shot: int = 0,
    backend: str = "hf",
    gpus: int = 0,
    seconds: float = SECONDS,
    job: Path | None = None,
) -> Measured:
    """Score the model on the bench and leave the outcome in `out`.

    `model_digest` is that of the model's files. With it, what an earlier call for the very same left is taken: its
    answers if it was killed, its measurement if it was not. `job` is the evaluator's own folder, where answers are kept
    until all are there: `job` in `out` unless it is named. Raises InfrastructureError when the evaluator itself failed;
    a checkpoint that cannot be used is a result.
    """
    job = job or out / "job"
    known = _finished(out, bench, model_digest, few_shot, backend) if model_digest else None
    if known:
        return known
    with disk(f"make the folder {out.name} for a measurement"):
        _clear(out, ["job"] if model_digest else [])
    options = ["--few-shot", str(few_shot), "--backend", backend]
    options += ["--resume", model_digest or secrets.token_hex(16)]
    spent, left = 0.0, list(SIZES[backend])
    while True:
        sizes = left.pop(0)
        with disk("make the evaluator's folder"):
            _clear(job, [ANSWERS])
        ended = sandbox.run(_job(sandbox, bench, model, job, log(out), [*options, *sizes], gpus, seconds))
        spent += ended.seconds
        how = _fault_of_host(ended)
        if not how or ended.timed_out or not left:
            break
        options = [*options[:6], "--last-try", how]
    found = _outcome(ended, bench, model, out, job, few_shot, backend, model_digest, spent)
    write_json(out / "result.json", found)
    with disk("remove the evaluator's folder"):
        shutil.rmtree(job)
    return found


def read(out: Path) -> Measurement:
    """The measurement that lies in `out`; raises DigestError when there is none."""
    return read_json(out / "result.json", Measurement)


def outcomes(out: Path) -> dict[str, float]:
    """Score of each question by its id; raises DigestError when the file is not the measurement's."""
    return {question.id: question.score for question in questions(out)}


def questions(out: Path) -> list[Question]:
    """Each question's outcome; raises DigestError when the file is not the measurement's."""
    measurement, path = read(out), out / "questions.jsonl"
    if not path.is_file() or digest_file(path) != measurement.questions:
        raise DigestError(f"{path} is not the file that the measurement beside it was taken from.")
    return msgspec.json.Decoder(Question).decode_lines(path.read_bytes())


def log(out: Path) -> Path:
    """Where the evaluator's output goes."""
    return out / "cell.log"


def subset(ids: Sequence[str], limit: int | None, seed: int) -> list[str]:
    """The ids that a limit leaves, in the order in which cell.py takes them."""
    return sorted(ids, key=lambda one: hashlib.sha256(f"{seed}:{one}".encode()).hexdigest())[:limit]


def _finished(out: Path, bench: Path, model_digest: str, few_shot: int, backend: str) -> Measurement | None:
    """The measurement that an earlier call for the same left, if it is whole."""
    try:
        found = read(out)
        outcomes(out)
    except DigestError:
        return None
    asked = (model_digest, digest_folder(bench), few_shot, backend)
    return found if (found.model, found.bench, found.few_shot, found.backend) == asked else None


def _clear(folder: Path, keep: Sequence[str]) -> None:
    """Make the folder with nothing in it but `keep`: a folder, or a regular file of bounded size. What ran in the
    sandbox may have left anything, a link instead of the folder too."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        folder.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        told = path.lstat()
        if stat.S_ISDIR(told.st_mode):
            if path.name not in keep or path.name == ANSWERS:
                shutil.rmtree(path)
        elif path.name not in keep or not stat.S_ISREG(told.st_mode) or told.st_size > MAX_ANSWERS_BYTES:
            path.unlink()


def _fault_of_host(ended: JobResult) -> str:
    """What befell an evaluator that did not end in order, where less memory may help; else nothing."""
    if ended.exit_code in KILLED:
        return "killed, probably for memory"
    if ended.exit_code == HOST:
        return "the engine failed"
    if ended.exit_code < 0 or ended.exit_code > 128:
        return f"the engine crashed with exit code {ended.exit_code}"
    return ""


def _job(
    sandbox: Sandbox,
    bench: Path,
    model: Path,
    folder: Path,
    output: Path,
    options: list[str],
    gpus: int,
    seconds: float,
) -> JobSpec:
    job = absolute(folder)
    command = [sandbox.python(), absolute(bench / "cell.py"), "--bench", absolute(bench)]
    return JobSpec(
        command=[*command, "--model", absolute(model), "--out", job, *options],
        cwd=job,
        env={
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": f"{job}/.hf",
            "HF_DATASETS_CACHE": f"{job}/.hf/datasets",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        },
        mounts=Mounts(read=[absolute(bench), absolute(model)], write=[job]),
        log=str(output),
        seconds=seconds,
        gpus=gpus,
    )


def _outcome(
    ended: JobResult,
    bench: Path,
    model: Path,
    out: Path,
    job: Path,
    few_shot: int,
    backend: str,
    model_digest: str,
    spent: float,
) -> Measured:
    if ended.timed_out:
        raise _broken(out, ended, f"The evaluator was not done after {ended.seconds:.0f} s")
    if ended.exit_code == UNUSABLE:
        lines = [line for line in ended.tail.splitlines() if line.startswith("checkpoint: ")]
        reason = lines[-1].removeprefix("checkpoint: ")[:1000] if lines else "it gave no reason"
        return CheckpointUnusable(reason=f"The checkpoint cannot be used: {reason}.".replace("..", "."))
    if ended.exit_code:
        raise _broken(out, ended, f"The evaluator failed with exit code {ended.exit_code}")
    try:
        declared = read_json(bench / "bench.json", Bench)
        written = _decode(read_regular(job / "result.json", MAX_RESULT_BYTES), Written)
        ids = _ids(bench / "questions.jsonl", declared)
        questions = _questions(job / "questions.jsonl", written, declared, ids)
        _check(written, declared, few_shot, backend, questions, _generation(declared, model))
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(out, ended, f"What the evaluator wrote cannot be trusted: {error}") from error
    write_lines(out / "questions.jsonl", questions)
    return Measurement(
        **{name: getattr(written, name) for name in COPIED},
        n=len(questions),
        score=sum(question.score for question in questions) / len(questions),
        questions=digest_file(out / "questions.jsonl"),
        bench=digest_folder(bench),
        model=model_digest,
        seconds=round(spent + sum(one.seconds for one in written.tries if one.outcome == INTERRUPTED), 3),
    )


COPIED = (
    *("task", "version", "split", "metric", "few_shot", "decoding", "generation", "chat_template"),
    *("backend", "device", "dtype", "batch_size", "tries", "versions"),
)


def _decode(content: bytes, kind: type[T]) -> T:
    return msgspec.json.decode(content, type=kind)


def _ids(path: Path, declared: Bench) -> list[str]:
    rows: list[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any]).decode_lines(path.read_bytes())
    ids = [row["id"] for row in rows]
    if not ids:
        raise ConfigError(f"{path} holds no question.")
    return subset(ids, declared.limit, declared.seed)


def _questions(path: Path, written: Written, declared: Bench, ids: list[str]) -> list[Question]:
    """The questions' outcomes, each with its mean computed anew."""
    samples = declared.decoding.samples
    content = read_regular(path, len(ids) * (samples * MAX_LINE_BYTES + 4096))
    if digest_bytes(content) != written.questions_digest:
        raise ValueError("questions.jsonl is not the file that result.json names")
    questions = [_decode(line, Question) for line in content.split(b"\n") if line]
    if [question.id for question in questions] != ids:
        raise ValueError("the questions answered are not those that were asked")
    checked = []
    for question in questions:
        if not len(question.samples) == len(question.responses) == samples:
            raise ValueError(f"{question.id} has {len(question.samples)} answers instead of {samples}")
        if not all(0.0 <= one <= 1.0 for one in question.samples):
            raise ValueError(f"{question.id} has a score outside of 0 to 1")
        if any(len(text) > MAX_RESPONSE for text in question.responses):
            raise ValueError(f"{question.id} has an answer longer than {MAX_RESPONSE} characters")
        mean = sum(question.samples) / samples
        if not abs(question.score - mean) < 1e-9:
            raise ValueError(f"{question.id} has a score that is not the mean of its answers")
        checked.append(msgspec.structs.replace(question, score=mean))
    return checked


def _generation(declared: Bench, model: Path) -> Generation | None:
    """What the checkpoint's own settings make of the decoding, where they are asked."""
    if declared.decoding_from == "task":
        return None
    return Generation(**cell_decoding.generation(model, declared.decoding.max_tokens))


def _check(
    written: Written,
    declared: Bench,
    few_shot: int,
    backend: str,
    questions: list[Question],
    generation: Generation | None,
) -> None:
    """What result.json says must be what was asked for, and follow from the questions."""
    for name in ("task", "version", "split", "metric", "decoding", "chat_template"):
        if getattr(written, name) != getattr(declared, name):
            raise ValueError(f"{name} is {getattr(written, name)!r} instead of {getattr(declared, name)!r}")
    if written.generation != generation:
        raise ValueError(f"it says that {written.generation} was made of the checkpoint's settings, not {generation}")
    mean = sum(question.score for question in questions) / len(questions)
    if (written.few_shot, written.backend, written.n) != (few_shot, backend, len(questions)):
        raise ValueError("few_shot, backend or n is not what was asked for")
    if not abs(written.score - mean) < 1e-9:
        raise ValueError(f"the score is {written.score}, the mean over the questions {mean}")
    told = [written.seconds, *(one.seconds for one in written.tries)]
    if not all(0.0 <= one < 1e9 for one in told) or written.batch_size < 1 or len(written.tries) > 1000:
        raise ValueError("seconds, batch_size or tries make no sense")


def _broken(out: Path, ended: JobResult, what: str) -> InfrastructureError:
    tail = " | ".join(ended.tail.strip().splitlines()[-8:])[-1500:]
    return InfrastructureError(f"{what}. Its log, {log(out)}, ends with: {tail or 'nothing'}. Run it again.")
