"""How much of a base-agent run is ptb's own: wall time that is neither agent nor lm-eval.

    python benchmarks/overhead.py

On the tiny cell, after a first run that makes the model: a run that measures the base model too, and one that finds the
base model's scores in the cache. Prints the whole process's wall time, the session's, that of the evaluators, and what
is left, which includes starting Python for each of them.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = ["run", "--agent", "base", "--task", "tiny", "--model", "tiny-random", "--protocol", "smoke", "--json"]
RUNS = (
    ("base model measured too", ("base", "few_shot", "final")),
    ("base scores from the cache", ("final",)),
)


def once(folder: Path, words: list[str]) -> tuple[float, Path]:
    """One run: its wall time in seconds, and its folder."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "posttrainbench.cli", *WORDS, "--cache-dir", str(folder / "cache"), *words]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    wall = time.perf_counter() - begin
    if answer.returncode:
        raise SystemExit(answer.stderr)
    return wall, folder / "runs" / json.loads(answer.stdout)["run"]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        once(Path(name), ["--limit", "4"])
        for title, measured in RUNS:
            wall, run = once(Path(name), [])
            session = json.loads((run / "session.json").read_text())["seconds"]
            evaluators = sum(
                json.loads((run / "evaluation" / one / "result.json").read_text())["seconds"] for one in measured
            )
            own = wall - session - evaluators
            print(f"{title}: wall {wall:.1f} s, agent {session:.1f} s, lm-eval {evaluators:.1f} s")
            print(
                f"  ptb's own {own:.2f} s, {own / wall:.2f} of the wall time; under 5 s: {'yes' if own < 5 else 'NO'}"
            )


if __name__ == "__main__":
    main()
