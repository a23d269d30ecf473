"""Print what a run's agent has written, and with -f what it writes until its session ends."""

import argparse
import codecs
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from posttrainbench.agent import session
from posttrainbench.commands import options
from posttrainbench.errors import UsageError
from posttrainbench.folder import RunFolder
from posttrainbench.plan import Plan
from posttrainbench.run import handle_of
from posttrainbench.sandbox import kinds
from posttrainbench.strict import read_json
from posttrainbench.transcript.formats import FORMATS
from posttrainbench.transcript.live import Live, plain

PIECE = 1 << 16


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's flags."""
    parser.add_argument("run", metavar="RUN", help="name, part of a name, folder, or `last`")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the session ends")
    parser.add_argument("--raw", action="store_true", help="what the agent's program printed, instead of what it means")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Print the output."""
    folder = options.find_run(args.run, options.load(args).runs)
    follow(folder, wait=args.follow, raw=args.raw)
    return 0


def follow(folder: RunFolder, *, wait: bool, raw: bool = False) -> None:
    """Print the output so far; with `wait`, until the session has ended. Readable where the format is known, unless
    `raw`."""
    printer = printer_for(read_json(folder.plan, Plan).agent.transcript, raw=raw)
    offset = 0
    for _ in moments(folder):
        offset = print_from(folder.session / "output.log", offset, printer)
        if not wait:
            break
    printer.close()
    sys.stdout.flush()


def moments(folder: RunFolder) -> Iterator[None]:
    """A moment every so often while the session runs, and one after it has ended."""
    plan = read_json(folder.plan, Plan)
    sandbox = kinds.open_sandbox(plan.sandbox, plan.images)
    spec, handle = session.stored(folder), handle_of(folder, sandbox)
    if spec is None:
        raise UsageError(f"The session of {plan.run} has not begun. `ptb show {plan.run}` says where the run stands.")
    while sandbox.state(spec, handle) == "running":
        yield
        time.sleep(0.2)
    yield


class _Raw:
    """Text as it came."""

    def __init__(self) -> None:
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, chunk: bytes) -> None:
        # An agent's output may hold what changes a terminal's state.
        sys.stdout.write("\n".join(plain(line) for line in self.decoder.decode(chunk).split("\n")))

    def close(self) -> None:
        sys.stdout.write(plain(self.decoder.decode(b"", final=True)))


class _Readable:
    """What the events mean."""

    def __init__(self, format_: str) -> None:
        self.live = Live(format_)

    def take(self, chunk: bytes) -> None:
        for line in self.live.feed(chunk):
            sys.stdout.write(line + "\n")

    def close(self) -> None:
        for line in self.live.close():
            sys.stdout.write(line + "\n")


Printer = _Raw | _Readable


def printer_for(format_: str, *, raw: bool) -> Printer:
    """What prints an output of a format."""
    return _Readable(format_) if format_ in FORMATS and not raw else _Raw()


def print_from(path: Path, offset: int, printer: Printer) -> int:
    """Print what a file holds beyond `offset`; gives its end."""
    if not path.exists():
        return offset
    with path.open("rb") as file:
        file.seek(offset)
        while chunk := file.read(PIECE):
            offset += len(chunk)
            printer.take(chunk)
    sys.stdout.flush()
    return offset
