"""Scores a checkpoint on the questions in $PTB_BENCH, through the code that gives the final score.

    python evaluate.py                        final_model/
    python evaluate.py --model-path DIR       another checkpoint, or the base model in $PTB_MODEL
    python evaluate.py --limit 16             fewer questions: faster, rougher
    python evaluate.py --few-shot 3           with other worked examples in the prompt than the final score has
    python evaluate.py --json                 one line of JSON

The final score is taken on other questions of the same kind, unless your prompt says that it is taken on these.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    """Run the bench's cell.py in a process of its own and print what it measured; its exit code if it failed."""
    workspace, bench = Path(__file__).resolve().parent, Path(os.environ["PTB_BENCH"])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model-path", type=Path, default=workspace / "final_model", help="folder of the checkpoint")
    parser.add_argument("--limit", type=int, help="how many questions")
    parser.add_argument("--few-shot", type=int, help="how many worked examples")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    if not (args.model_path / "config.json").is_file():
        print(f"{args.model_path} holds no model: there is no config.json in it.", file=sys.stderr)
        return 65
    with tempfile.TemporaryDirectory() as out:
        command = [
            sys.executable,
            str(bench / "cell.py"),
            "--bench",
            str(bench),
            "--model",
            str(args.model_path.resolve()),
        ]
        command += ["--out", out]
        command += ["--limit", str(args.limit)] if args.limit is not None else []
        command += ["--few-shot", str(args.few_shot)] if args.few_shot is not None else []
        code = subprocess.run(command, stdout=sys.stderr).returncode
        if code:
            print(f"The evaluation failed with exit code {code}; its last lines say why.", file=sys.stderr)
            return code
        result = json.loads(Path(out, "result.json").read_text())
    if args.json:
        names = ("score", "n", "split", "metric", "few_shot", "seconds")
        print(json.dumps({name: result.get(name) for name in names}))
    else:
        right = f"{result['score'] * result['n']:g}/{result['n']}"
        print(f"score {result['score']:.4f} ({right} {result['metric']}, {result['split']} questions)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
