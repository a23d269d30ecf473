"""A record for a person at a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from posttrainbench.board import spending
from posttrainbench.folder import RunFolder
from posttrainbench.record import Record
from posttrainbench.scores import Estimate
from posttrainbench.strict import to_json


def show(record: Record, folder: RunFolder, *, as_json: bool) -> int:
    """Print a record; 0, or 6 where our side broke."""
    if as_json:
        print(to_json(record).decode(), end="")
    else:
        Console(highlight=False).print(table(record))
        for line in notes(record, folder):
            Console(highlight=False, soft_wrap=True).print(Text(line))
    return 6 if record.outcome == "infrastructure" else 0


def percent(estimate: Estimate | None, *, sign: bool = False) -> str:
    """`30.0 % [19.2, 43.3]`, or a dash."""
    if estimate is None:
        return "–"
    plus = "+" if sign else ""
    return f"{100 * estimate.value:{plus}.1f} % [{100 * estimate.low:{plus}.1f}, {100 * estimate.high:{plus}.1f}]"


def table(record: Record) -> Table:
    """Scores, as a table."""
    plan, scores = record.plan, record.scores
    made = Table(
        title=f"{'baselines' if plan.baseline else plan.agent.label} on {plan.cell}",
        title_justify="left",
        show_header=False,
        box=None,
    )
    made.add_row("outcome", record.outcome, record.reason if record.outcome != "scored" else "")
    if scores:
        questions = f"{scores.n} test questions, {scores.metric}"
        made.add_row("base", percent(scores.base), questions)
        if scores.few_shot:
            made.add_row("base, few-shot", percent(scores.few_shot), f"{plan.few_shot} worked examples in the prompt")
        if scores.human:
            made.add_row("instruct", percent(scores.human), "the model maker's own, the human baseline")
        if plan.baseline:
            return made
        made.add_row("score", percent(scores.final), "what the agent left in final_model/")
        made.add_row("gain", percent(scores.gain, sign=True), "score − base, 95 % interval, paired by question")
        if scores.gain_over_few_shot:
            made.add_row("over few-shot", percent(scores.gain_over_few_shot, sign=True), "score − few-shot base")
        made.add_row("uplift", "–" if scores.uplift is None else f"{scores.uplift:.2f}", scores.uplift_note)
    if record.usage and plan.agent.api:
        made.add_row("model use", plan.agent.api.model, spending.sentence(record.usage))
    made.add_row("verdict", record.audit.verdict if record.audit else "unchecked", _unchecked(record))
    return made


def _unchecked(record: Record) -> str:
    names = (
        [finding.check for finding in record.audit.findings if finding.status == "unchecked"] if record.audit else []
    )
    return f"not checked: {', '.join(names)}" if names else ""


def notes(record: Record, folder: RunFolder) -> list[str]:
    """Sentences that belong under the numbers."""
    lines = []
    if record.scores and record.scores.few_shot and record.scores.few_shot.value > record.scores.base.value:
        lines.append(
            "Much of a gain like this is format: the untouched base model scores "
            f"{100 * record.scores.few_shot.value:.1f} % when it only sees worked examples."
        )
    if record.plan.retry_of:
        lines.append(f"A retry of {record.plan.retry_of}, which broke by no fault of the agent.")
    if not record.plan.protocol.scored:
        lines.append(f"Protocol {record.plan.protocol.name} is for trying things out; no board ranks it.")
    lines += [f"incident: {one.kind}: {one.detail}" for one in record.incidents]
    lines += [f"record    {folder.record}", f"report    {folder.report}"]
    return lines
