"""The `ptb` command: finds the verb, runs it, and turns every failure into a sentence and an exit code."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from posttrainbench import __version__
from posttrainbench.errors import PtbError

VERBS = {
    "run": "let an agent post-train a model, and score what it leaves",
    "resume": "go on with a run at its first unfinished stage",
    "retry": "repeat a run that broke by no fault of its agent",
    "stop": "end a run's session or evaluation now",
    "ps": "list containers of sessions and jobs, and GPUs",
    "logs": "print what a run's agent has written",
    "attach": "watch a run's session again",
    "gc": "remove containers and leases that no run needs any more",
    "images": "build, list or verify container images",
    "leaderboard": "build, serve or publish the site that shows who is ahead, from records alone",
    "list": "list agents, tasks, models, protocols or runs",
    "agents": "list or show agents, install their programs, ask whether newer ones are out",
    "show": "show one run: outcome, scores, where it is",
    "baseline": "measure the base model and its instruct sibling on a task, for runs to be compared with",
    "evaluate": "score a stored run again, or any checkpoint folder",
    "score": "compute scores of sealed runs again from their questions' outcomes",
    "compare": "say whether one set of runs is better than another, with an exit code for each verdict",
    "verify": "check a sealed run, or a bundle that somebody sends, and every file in it",
    "bundle": "put a sealed run into one file that others can verify",
    "publish": "push a bundle to a dataset repository on the hub",
    "export": "give a trajectory as ATIF, or a task as a Harbor task",
    "import": "read the results of a Harbor job",
    "doctor": "say what this machine can do and what is missing",
    "check": "check that all agent, task, model and protocol folders are well-formed",
}
"""Each verb is the module of that name in posttrainbench.commands, imported only when it is called."""

EPILOG = """\
exit codes:
  0 done (an agent that fails is a result, not an error)   1 a bug of ptb
  2 what was typed    3 a file that a person wrote         4 something is missing on this machine
  5 the disk          6 our side broke; resume the run     7 something sealed was changed
  8 another ptb works on the run                         130 interrupted; a session goes on without ptb
  20, 21, 22: `ptb compare` found two sets of runs equivalent, could not tell, found the second worse

first steps:
  ptb doctor
  ptb run --agent sft --task bfcl-simple --model smollm2-135m --protocol smoke
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in VERBS:
        return _guard(words[0], words[1:])
    parser = _top()
    if not words:
        parser.print_help()
        return 0
    parser.parse_args(words)
    return 2


def _top() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ptb",
        description="Measures how well an AI agent can post-train a language model by itself.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ptb {__version__}")
    verbs = parser.add_subparsers(title="verbs (`ptb VERB --help` tells more)", metavar="VERB", dest="verb")
    for verb, what in VERBS.items():
        verbs.add_parser(verb, help=what, add_help=False)
    return parser


def _guard(verb: str, words: list[str]) -> int:
    module = importlib.import_module(f"posttrainbench.commands.{verb}")
    parser = argparse.ArgumentParser(
        prog=f"ptb {verb}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    module.arguments(parser)
    try:
        return int(module.main(parser.parse_args(words)))
    except PtbError as error:
        print(f"ptb {verb}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(
            f"\nptb {verb}: interrupted. A session that was started goes on without ptb: `ptb list runs` shows it, "
            "`ptb resume RUN` takes it up, `ptb stop RUN` ends it.",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        # The reader of our stdout is gone (`ptb list runs | head`): nothing is left to say, and that is no failure.
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
