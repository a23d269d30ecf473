"""Answers on the disk as they come, so that a killed evaluation asks none of them twice. A part of cell.py.

`answers.jsonl` begins with a key that names all that an answer depends on; answers under another key are not taken.
Then, a line each: a try that begins, the engine that it loaded, the answers to one or more questions, how a try ended.
A line that a kill tore off is cut away.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INTERRUPTED = "interrupted"
"""Outcome of a try that did not come to say how it ended."""


@dataclass(frozen=True)
class Asked:
    """One request for an answer: a question's id, the number of its sample, and lm-eval's instance."""

    id: str
    sample: int
    request: Any

    @property
    def key(self) -> tuple[str, int]:
        """What the journal knows it by."""
        return self.id, self.sample

    @property
    def prompt(self) -> str:
        """The whole text that the model gets."""
        return str(self.request.args[0])


class Journal:
    """The answers of one evaluation and its tries. Without a path it lives in memory only."""

    def __init__(self, path: Path | None, key: str) -> None:
        self.answers: dict[tuple[str, int], str] = {}
        self.tries: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {}
        self._begun = self._synced = time.monotonic()
        self._handle: int | None = None
        if path is not None:
            self._open(path, key)

    def begin(self, batch: int, memory: float | None) -> None:
        """A try begins, with that many questions at a time and that share of the GPU's memory."""
        self._begun = time.monotonic()
        self._write({"begin": {"batch_size": batch, "memory": memory}})

    def engine(self, facts: dict[str, Any]) -> None:
        """What answers, once it is loaded."""
        self._write({"engine": facts})

    def add(self, answered: Iterable[tuple[Asked, str]]) -> None:
        """Keep answers, all in one line: after a kill there are all of them or none."""
        self._write({"answers": [[one.id, one.sample, text] for one, text in answered], "t": self._seconds()})

    def end(self, outcome: str) -> None:
        """How the try ended."""
        self._write({"end": outcome, "t": self._seconds()}, sync=True)

    def _seconds(self) -> float:
        return round(time.monotonic() - self._begun, 3)

    def _open(self, path: Path, key: str) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with os.fdopen(os.dup(self._handle), "rb") as file:
            lines = file.read().splitlines(keepends=True)
        good = 0
        for number, line in enumerate(lines):
            if not self._take(line, key, first=number == 0):
                break
            good += len(line)
        os.ftruncate(self._handle, good)
        os.lseek(self._handle, 0, os.SEEK_END)
        if not good:
            self._write({"key": key}, sync=True)

    def _take(self, line: bytes, key: str, first: bool) -> bool:
        """Learn what a line says; whether it is whole and what it should be."""
        try:
            told = json.loads(line) if line.endswith(b"\n") else None
            if first:
                return isinstance(told, dict) and told.get("key") == key
            self._learn(told)
        except (ValueError, TypeError, KeyError, IndexError, RecursionError):
            return False
        return True

    def _learn(self, told: Any) -> None:
        if "begin" in told:
            begun = {"batch_size": int(told["begin"]["batch_size"]), "memory": told["begin"]["memory"]}
            self.tries.append({**begun, "outcome": INTERRUPTED, "answered": 0, "seconds": 0.0})
        elif "engine" in told:
            self.facts = dict(told["engine"])
        elif "answers" in told:
            new = {(str(id_), int(sample)): str(text) for id_, sample, text in told["answers"]}
            last, seconds = self.tries[-1], float(told["t"])
            self.answers |= new
            last["answered"] += len(new)
            last["seconds"] = seconds
        elif "end" in told:
            self.tries[-1] |= {"outcome": str(told["end"]), "seconds": float(told["t"])}
        elif "key" not in told:
            raise ValueError("a line of no known kind")

    def _write(self, told: dict[str, Any], sync: bool = False) -> None:
        self._learn(told)
        if self._handle is None:
            return
        line = json.dumps(told).encode() + b"\n"
        while line:
            line = line[os.write(self._handle, line) :]
        # A kill takes nothing from what was written; syncing is for the loss of power, and an engine must not wait.
        if sync or time.monotonic() - self._synced > 1.0:
            os.fsync(self._handle)
            self._synced = time.monotonic()


class Progress:
    """Says how many answers there are and how long the others will take."""

    def __init__(self, total: int, done: int) -> None:
        self.total, self.done = total, done
        self._before, self._begun, self._said = done, time.monotonic(), 0.0

    def add(self, number: int) -> None:
        """So many more answers; said once a second at most, and at the end."""
        self.done += number
        now = time.monotonic()
        if number and (self.done == self.total or now - self._said >= 1.0):
            self._said = now
            # The answers of an earlier process say nothing about how quick this one is.
            rate = (self.done - self._before) / max(now - self._begun, 1e-9)
            say(f"scored {self.done}/{self.total}, {(self.total - self.done) / rate:.0f} s left")


def seed_of(seed: int, keys: Iterable[tuple[str, int]]) -> int:
    """The seed for sampling the answers to these requests: it depends on nothing else, so not on what went before."""
    told = json.dumps([seed, list(keys)]).encode()
    return int.from_bytes(hashlib.sha256(told).digest()[:8], "big") >> 1


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)
