"""Run the scripted provider in a process, with tests/ on PYTHONPATH: `python -m provider --script FILE --log FILE`."""

import argparse
import signal
import sys
from pathlib import Path

from posttrainbench.strict import read_json
from provider import Provider, Script


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any that is free; the URL is printed")
    parser.add_argument("--script", type=Path, required=True, help="JSON of a script.Script")
    parser.add_argument("--log", type=Path, default=Path("provider.jsonl"), help="file that takes a line a request")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Provider(read_json(args.script, Script), args.log, args.port) as provider:
        print(provider.url, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
