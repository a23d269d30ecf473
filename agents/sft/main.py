"""Fine-tunes the base model on examples of the task, measures what came out, and leaves the best in final_model/.

    python main.py [--method auto|full|lora] [--steps N] [--no-measuring]

The base model is submitted first, so that the deadline never finds nothing. Everything it does is printed.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import training
from bench import Bench
from clock import Clock
from measure import dev_score
from recipes import NoRecipeError, examples

LEAST_TO_MEASURE = 200.0
"""Seconds of a session below which training gains more than a choice among its checkpoints."""


def main() -> int:
    """The whole session."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=("auto", "full", "lora"), default="auto")
    parser.add_argument("--steps", type=int, help="no more steps than this")
    parser.add_argument("--no-measuring", action="store_true", help="do not run evaluate.py")
    args = parser.parse_args()

    workspace, base = Path(os.environ["PTB_WORKSPACE"]), Path(os.environ["PTB_MODEL"])
    seed, clock, final = int(os.environ["PTB_SEED"]), Clock.of_session(), workspace / "final_model"
    bench = Bench(Path(os.environ["PTB_BENCH"]))
    print(f"Task {bench.task}, {clock.left():.0f} s to work with.")
    if clock.left() < LEAST_TO_MEASURE and not args.no_measuring:
        print("Too little to measure anything: all of it goes into the training.")
        args.no_measuring = True
    training.submit(base, final)
    print("Submitted the base model for now.")
    with tempfile.TemporaryDirectory(dir=workspace, prefix=".sft-") as work:
        try:
            saved = fine_tune(bench, base, Path(work), clock, seed, args)
        except NoRecipeError as error:
            print(f"{error} The base model stays submitted.", file=sys.stderr)
            return 1
        training.submit(saved[-1], final)
        print(f"Submitted the last checkpoint; {clock.left():.0f} s left.")
        if not args.no_measuring:
            best = choose(workspace, [*saved[::-1], base], clock)
            if best is not None and best != saved[-1]:
                training.submit(best, final)
                print(f"Submitted {best.name} instead.")
    shutil.rmtree(workspace / ".old", ignore_errors=True)
    print(f"Done with {clock.left():.0f} s left.")
    return 0


def fine_tune(bench: Bench, base: Path, work: Path, clock: Clock, seed: int, args: argparse.Namespace) -> list[Path]:
    """The checkpoints, in order of time."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    pairs = examples(bench, tokenizer, seed)
    print(
        f"{len(pairs)} training examples, such as:\n  {pairs[0]['prompt'][-200:]!r}\n  {pairs[0]['completion'][:200]!r}"
    )
    model = training.load(base)
    began = time.monotonic()
    training.save(model, work / "probe", base)
    training.seconds_to_save(clock, began)
    shutil.rmtree(work / "probe")
    seconds = clock.for_training(measuring=not args.no_measuring)
    settings = training.choose(model, args.method, seconds, args.steps, seed)
    print(f"Training {settings.method} for up to {seconds:.0f} s: {settings}")
    return training.train(model, tokenizer, pairs, settings, work, base)


def choose(workspace: Path, candidates: list[Path], clock: Clock) -> Path | None:
    """The candidate with the best score on development questions, of those that there is time to measure; on a tie, the
    earlier in the list. None if none was measured."""
    scores: dict[Path, float] = {}
    limit = 16 if clock.left() / len(candidates) < 120 else 64 if clock.left() / len(candidates) < 900 else None
    took = 0.0
    for candidate in candidates:
        if clock.left() < max(15.0, took * 1.3):
            print(f"No time to measure {candidate.name}.")
            break
        began = time.monotonic()
        score = dev_score(workspace, candidate, limit, clock.left())
        took = time.monotonic() - began
        if score is None:
            break
        scores[candidate] = score
        print(f"{candidate.name}: {score:.3f} on {limit or 'all'} development questions ({took:.0f} s)")
    return max(scores, key=lambda path: scores[path]) if scores else None


if __name__ == "__main__":
    sys.exit(main())
