"""Scoring with lm-eval, each time in a fresh process: what was measured, or why the checkpoint could not be."""

from posttrainbench.catalog import Decoding
from posttrainbench.strict import Value


class Try(Value, frozen=True, kw_only=True):
    """One attempt at generating; only the batch size differs between attempts."""

    batch_size: int
    outcome: str


class Measurement(Value, frozen=True, kw_only=True, tag="measurement", tag_field="kind"):
    """What one model scored on one split."""

    task: str
    version: int
    split: str
    metric: str
    few_shot: int
    n: int
    """How many questions."""
    score: float
    """Mean over the questions, from 0 to 1."""
    questions: str
    """Digest of questions.jsonl, which holds each question's outcome."""
    bench: str
    """Digest of the bench's folder: questions, scorer, decoding, evaluator."""
    decoding: Decoding
    chat_template: bool
    backend: str
    device: str
    dtype: str
    batch_size: int
    tries: list[Try]
    versions: dict[str, str]
    seconds: float
    """Wall time of the evaluator's process, its start and end included."""


class CheckpointUnusable(Value, frozen=True, kw_only=True, tag="unusable", tag_field="kind"):
    """The checkpoint could not be loaded, or cannot generate: its author's fault, and a result."""

    reason: str


class Question(Value, frozen=True, kw_only=True):
    """A line of questions.jsonl."""

    id: str
    score: float
    """Mean over the samples, from 0 to 1."""
    samples: list[float]
    responses: list[str]
    prompt_digest: str
