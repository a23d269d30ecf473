"""Build the leaderboard's site from records, serve it, or publish it.

  ptb leaderboard build --out site            every run below ./runs
  ptb leaderboard build campaign-1 campaign-2 --published FILE --out site
  ptb leaderboard serve --out site            build it, and look at it at http://127.0.0.1:8000
  ptb leaderboard publish                     build it, look for keys in it, and say what would be published
  ptb leaderboard publish --to FOLDER         into a folder, as a git checkout that you commit and push yourself
  ptb leaderboard publish --to hf://spaces/org/name       or hf://datasets/org/name, with HF_TOKEN

The site is plain files: copy the folder to any web server, below any path, or open index.html as a file. Built again,
only what changed is made anew. It needs records and the files beside them, and no engine, GPU, torch or key.
"""

import argparse
import functools
import http.server
import sys
from pathlib import Path

from posttrainbench.board import text
from posttrainbench.bundle import publishing, site_publishing
from posttrainbench.commands import options
from posttrainbench.errors import UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add this verb's flags."""
    parser.add_argument(
        "what", choices=("build", "serve", "publish"), help="build the site; and serve it here, or publish it"
    )
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
    parser.add_argument(
        "--to", metavar="PLACE", help="where `publish` brings it: a folder, hf://spaces/… or hf://datasets/…"
    )
    parser.add_argument("--pull-request", action="store_true", help="on the hub: propose it instead of committing it")
    parser.add_argument("--processes", type=int, metavar="N", help="how many build at once (default: all cores)")
    options.places(parser)


def main(args: argparse.Namespace) -> int:
    """Build, and serve or publish if asked."""
    from posttrainbench.board import published, site

    address, target = _address(args.listen), _target(args)
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
    if args.what == "publish":
        return _publish(args, *target)
    return _serve(args.out, address) if args.what == "serve" else 0


def _target(args: argparse.Namespace) -> tuple[str, str]:
    """Kind of the place (`folder`, `space`, `dataset`, or nothing) and its name."""
    if args.what != "publish":
        if args.to or args.pull_request:
            raise UsageError("--to and --pull-request belong to `ptb leaderboard publish`.")
        return "", ""
    to = args.to or ""
    if not to.startswith("hf://"):
        if args.pull_request:
            raise UsageError("--pull-request is for the hub: --to hf://spaces/org/name or hf://datasets/org/name.")
        if to and (Path(to).resolve() == args.out.resolve() or args.out.resolve() in Path(to).resolve().parents):
            raise UsageError(f"--to {to} lies in the folder that the site is built in; name another one.")
        if to and Path(to).exists() and not Path(to).is_dir():
            raise UsageError(f"--to {to} is no folder; name one, or one that is to be made.")
        return ("folder", to) if to else ("", "")
    kind, _, repo = to.removeprefix("hf://").partition("/")
    if kind not in ("spaces", "datasets"):
        raise UsageError(f"--to {to} is neither hf://spaces/org/name nor hf://datasets/org/name.")
    publishing.check_repo(repo)
    return kind.removesuffix("s"), repo


def _publish(args: argparse.Namespace, kind: str, name: str) -> int:
    found = site_publishing.files(args.out)
    size = sum(path.stat().st_size for path in found.values())
    if not kind:
        print(f"{len(found)} files, {text.size(size)}, no key found. Nothing was published: say where with --to.")
    elif kind == "folder":
        written, removed = site_publishing.to_folder(found, Path(name))
        print(f"{name}: {written} files written, {removed} removed")
        if (Path(name) / ".git").exists():
            print(
                f"Look at it, then: git -C {name} add -A && git -C {name} commit && git -C {name} push", file=sys.stderr
            )
    else:
        print(site_publishing.to_hub(args.out, kind, name, pull_request=args.pull_request))
    return 0


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
