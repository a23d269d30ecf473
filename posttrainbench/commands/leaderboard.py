"""Build the leaderboard's site from records, or serve it.

  ptb leaderboard build --out site            every run below ./runs
  ptb leaderboard build campaign-1 campaign-2 --published FILE --out site
  ptb leaderboard serve --out site            build it, and look at it at http://127.0.0.1:8000

The site is plain files: copy the folder to any web server, below any path, or open index.html as a file. Built again,
only what changed is made anew. It needs records and the files beside them, and no engine, GPU, torch or key.
"""

import argparse
import functools
import http.server
import sys
from pathlib import Path

from posttrainbench.commands import options
from posttrainbench.errors import UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's flags."""
    parser.add_argument("what", choices=("build", "serve"), help="build the site, or build it and serve it here")
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="folders of runs (default: --runs-dir)")
    parser.add_argument("--out", type=Path, default=Path("site"), help="where the site goes (default: ./site)")
    parser.add_argument(
        "--published",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="figures that others published, as a board",
    )
    parser.add_argument("--listen", default="127.0.0.1:8000", metavar="ADDRESS:PORT", help="where `serve` answers")
    parser.add_argument("--processes", type=int, metavar="N", help="how many build at once (default: all cores)")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Build, and serve if asked."""
    from posttrainbench.board import published, site

    address = _address(args.listen)
    folders = args.folders or [options.load(args).runs]
    built = site.build(
        [Path(one) for one in folders],
        args.out,
        [published.board(path) for path in args.published],
        say=lambda words: print(words, file=sys.stderr),
        processes=args.processes,
    )
    for one in built.problems:
        print(f"left out: {one}", file=sys.stderr)
    print(
        f"{args.out / 'index.html'}: {built.runs} runs on {built.boards} boards; {built.made} runs made anew, "
        f"{built.written} files written"
    )
    return _serve(args.out, address) if args.what == "serve" else 0


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"--listen {listen!r} is no address with a port; write it as 127.0.0.1:8000.")
    return host, int(port)


def _serve(folder: Path, address: tuple[str, int]) -> int:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    try:
        server = http.server.ThreadingHTTPServer(address, handler)
    except OSError as error:
        where = f"{address[0]}:{address[1]}"
        raise UsageError(f"Cannot listen on {where}: {error.strerror}. Choose another port with --listen.") from error
    with server:
        print(f"http://{address[0]}:{server.server_port}/ (Ctrl-C ends it)", file=sys.stderr, flush=True)
        server.serve_forever()
    return 0
