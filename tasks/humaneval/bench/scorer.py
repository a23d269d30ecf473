"""Does the answer's function pass the question's tests?

Of an answer the last code block (```) that defines the function counts, with what the question says before it; where
there is no such block, the answer is taken as the rest of the question's own code, up to a closing ``` or to what is
not Python any more. Only definitions, imports and assignments are kept at the top level: example calls and prints
beside the function do no harm and no good. What a model thinks up to `</think>` does not count.

The code runs in a process of its own (candidate.py says how that is locked up, and what it does not protect against);
the tests run here and see only the values that its function returns: numbers, texts, bytes, None, and lists, tuples,
sets and dicts of those. Any other value, an exception, no answer within ten seconds in all, a process that ends: wrong.
"""

import ast
import importlib.util
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

METRIC = "pass_at_1"
LONGEST = 50_000
SECONDS = 10.0
START_SECONDS = 60.0
"""How long a locked process may take to appear, on a machine that is busy; no code of an answer has run by then."""
MAX_LINE = 2**20
MOST_CUTS = 50
BLOCK = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.MULTILINE | re.DOTALL)
KEPT = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
RUNNER = Path(__file__).resolve().parent / "candidate.py"


class WrongError(BaseException):
    """The code gave no value. Not an Exception, so that no test can take it for one that it expects."""


def process_results(doc: dict[str, str], results: list[str]) -> dict[str, float]:
    """lm-eval's hook: the verdict on one answer."""
    return {METRIC: score(doc, results[0])}


def score(doc: dict[str, str], response: str) -> float:
    """1.0 if the function in `response` passes the question's tests, else 0.0. Raises RuntimeError where code cannot be
    locked up here."""
    code = program(doc, response)
    return 1.0 if code is not None and passes(doc, code) else 0.0


def program(doc: dict[str, str], response: str) -> str | None:
    """The code that an answer makes of its question; None where it makes none."""
    text = response.rpartition("</think>")[2]
    if len(text) > LONGEST or "\0" in text:
        return None
    text = text.encode("utf-8", "replace").decode()
    question, name = doc["question"], doc["entry_point"]
    defines = re.compile(rf"^(?:async )?def {re.escape(name)}\b", re.MULTILINE)
    blocks = [block for block in BLOCK.findall(text) if defines.search(block)]
    text = blocks[-1] if blocks else re.split(r"^[ \t]*```", text, maxsplit=1, flags=re.MULTILINE)[0]
    whole = bool(defines.match(text.lstrip("\n"))) or bool(blocks)
    tree = _tree(question + ("\n" if whole else "") + text)
    if tree is None:
        return None
    tree.body = [node for node in tree.body if isinstance(node, KEPT)]
    if not whole:
        # A model that goes on writes the function again: the first one is its answer.
        again = [node for node in tree.body if isinstance(node, KEPT[:2]) and node.name == name][1:]
        tree.body = [node for node in tree.body if node not in again]
    with suppress(RecursionError):
        return ast.unparse(tree)
    return None


def _tree(text: str) -> ast.Module | None:
    """The longest beginning of a text, cut where a top-level line begins, that is Python."""
    for _ in range(MOST_CUTS):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(text)
        except SyntaxError as error:
            lines = text.split("\n")
            tops = [place for place, line in enumerate(lines[: error.lineno or 0]) if line[:1].strip()]
            if not tops or tops[-1] == 0:
                return None
            text = "\n".join(lines[: tops[-1]])
        except (ValueError, MemoryError, RecursionError):
            return None
    return None


def passes(doc: dict[str, str], code: str) -> bool:
    """Whether the question's tests pass on the function of that code."""
    try:
        modules = _modules(code)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    with _locked(code, doc["entry_point"], modules) as function:
        try:
            function.begin()
            # The question's own helpers, which some tests use; then its tests, with the code's function in its place.
            namespace: dict[str, Any] = {"__name__": "tests"}
            exec(doc["question"], namespace)  # noqa: S102 - published code, checked by digest.
            namespace[doc["entry_point"]] = function
            exec(doc["test"], namespace)  # noqa: S102
            namespace["check"](function)
        except (WrongError, Exception):
            return False
    return True


