"""How much of a base-agent run is ptb's own: wall time that is neither agent nor lm-eval.

    python benchmarks/overhead.py

Runs the tiny cell twice, so that model and base scores are cached in the second, and prints for each run the whole
process's wall time, the session's, the evaluator processes', and what is left.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = ["run", "--agent", "base", "--task", "tiny", "--model", "tiny-random", "--protocol", "smoke", "--json"]


def once(folder: Path) -> tuple[float, float, float]:
    """One run: seconds of wall time, of the session, and of the evaluators."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "posttrainbench.cli", *WORDS, "--cache-dir", str(folder / "cache")]
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    wall = time.perf_counter() - begin
    if answer.returncode:
        raise SystemExit(answer.stderr)
    record = json.loads(answer.stdout)
    evaluators = sum(
        json.loads(path.read_text())["seconds"]
        for path in (folder / "runs" / record["run"]).glob("evaluation/*/result.json")
    )
    return wall, record["session"]["seconds"], evaluators


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        for title in ("first run (model made, base scored)", "second run (both cached)"):
            wall, session, evaluators = once(Path(name))
            own = wall - session - evaluators
            print(f"{title}: wall {wall:.1f} s, session {session:.1f} s, lm-eval {evaluators:.1f} s")
            print(
                f"  ptb's own: {own:.2f} s, {own / wall:.2f} of the wall time; under 5 s: {'yes' if own < 5 else 'NO'}"
            )


if __name__ == "__main__":
    main()
