"""Harbor's verifier: scores the checkpoint on the test questions and writes reward.json.

    python verify.py CHECKPOINT BENCH LOGS [BACKEND]

`reward` is the raw mean over the questions, from 0 to 1, not a gain over the base model. No checkpoint, or one that
cannot be used, is 0 with `valid` 0. A fault of the evaluator gives no reward at all, and Harbor calls it an error.
Unlike ptb itself it does not compare the weights' form with the base model's.
"""

import json
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

UNUSABLE = 65
KINDS = (".json", ".safetensors", ".model", ".txt", ".jinja")
MAX_CONFIG = 16 * 2**20


def main() -> int:
    """Score it; 1 where the evaluator itself failed."""
    checkpoint, bench, logs = (Path(word) for word in sys.argv[1:4])
    backend = sys.argv[4] if sys.argv[4:] else "hf"
    logs.mkdir(parents=True, exist_ok=True)
    (logs / "reward.json").unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as place:
        model, out = Path(place, "model"), Path(place, "out")
        if why := take(checkpoint, model):
            return reward(logs, 0.0, 0, why)
        command = [sys.executable, str(bench / "cell.py"), "--bench", str(bench), "--model", str(model)]
        done = subprocess.run([*command, "--out", str(out), "--backend", backend], stderr=subprocess.PIPE, text=True)
        print(done.stderr[-20_000:], file=sys.stderr)
        if done.returncode == UNUSABLE:
            return reward(logs, 0.0, 0, done.stderr.strip().splitlines()[-1])
        if done.returncode:
            return 1
        shutil.copy(out / "questions.jsonl", logs / "questions.jsonl")
        shutil.copy(out / "result.json", logs / "result.json")
        return reward(logs, float(json.loads((out / "result.json").read_text())["score"]), 1, "scored")


def take(source: Path, target: Path) -> str:
    """Copy plain files of the kinds that a model consists of; why there is no checkpoint, or nothing."""
    if source.is_symlink() or not source.is_dir():
        return f"there is no folder {source}"
    target.mkdir()
    for path in source.iterdir():
        if path.suffix in KINDS and stat.S_ISREG(path.lstat().st_mode):
            shutil.copyfile(path, target / path.name, follow_symlinks=False)
    config = target / "config.json"
    if not config.is_file():
        return "it holds no config.json"
    if config.stat().st_size > MAX_CONFIG or b"auto_map" in config.read_bytes():
        return "its config.json names code of its own (auto_map), or is too large"
    return "" if list(target.glob("*.safetensors")) else "it holds no safetensors"


def reward(logs: Path, score: float, valid: int, why: str) -> int:
    """Write what Harbor reads."""
    print(f"reward {score:.4f}: {why}")
    (logs / "reward.json").write_text(json.dumps({"reward": score, "valid": valid}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
