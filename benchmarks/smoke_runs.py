"""Makes many real smoke runs, one after another, for a board to be looked at: `python benchmarks/smoke_runs.py FOLDER`.

Agents that train, copy, leave nothing, leave rubbish, or tamper, on tiny cells, in several seeds. Stops by itself after
`--minutes`; started again, it goes on where it was. Each run takes seconds to a minute, depending on the machine.
"""

import argparse
import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

COPY = "cp -r $PTB_MODEL final_model"
COMMANDS = {
    "copy": f"echo Copying the base model.; {COPY}; ls -l final_model",
    "nothing": "echo I thought about it for a while.; sleep 2; echo Nothing came of it.",
    "rubbish": "mkdir final_model; echo '{}' > final_model/config.json; echo Rubbish.",
    "tamper": f"chmod +w evaluate.py; echo '# nicer' >> evaluate.py; {COPY}",
    "noise": f"{COPY}; printf '<script>alert(1)</script>\\033[31mred\\033[0m\\n'; exit 3",
}
AGENTS = ["sft:full", "base", "copy", "sft:lora", "nothing", "sft:fast", "rubbish", "tamper", "sft", "noise"]
MODELS = {
    "tiny-random": None,
    "tiny-other": 'name = "tiny-other"\ntitle = "Another random one"\n[source]\nfrom = "random"\nseed = 1\n',
}


def words(agent: str, model: str, seed: int, models: Path) -> list[str]:
    """The command of one run."""
    command = COMMANDS.get(agent)
    return [
        *(sys.executable, "-m", "posttrainbench.cli", "run", "--task", "tiny", "--protocol", "smoke"),
        *("--agent", "command" if command else agent, "--model", model, "--seed", str(seed), "--hours", "0.012"),
        *("--models-dir", str(models)),
        *(["--", "sh", "-c", command] if command else []),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=60.0)
    args = parser.parse_args()
    models = args.folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    for name, text in MODELS.items():
        if text:
            (models / f"{name}.toml").write_text(text)
    last = time.monotonic() + 60 * args.minutes
    done = args.folder / "done"
    done.mkdir(exist_ok=True)
    for seed, agent, model in itertools.product(range(args.seeds), AGENTS, MODELS):
        mark = done / f"{agent}-{model}-{seed}".replace(":", "_")
        if mark.exists() or time.monotonic() > last:
            continue
        answer = subprocess.run(
            words(agent, model, seed, models),
            cwd=args.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        print(
            agent, model, seed, "exit", answer.returncode, answer.stderr[-300:] if answer.returncode else "", flush=True
        )
        if answer.returncode in (0, 6):
            mark.write_text("")


if __name__ == "__main__":
    main()
