"""The process in which one answer's code runs: locked up before the first of its lines, and asked for values only.

    python -s -P -S -B candidate.py     < requests     > answers     (a line of JSON each)

The first request brings the code; each further one the arguments of a call, and the answer to it is what the call
returned. The tests themselves run in the process that asks, so there is no verdict here that code could forge: whatever
it prints, raises, exits with or patches, it can only give values or none.

Before the code runs this process gives up, by limits and by a filter of system calls that the kernel holds: files (even
to read; so the modules that the code imports are imported beforehand), network, processes and threads, signals to
others, tracing, more than its memory and processor time. As root it becomes nobody first, where the kernel lets it.

It does not protect against: a hole in the kernel or in the few system calls that remain; code that guesses the tests'
values because the model has seen them in training.
"""

import ctypes
import importlib
import json
import os
import platform
import resource
import struct
import sys
from contextlib import suppress
from typing import Any

MEMORY = 2**30
SECONDS = 10
NAMES = """
abc array ast base64 binascii bisect calendar cmath collections collections.abc contextlib copy csv dataclasses datetime
decimal difflib enum fractions functools hashlib heapq html io itertools json keyword math numbers operator os os.path
pprint queue random re statistics string struct sys textwrap time timeit traceback types typing unicodedata uuid
warnings zlib
"""
MODULES = set(NAMES.split())
"""What code may import."""
ALWAYS = ("unicodedata", "encodings.ascii", "encodings.latin_1")
"""What the interpreter itself imports when it meets such text."""
NOBODY = 65534

# Numbers of the system calls that a computation needs, on x86-64 and on ARM64 (None: it has no such call).
CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "poll": (7, None),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "times": (100, 153),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
    "rseq": (334, 293),
}
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of CALLS, and the kernel's number of the architecture."""


class OpaqueError(ValueError):
    """A value of a kind that does not cross."""


def encode(value: Any) -> Any:
    """A value as JSON that tells tuples, sets, bytes and whole numbers of any size apart; raises OpaqueError. Of a
    subclass only what the builtin type holds crosses: no method of it can take part in a comparison."""
    if value is None or isinstance(value, bool | str):
        return value if value is None or isinstance(value, bool) else str.__str__(value)
    if isinstance(value, int):
        return {"int": hex(int.__int__(value))}
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, complex):
        return {"complex": [complex(value).real, complex(value).imag]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(one)] for key, one in dict.items(value)]}
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return {kind.__name__: [encode(one) for one in kind.__iter__(value)]}
    raise OpaqueError(f"a value of type {type(value).__name__}")


def decode(found: Any) -> Any:
    """The value that `encode` gave; raises an ordinary exception where it gave none."""
    if not isinstance(found, dict):
        if isinstance(found, list | int) and not isinstance(found, bool):
            raise OpaqueError("not what encode gives")
        return found
    [(kind, held)] = found.items()
    match kind:
        case "int":
            return int(held, 16)
        case "complex":
            return complex(*held)
        case "bytes":
            return bytes.fromhex(held)
        case "dict":
            return {decode(key): decode(one) for key, one in held}
        case "list" | "tuple" | "set" | "frozenset":
            return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind](map(decode, held))
        case _:
            raise OpaqueError(f"a value of kind {kind}")


def main() -> None:
    """Take the code, give up what it must not have, run it, answer calls until no more come."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)
    lines = os.fdopen(requests, "rb")
    task = json.loads(lines.readline())
    for name in [*ALWAYS, *task["modules"]]:
        importlib.import_module(name)
    if "random" in sys.modules:
        sys.modules["random"].seed(0)
    lock()
    os.write(answers, b"locked\n")
    namespace: dict[str, Any] = {"__name__": "answer"}
    exec(compile(task["code"], "<answer>", "exec"), namespace)  # noqa: S102 - this is what the process is for.
    function = namespace[task["entry_point"]]
    os.write(answers, b"ready\n")
    for line in lines:
        arguments, named = decode(json.loads(line))
        try:
            answer = json.dumps({"value": encode(function(*arguments, **named))})
        except BaseException:
            answer = "{}"
        send(answers, answer.encode() + b"\n")


def send(descriptor: int, content: bytes) -> None:
    """Write all of it."""
    while content:
        content = content[os.write(descriptor, content) :]


def lock() -> None:
    """Give up, for good, all that a computation does not need; raises OSError where the kernel does not take it."""
    limits = [(resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_FSIZE, 0)]
    limits += [(resource.RLIMIT_CORE, 0), (resource.RLIMIT_NPROC, 0)]
    for kind, most in limits:
        resource.setrlimit(kind, (most, most))
    if os.geteuid() == 0:
        # Inside bubblewrap root is a name without power, and there is no other user to become.
        with suppress(OSError):
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
    if platform.machine() not in MACHINES:
        raise OSError(f"no list of system calls for {platform.machine()}")
    program = filter_program(*MACHINES[platform.machine()])
    held = ctypes.create_string_buffer(program)
    described = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held)))
    libc = ctypes.CDLL(None, use_errno=True)
    # PR_SET_NO_NEW_PRIVS; PR_SET_SECCOMP with SECCOMP_MODE_FILTER.
    for words in ((38, 1, 0, 0, 0), (22, 2, ctypes.addressof(described), 0, 0)):
        if libc.prctl(*(ctypes.c_ulong(word) for word in words)):
            raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")


def filter_program(column: int, machine: int) -> bytes:
    """The kernel's filter: calls of CALLS are allowed, any other fails with EPERM, another architecture's kill."""
    allowed = sorted(number for numbers in CALLS.values() if (number := numbers[column]) is not None)
    load, equal, end = 0x20, 0x15, 0x06
    steps = [(load, 0, 0, 4), (equal, 1, 0, machine), (end, 0, 0, 0x80000000), (load, 0, 0, 0)]
    # A match jumps over the remaining comparisons and the refusal.
    steps += [(equal, len(allowed) - place, 0, number) for place, number in enumerate(allowed)]
    steps += [(end, 0, 0, 0x00050000 | 1), (end, 0, 0, 0x7FFF0000)]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


if __name__ == "__main__":
    main()
