"""Scoring with lm-eval, each time in a fresh process: what was measured, or why the checkpoint could not be."""

from posttrainbench.catalog import Decoding
from posttrainbench.strict import Value


class Try(Value, frozen=True, kw_only=True):
    """One attempt at generating. Attempts differ in these two sizes alone, and an answer that one gave is kept."""

    batch_size: int
    """Questions at a time."""
    memory: float | None = None
    """Share of the GPU's memory, where the engine takes one."""
    outcome: str
    """`done`, or why there was another."""
    answered: int = 0
    """How many answers it gave."""
    seconds: float = 0.0
    """Until its last answer or its end."""


class Generation(Value, frozen=True, kw_only=True):
    """What the checkpoint's generation_config.json made of the decoding; cell_decoding.py says how it is read."""

    temperature: float
    top_p: float
    top_k: int
    """0: no limit."""
    min_p: float
    repetition_penalty: float
    max_tokens: int
    ends: list[int]
    """Tokens that ended an answer besides those that always do."""
    refused: list[str]
    """Keys whose values were not taken."""


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
    """The task's, as the protocol bounds it."""
    generation: Generation | None = None
    """What of that the checkpoint's own settings changed, under a protocol that lets them; else None."""
    chat_template: bool
    backend: str
    device: str
    dtype: str
    batch_size: int
    tries: list[Try]
    versions: dict[str, str]
    seconds: float
    """Wall time of the evaluator's processes, their start and end included; of one that was killed with ptb, the time
    until its last answer."""
    model: str = ""
    """Digest of the model's files; empty where a caller did not name it."""


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
