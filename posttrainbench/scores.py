"""The numbers of a run: three measurements on one set of questions, and what lies between them."""

from collections.abc import Mapping

from posttrainbench import statistics
from posttrainbench.errors import InfrastructureError
from posttrainbench.statistics import Estimate
from posttrainbench.strict import Value

__all__ = ["Estimate", "Scores", "score"]

Outcomes = Mapping[str, float]
"""Score of each question, from 0 to 1, by its id."""


class Scores(Value, frozen=True, kw_only=True):
    """What the measurements say, each with its interval."""

    metric: str
    n: int
    """Questions, the same ones in every measurement."""
    base: Estimate
    few_shot: Estimate | None
    """The untouched base model with worked examples in its prompt."""
    final: Estimate | None
    human: Estimate | None
    """The model maker's own instruct model."""
    gain: Estimate | None
    """final − base, paired by question."""
    gain_over_few_shot: Estimate | None
    """final − few_shot, paired by question: what is left of the gain when the base model is shown the format."""
    uplift: float | None
    """(final − base) / (human − base); None where there is no human baseline."""
    uplift_note: str


def score(
    *,
    metric: str,
    base: Outcomes,
    few_shot: Outcomes | None = None,
    final: Outcomes | None = None,
    human: Outcomes | None = None,
    seed: int = 0,
) -> Scores:
    """Scores from each measurement's outcomes; raises InfrastructureError unless all are of the same questions."""
    order = sorted(base)
    if not order:
        raise InfrastructureError("The base model's measurement has no questions, so there is no score. Run it again.")
    for name, outcomes in (("few-shot", few_shot), ("final", final), ("human", human)):
        if outcomes is not None:
            _check_same(order, name, outcomes)
    rows = {
        name: None if outcomes is None else _row(name, outcomes, order)
        for name, outcomes in (("base", base), ("few-shot", few_shot), ("final", final), ("human", human))
    }
    first, last = rows["base"] or [], rows["final"]
    estimates = {name: None if row is None else statistics.mean(row, seed) for name, row in rows.items()}
    uplift, note = _uplift(estimates["base"], estimates["final"], estimates["human"])
    return Scores(
        metric=metric,
        n=len(order),
        base=statistics.mean(first, seed),
        few_shot=estimates["few-shot"],
        final=estimates["final"],
        human=estimates["human"],
        gain=None if last is None else statistics.paired_gain(first, last, seed),
        gain_over_few_shot=_gain(rows["few-shot"], last, seed),
        uplift=uplift,
        uplift_note=note,
    )


def _gain(before: list[float] | None, after: list[float] | None, seed: int) -> Estimate | None:
    return None if before is None or after is None else statistics.paired_gain(before, after, seed)


def _uplift(base: Estimate | None, final: Estimate | None, human: Estimate | None) -> tuple[float | None, str]:
    if base is None or final is None:
        return None, "No uplift: no checkpoint was scored."
    if human is None:
        return (
            None,
            "No uplift: the instruct model, which stands for the human baseline, was not measured (`ptb baseline`).",
        )
    if human.value <= base.value:
        return None, "No uplift: the instruct model does not score above the base model here, so it gives no scale."
    return (final.value - base.value) / (human.value - base.value), "Share of the way from base to instruct model."


def _check_same(order: list[str], name: str, outcomes: Outcomes) -> None:
    if sorted(outcomes) == order:
        return
    missing, extra = sorted(set(order) - set(outcomes)), sorted(set(outcomes) - set(order))
    example = ascii((missing or extra)[0])[:80]
    raise InfrastructureError(
        f"The {name} measurement is not of the base measurement's {len(order)} questions: {len(missing)} are missing "
        f"and {len(extra)} are new, {example} for one. Scores of different questions are not compared; run it again."
    )


def _row(name: str, outcomes: Outcomes, order: list[str]) -> list[float]:
    row = [float(outcomes[question]) for question in order]
    wrong = next((question for question, value in zip(order, row, strict=True) if not 0 <= value <= 1), None)
    if wrong is not None:
        raise InfrastructureError(
            f"The {name} measurement scores question {ascii(wrong)[:80]} with {outcomes[wrong]}; a number from 0 to 1 "
            "was expected. The task's scorer is at fault; correct it and run it again."
        )
    return row
