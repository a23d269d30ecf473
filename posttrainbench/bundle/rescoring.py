"""Scores the weights behind a sealed run again, and compares each question's outcome with the sealed one.

It runs a stranger's weights: safetensors of the very files that the record names, in the sandbox `local`, with no code
but ours. Other hardware or other versions may turn an answer at random, so what differs is counted and not explained.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from posttrainbench import catalog, statistics
from posttrainbench.board import outcomes
from posttrainbench.bundle.verifying import check_weights
from posttrainbench.catalog import Catalog
from posttrainbench.errors import DigestError, MissingError, UsageError
from posttrainbench.evaluation import CheckpointUnusable, Measurement, bench, measure
from posttrainbench.inputs import data, families
from posttrainbench.record import Record
from posttrainbench.sandbox import kinds
from posttrainbench.statistics import Estimate
from posttrainbench.strict import Value

SHOWN = 5


class Rescored(Value, frozen=True, kw_only=True):
    """What scoring again found."""

    n: int
    """Questions."""
    sealed: float
    again: float
    """Scores."""
    change: Estimate
    """Again − sealed, paired by question."""
    differing: list[str]
    """Ids of the questions whose outcome is another one."""
    same_bench: bool
    """Whether questions, scorer and evaluator are the very files that the sealed score was measured with."""

    @property
    def told(self) -> str:
        """In a sentence or three."""
        words = f"Scored again: {self.again:.1%}, sealed {self.sealed:.1%}; "
        words += f"{self.n - len(self.differing)} of {self.n} outcomes are as sealed."
        if self.differing:
            some = ", ".join(ascii(one)[1:-1][:60] for one in self.differing[:SHOWN])
            words += f" Others: {some}{', …' if len(self.differing) > SHOWN else ''}."
            by_chance = self.change.low <= 0 <= self.change.high
            words += " The scores differ by no more than chance." if by_chance else " That is no chance."
        return words if self.same_bench else words + " The bench is not the one that was used then."


def rescore(
    sealed: Record,
    folder: Path,
    weights: Path,
    known: Catalog,
    *,
    data_folder: Path | None,
    cache: Path,
    say: Callable[[str], None] = lambda words: None,
) -> Rescored:
    """Score the folder `weights` on the run's test questions; what was sealed lies in `folder`.

    Raises DigestError where the weights are not those of the record or cannot be used, UsageError where nothing was
    scored then."""
    if not isinstance(sealed.final, Measurement):
        raise UsageError(f"The run ended as {sealed.outcome}; there is no score to compare with.")
    if wrong := check_weights(sealed, weights):
        raise DigestError(f"{weights} does not hold the checkpoint of {sealed.run}: {' '.join(wrong)}")
    then = outcomes.load(sealed, folder)
    if then is None:
        raise UsageError(
            f"The questions' outcomes of {sealed.run} are not at hand, so there is nothing to compare with."
        )
    plan = sealed.plan
    task = catalog.find(known.tasks(), plan.task.name, "task")
    template = families.chat_template(weights) if plan.protocol.chat_template == "family" else None
    if plan.protocol.chat_template == "family" and template is None:
        raise MissingError(f"No chat template is declared for the architecture of {weights}.")
    splits = data.fetch(task.value, task.path, data_folder, cache, say)
    with tempfile.TemporaryDirectory(prefix="ptb-rescore-") as place:
        bench.lay(
            plan.task,
            task.path,
            splits,
            Path(place) / "sealed",
            split="test",
            limit=plan.limit,
            chat_template=template,
            library=data.library(task.value, cache, say),
            shots=plan.shots,
            decoding_from=plan.protocol.decoding,
        )
        found = measure.measure(
            kinds.open_sandbox("local"),
            bench=Path(place) / "sealed",
            model=weights.resolve(),
            out=Path(place) / "final",
            few_shot=plan.shots,
        )
        if isinstance(found, CheckpointUnusable):
            raise DigestError(f"The weights were scored then and cannot be now: {found.reason}")
        return _compared(then.final, measure.outcomes(Path(place) / "final"), found.bench == sealed.final.bench)


def _compared(then: Mapping[str, float], now: Mapping[str, float], same_bench: bool) -> Rescored:
    if then.keys() != now.keys():
        raise DigestError("The questions that this ptb asks are not those that the sealed score was measured on.")
    names = sorted(now)
    change = statistics.paired_gain([then[one] for one in names], [now[one] for one in names])
    return Rescored(
        n=len(names),
        sealed=sum(then.values()) / len(names),
        again=sum(now.values()) / len(names),
        change=change,
        differing=[one for one in names if then[one] != now[one]],
        same_bench=same_bench,
    )
