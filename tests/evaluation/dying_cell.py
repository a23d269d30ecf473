"""cell.py that is killed: `python dying_cell.py BENCH ASKED MOMENT NUMBER OPTION …`.

It notes in the file ASKED what the engine answered, and kills itself at the NUMBERth batch: `answered` (its answers
are not kept yet), `kept` (they are), `torn` (the last line is without its end). NUMBER 0: never.
"""

import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

bench, asked_file, moment, number, *options = sys.argv[1:]
sys.path.insert(0, bench)
cell, engine, answers = map(importlib.import_module, ("cell", "cell_engine", "cell_answers"))


def die() -> None:
    """As `kill -9` from outside."""
    os.kill(os.getpid(), signal.SIGKILL)


class Dying(engine.Hf):  # type: ignore[misc, name-defined]
    """The engine, which does not live long."""

    def answer(self, asked: list[Any], batch: int) -> Any:
        """Answer until it dies."""
        for count, answered in enumerate(super().answer(asked, batch), 1):
            if count == int(number) and moment == "answered":
                die()
            with Path(asked_file).open("a") as file:
                file.writelines(f"{one.id} {one.sample}\n" for one, _ in answered)
            yield answered
            if count == int(number):
                if moment == "torn":
                    path = Path(options[options.index("--out") + 1], "answers.jsonl")
                    os.truncate(path, path.stat().st_size - 20)
                die()


engine.ENGINES["hf"] = Dying
sys.exit(cell.main(["--bench", bench, *options]))