@contextmanager
def _locked(code: str, entry_point: str, modules: list[str]) -> "Iterator[_Function]":
    """The code's function, in a locked process that is gone afterwards; raises RuntimeError where there can be none."""
    command = [sys.executable, "-s", "-P", "-S", "-B", str(RUNNER)]
    # Sets have the same order in every run.
    env = {"PYTHONHASHSEED": "0"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, cwd="/", env=env, start_new_session=True, bufsize=0, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    )
    line = _Line(process)
    try:
        try:
            patience = time.monotonic() + START_SECONDS
            line.send({"code": code, "entry_point": entry_point, "modules": modules}, patience)
            locked = line.receive(patience) == b"locked"
        except WrongError:
            locked = False
        if not locked:
            raise RuntimeError(
                "Answers of this task are programs, and they are run only in a process that the kernel locks up "
                "(seccomp, on x86-64 or ARM64 Linux). Here it could not be started; see candidate.py in the bench."
            )
        yield _Function(line, time.monotonic() + SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        line.close()


class _Function:
    """The code's function as the tests call it: arguments go to the locked process, and a value comes back."""

    def __init__(self, line: "_Line", deadline: float) -> None:
        self._line, self._deadline = line, deadline

    def begin(self) -> None:
        """Wait until the code has run once; raises WrongError."""
        if self._line.receive(self._deadline) != b"ready":
            raise WrongError("the code is not ready")

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self._line.send(_runner().encode((arguments, named)), self._deadline)
        # Where the call gave no value there is none to decode, which is an error like any other of the code's.
        return _runner().decode(json.loads(self._line.receive(self._deadline))["value"])


class _Line:
    """Lines to and from a process that may do anything: neither waits longer than it is told."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None and process.stdout is not None
        self._in, self._out = process.stdin, process.stdout
        self._kept = bytearray()
        os.set_blocking(self._in.fileno(), False)
        os.set_blocking(self._out.fileno(), False)

    def send(self, message: Any, deadline: float) -> None:
        """Send a line of JSON; raises WrongError."""
        content = json.dumps(message).encode() + b"\n"
        while content:
            self._await(deadline, write=True)
            try:
                content = content[os.write(self._in.fileno(), content) :]
            except OSError as error:
                raise WrongError("the process is gone") from error

    def receive(self, deadline: float) -> bytes:
        """The next line; raises WrongError."""
        while b"\n" not in self._kept:
            self._await(deadline, write=False)
            content = os.read(self._out.fileno(), 65536)
            if not content or len(self._kept) > MAX_LINE:
                raise WrongError("the process is gone, or says too much")
            self._kept += content
        found, _, rest = bytes(self._kept).partition(b"\n")
        self._kept = bytearray(rest)
        return found

    def close(self) -> None:
        """Close both ends."""
        self._in.close()
        self._out.close()

    def _await(self, deadline: float, write: bool) -> None:
        left = max(0.0, deadline - time.monotonic())
        ready = select.select([] if write else [self._out], [self._in] if write else [], [], left)
        if not any(ready):
            raise WrongError("too late")


def _modules(code: str) -> list[str]:
    """The allowed modules that a code imports, to be imported before the process can open files no more."""
    named = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    if named & {"datetime", "time"}:
        named |= {"_strptime"}
    return sorted(named & (_runner().MODULES | {"_strptime"}))


def _runner() -> types.ModuleType:
    """candidate.py, for how values cross."""
    name = "ptb_humaneval_candidate"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, RUNNER)
        if spec is None or spec.loader is None:
            raise RuntimeError(f"{RUNNER} cannot be imported.")
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        sys.modules[name] = made
    return sys.modules[name]
