"""How long a run in containers keeps the agent and lm-eval waiting, beside a bare `docker run` of the same images.

    python benchmarks/containers.py [ROUNDS]

On the tiny cell, images present, base scores in the cache: from `ptb run` to the agent's first instruction, and from
the agent's last instruction to the evaluator's first. A bare `docker run` is timed up to the same instructions, in
turns with the runs. Prints medians of ROUNDS (default 5), the range, and the ratio; the goal is under three seconds
each.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

GOAL = 3.0
WORDS = ["run", "--agent", "command", "--task", "tiny", "--model", "tiny-random", "--protocol", "smoke", "--limit", "4"]
AGENT = "date +%s.%N > began; cp -r $PTB_MODEL final_model; date +%s.%N > ended"
IMAGES = {"agent": "ptb/train", "evaluator": "ptb/eval"}
FIRST = {
    "agent": ["sh", "-c", "date +%s.%N"],
    "evaluator": ["/opt/venv/bin/python", "-c", "import time; print(time.time())"],
}
TITLES = {
    "agent": "`ptb run` to the agent's first instruction",
    "evaluator": "agent's last to the evaluator's first instruction",
}


class Evaluator(threading.Thread):
    """Notes when cell.py has begun: it makes a folder before it imports anything of lm-eval."""

    def __init__(self, runs: Path) -> None:
        super().__init__(daemon=True)
        self.runs, self.seen, self.over = runs, 0.0, False

    def run(self) -> None:
        while not self.over and not any(self.runs.glob("*/evaluation/final/job/.cell-*")):
            time.sleep(0.01)
        self.seen = time.time()


def ptb(folder: Path, cache: Path) -> dict[str, float]:
    """One run: both waits in seconds."""
    evaluator = Evaluator(folder / "runs")
    evaluator.start()
    begin = time.time()
    command = [sys.executable, "-m", "posttrainbench.cli", *WORDS, "--sandbox", "docker", "--cache-dir", str(cache)]
    answer = subprocess.run([*command, "--json", "--", "sh", "-c", AGENT], cwd=folder, capture_output=True, text=True)
    evaluator.over = True
    evaluator.join()
    if answer.returncode:
        raise SystemExit(answer.stderr)
    (workspace,) = folder.glob("runs/*/workspace")
    began, ended = (float((workspace / name).read_text()) for name in ("began", "ended"))
    return {"agent": began - begin, "evaluator": evaluator.seen - ended}


def bare(kind: str, variant: str) -> float:
    """`docker run` up to the first instruction, in seconds."""
    begin = time.time()
    command = ["docker", "run", "--rm", "--network", "none", f"{IMAGES[kind]}:{variant}", *FIRST[kind]]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise SystemExit(answer.stderr)
    return float(answer.stdout) - begin


def main() -> None:
    """Measure and print."""
    rounds, variant = int(sys.argv[1]) if len(sys.argv) > 1 else 5, os.environ.get("PTB_IMAGES", "cpu")
    os.environ["PTB_IMAGES"] = variant
    own: dict[str, list[float]] = {kind: [] for kind in IMAGES}
    plain: dict[str, list[float]] = {kind: [] for kind in IMAGES}
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        for number in range(rounds + 1):
            folder = Path(name, str(number))
            folder.mkdir()
            found = ptb(folder, Path(name, "cache"))
            for kind in IMAGES if number else ():  # The first fills the cache.
                own[kind].append(found[kind])
                plain[kind].append(bare(kind, variant))
    for kind, title in TITLES.items():
        ours, theirs = statistics.median(own[kind]), statistics.median(plain[kind])
        print(f"{title}: {ours:.2f} s [{min(own[kind]):.2f}, {max(own[kind]):.2f}]; under 3 s: {verdict(ours)}")
        spread = f"[{min(plain[kind]):.2f}, {max(plain[kind]):.2f}]"
        print(f"  a bare docker run {theirs:.2f} s {spread}; ratio {ours / theirs:.1f}, {ours - theirs:+.2f} s")


def verdict(seconds: float) -> str:
    """Whether the goal is met."""
    return "yes" if seconds < GOAL else "NO"


if __name__ == "__main__":
    main()
