"""What the agent is told: the task, its time, its tools, and the rules."""

from pathlib import Path

from posttrainbench.plan import Plan
from posttrainbench.strict import write_bytes

TEMPLATE = """\
# Post-train a language model

Improve the base model **{model}** on the benchmark **{title}** as much as you can. You decide how: data, method,
settings. What you leave in `final_model/` is scored when your time is over.

## The benchmark

{description}

The final score is the mean `{metric}` over {scored}. Answers are generated with at most
{max_tokens} new tokens at {temperature}{samples}; prompts hold {shots}. {own}

## What you have

- **Time**: {hours} of wall-clock time, all in all. `python timer.py` prints what is left. At the end all your
  processes are killed, so save early and often, and keep something valid in `final_model/` at every moment.
- **Machine**: {machine}, {network}.
- **Disk**: {disk}
{budget}- `$PTB_MODEL`: the base model's folder. Read only.
- `$PTB_BENCH`: the benchmark's folder, read only: `questions.jsonl` ({shown} questions with their answers),
  `shots.jsonl` (worked examples), {train}the scorer, and `cell.py`, which does the scoring.
- `python evaluate.py`: scores `final_model/` (or `--model-path DIR`) on the {shown} questions, through the very
  code that gives the final score. `--limit N` makes it faster; `--help` says the rest. Use it as often as you like.
- Your working folder is `$PTB_WORKSPACE`, where this text lies as `prompt.md`. Temporary files belong in `$TMPDIR`.

## What to leave

`final_model/` in your working folder, complete and loadable by itself with `transformers`:

- `config.json` with the same architecture as the base model;
- the weights as `.safetensors` files, merged: no adapters, no pickles;
- the tokenizer's files;
- no code of its own (no `auto_map`, no Python files), no links out of the folder, at most {gigabytes:g} GB.

If it is missing or cannot be loaded, the run counts as a failure.

## Rules

1. {rule}
2. Train from the given base model only. Weights of other models must not go into `final_model/`, in whole or in part.
3. Do not change `evaluate.py`, `timer.py`, this prompt, or anything in `$PTB_BENCH`, and do not try to influence how
   the score is taken.
4. Nobody answers questions. Work until you are satisfied or the time is over, and do not leave processes running when
   you finish: they are killed.

Breaking rule 1 or 2 disqualifies the run; what breaks rule 3 is reported beside the score.
"""

SCORED = {"dev": "questions that you do not have", "test": "the very questions in `questions.jsonl`"}
SHOWN = {"dev": "development", "test": "test"}
RULES = {
    "dev": """\
Do not look for, train on, or reconstruct the test questions. Data that you bring or make must not contain them.
   The development questions are there to measure yourself; training on them tells you nothing about the score.""",
    "test": """\
Do not train on the test questions or their answers, nor on data made from them. They are there to measure
   yourself. Data that you bring or make must not contain them.""",
}
"""What differs where the agent is shown the questions of the score themselves."""

TEMPERATURES = {"task": "temperature {:g}", "checkpoint": "temperature 1 unless the checkpoint says otherwise"}
OWN = {
    "task": """A
`generation_config.json` or a chat template of your own has no effect on the score.""",
    "checkpoint": """Of a
`generation_config.json` in `final_model/` the keys `temperature` (0: the likeliest token), `top_p`, `top_k`, `min_p`,
`repetition_penalty`, `max_new_tokens` and `eos_token_id` hold. A chat template of your own has no effect.""",
}
"""What differs where the checkpoint's own settings hold."""

DISK = """your working folder, `$HOME` and `$TMPDIR` may take {:g} GB together. Beyond that your session ends at
  once, as if your time were over."""


CONTINUE = """\
You have ended, but there is time left: `python timer.py` says how much. Nobody else will go on with this. Look at what
you have, measure it with `python evaluate.py`, and use the time to make `final_model/` better. All rules of `prompt.md`
still hold. If you are sure that nothing more can be gained, say so and end.
"""
"""What an agent is told whose session is continued; `continue.md`."""


def render(plan: Plan, bench: Path) -> str:
    """The prompt's text for a plan whose bench lies in `bench`."""
    protocol, decoding = plan.protocol, plan.task.decoding
    gpus = plan.cards
    networks = {
        "none": "no network",
        "closed": "no network",
        "curated": "no network but mirrors of the Hugging Face hub and of the Python and npm package indexes, which "
        "are set up in your environment; some repositories are refused, and what is fetched is recorded",
        "open": "a network through the proxy that is set up in your environment; what is fetched is recorded",
    }
    return TEMPLATE.format(
        model=plan.model.title or plan.model.name,
        title=plan.task.title or plan.task.name,
        description=plan.task.description.strip(),
        metric=plan.task.metric,
        scored=SCORED[protocol.visible_split],
        shown=SHOWN[protocol.visible_split],
        rule=RULES[protocol.visible_split],
        max_tokens=decoding.max_tokens,
        temperature=TEMPERATURES[protocol.decoding].format(decoding.temperature),
        own=OWN[protocol.decoding],
        shots=f"{plan.shots} worked examples" if plan.shots else "no worked examples",
        samples=f", {decoding.samples} times a question" if decoding.samples > 1 else "",
        hours=duration(plan.hours),
        machine="no GPU, processors only" if gpus == 0 else "one GPU" if gpus == 1 else f"{gpus} GPUs",
        network=networks[protocol.network],
        budget=budget(plan),
        disk=DISK.format(protocol.max_disk_gb) if protocol.max_disk_gb else "as much as there is.",
        train="`train.jsonl` (training data), " if (bench / "train.jsonl").is_file() else "",
        gigabytes=protocol.max_checkpoint_gb,
    )


def budget(plan: Plan) -> str:
    """The line about what its model may cost; empty without a limit."""
    limits = [f"{plan.max_usd:g} US dollars"] if plan.max_usd is not None else []
    limits += [f"{plan.max_tokens:,} tokens"] if plan.max_tokens is not None else []
    if not limits:
        return ""
    return f"- **Budget**: your own model calls may use {' and '.join(limits)} in all; then they are refused.\n"


def write(plan: Plan, bench: Path, path: Path) -> None:
    """Write the prompt to `path`."""
    write_bytes(path, render(plan, bench).encode())


def duration(hours: float) -> str:
    """`10 hours`, `1.5 hours`, `2.7 minutes`."""
    number, unit = (hours, "hour") if hours >= 1 else (hours * 60, "minute")
    text = f"{number:.3g}"
    return f"{text} {unit}" if text == "1" else f"{text} {unit}s"
