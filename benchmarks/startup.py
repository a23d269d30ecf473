"""How long `ptb --help` takes as a whole process, beside the neighbours' and a bare interpreter.

    python benchmarks/startup.py

Prints the median of eleven runs each and the ratio to lm-eval's, measured in turns in the same minute.
"""

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 11


def main() -> None:
    """Measure and print."""
    folder = Path(sys.executable).parent
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "ptb --help": [str(folder / "ptb"), "--help"],
        "lm-eval --help": [str(folder / "lm-eval"), "--help"],
        "docker --help": ["docker", "--help"],
    }
    present = {name: command for name, command in commands.items() if shutil.which(command[0])}
    times: dict[str, list[float]] = {name: [] for name in present}
    for _ in range(ROUNDS):
        for name, command in present.items():
            begin = time.perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - begin)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:<16} {median:6.3f} s  [{min(times[name]):.3f}, {max(times[name]):.3f}]")
    if "lm-eval --help" in medians:
        print(f"ptb / lm-eval    {medians['ptb --help'] / medians['lm-eval --help']:6.3f}")
    print(f"ptb under 0.3 s: {'yes' if medians['ptb --help'] < 0.3 else 'NO'}")


if __name__ == "__main__":
    main()
