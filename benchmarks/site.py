"""How long the leaderboard's site takes to build: `python benchmarks/site.py [--records 1000 3000 10000]`.

Records are made from a real run's, given with `--like FOLDER`, else from a made-up one: other agents, models, tasks,
seeds, scores and outcomes, each sealed, with questions' outcomes, trajectory and telemetry beside it. Printed: seconds
from nothing (CPU: of all processes), seconds after one new record, the size of the board's page, and, where Chromium is
at hand, the time from the start of its navigation until its filter works, as the middle of five loads. Exits with 1
where a goal is missed. Seconds of a machine that does other work besides say little; its CPU seconds say more.
"""

import argparse
import datetime
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from posttrainbench import record as records
from posttrainbench.board import keeping, site
from posttrainbench.evaluation import Measurement
from posttrainbench.record import Record
from posttrainbench.statistics import mean as estimate
from posttrainbench.statistics import paired_gain
from posttrainbench.strict import digest_bytes, write_bytes

GOAL_SECONDS, GOAL_AGAIN, GOAL_BYTES, GOAL_INTERACTIVE = 60.0, 3.0, 500_000, 1.0
AGENTS, MODELS, TASKS = 40, 4, 5
KEPT = ("trajectory.json", "session/telemetry.jsonl", "session/started.json")


def vary(like: Record, folder: Path, out: Path, number: int) -> None:
    """One more record, and the files that its page is made from."""
    draw = random.Random(number)
    agent, rest = f"agent-{number % AGENTS:02}", number // AGENTS
    model, task = f"model-{rest % MODELS}", f"task-{rest // MODELS % TASKS}"
    share = min(0.9, max(0.05, 0.2 + 0.6 * (number % AGENTS) / AGENTS + draw.gauss(0, 0.08)))
    asked = random.Random(f"{model} {task}")  # A base model is measured once for all runs on a cell.
    base, final = [float(asked.random() < 0.1) for _ in range(40)], [float(draw.random() < share) for _ in range(40)]
    scored = draw.random() < 0.9
    created = datetime.datetime(2026, 1, 1) + datetime.timedelta(minutes=10 * number)
    replace = msgspec.structs.replace
    plan = like.plan
    plan = replace(
        plan,
        run=f"bench-{number:06}",
        seed=rest,
        agent=replace(plan.agent, name=agent, variant="", needs=[]),
        model=replace(plan.model, name=model),
        task=replace(plan.task, name=task),
    )
    scores = None
    if like.scores:
        gain = paired_gain(base, final)
        scores = replace(like.scores, base=estimate(base), final=estimate(final), gain=gain, n=40)
    place = out / plan.run
    measured = {"base": like.base, "final": like.final if scored and isinstance(like.final, Measurement) else None}
    for name, rows in (("base", base), ("final", final)):
        one = measured[name]
        if one is not None:
            lines = b"".join(b'{"id":"q%02d","score":%.1f}\n' % row for row in enumerate(rows))
            write_bytes(place / "evaluation" / name / "questions.jsonl", lines)
            measured[name] = replace(one, n=40, score=sum(rows) / 40, questions=digest_bytes(lines))
    new = replace(
        like,
        run=plan.run,
        plan=plan,
        outcome="scored" if scored else "no_checkpoint",
        scores=scores if scored else None,
        base=measured["base"],
        final=measured["final"],
        times=replace(like.times, created=created.strftime("%Y-%m-%dT%H:%M:%SZ")),
        artefacts={name: like.artefacts[name] for name in KEPT if name in like.artefacts},
    )
    (place / "session").mkdir(parents=True)
    for name in KEPT:
        if (folder / name).is_file():
            (place / name).hardlink_to(folder / name)
    (place / "record.json").write_bytes(msgspec.json.encode(records.seal(new)))


def cpu_seconds() -> float:
    """Of this process and of those that it waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def interactive(page: Path) -> float | None:
    """Seconds from the start of a page's navigation until its filter works; None without Chromium. The page's script is
    deferred and sets everything up at once, so it is done when the content counts as loaded."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        return None
    with sync_playwright() as play:
        try:
            browser = play.chromium.launch(executable_path=shutil.which("chromium"))
        except Error:
            return None
        taken = []
        for _ in range(5):
            tab = browser.new_context().new_page()
            tab.goto(page.as_uri(), wait_until="load")
            search = tab.get_by_role("searchbox").first
            search.fill("agent-07")
            assert tab.locator("tbody tr:visible").count() < tab.locator("tbody tr").count()
            taken.append(tab.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"))
            tab.context.close()
        browser.close()
    return float(statistics.median(taken)) / 1000


def example(folder: Path) -> Path:
    """A made-up run, in the form of tests'."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    import siting

    made: Path = siting.sealed(folder, "example", human=None)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[1000, 3000, 10_000])
    parser.add_argument("--like", type=Path, help="a sealed run's folder")
    args = parser.parse_args()
    missed = []
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        folder = args.like or example(home)
        like = records.read(folder / "record.json")
        if args.like:  # Hard links need one file system.
            shutil.copytree(
                folder, home / "like", ignore=lambda at, names: {"workspace", "checkpoint", "tmp", "home"} & set(names)
            )
            folder = home / "like"
        runs, out, made = home / "runs", home / "site", 0
        print("records  from nothing        CPU   CPU/1000   one more        CPU  board page  interactive")
        for many in sorted(args.records):
            for number in range(made, many):
                vary(like, folder, runs, number)
            made = many
            shutil.rmtree(out, ignore_errors=True)
            for path in (keeping.place(out), keeping.cache(out)):
                path.unlink(missing_ok=True)
            began, used = time.perf_counter(), cpu_seconds()
            site.build([runs], out)
            whole, cpu = time.perf_counter() - began, cpu_seconds() - used
            vary(like, folder, runs, made)
            made += 1
            began, used = time.perf_counter(), cpu_seconds()
            built = site.build([runs], out)
            again, cpu_again = time.perf_counter() - began, cpu_seconds() - used
            assert built.made == 1
            size = max(path.stat().st_size for path in [out / "index.html", *(out / "boards").iterdir()])
            row = f"{many:7}  {whole:8.1f} s {cpu:8.1f} s {1000 * cpu / many:8.2f} s {again:8.2f} s {cpu_again:8.2f} s"
            ready = interactive(out / "index.html")
            told = "no Chromium" if ready is None else f"{ready:.2f} s, {ready / GOAL_INTERACTIVE:.2f} of the goal"
            print(f"{row} {size / 1000:8.0f} kB  {told}", flush=True)
            late = ready is not None and ready > GOAL_INTERACTIVE
            if size > GOAL_BYTES or late or (many >= 10_000 and (whole > GOAL_SECONDS or again > GOAL_AGAIN)):
                missed.append(many)
    print("goals missed at: " + ", ".join(map(str, missed)) if missed else "all goals met")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
