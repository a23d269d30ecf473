"""Rows of GPQA: the diamond questions are `test`, the rest of the main set gives `dev` and `shots`.

A source is the hub's CSV file, or a ZIP that holds it, encrypted with the password that the authors publish; that is
read in memory, so that nothing of it lies unpacked on disk. The order of a question's choices follows from `shuffle`,
which stands in its row: a choice's place is decided by the SHA-256 of that text and the choice, whatever the version of
Python.
"""

import csv
import hashlib
import io
import zipfile
from pathlib import Path

SEED = "gpqa-1"
PASSWORD = b"deserted-untie-orchid"
SHOTS = 4
LETTERS = "ABCD"
WRONG = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")

Row = dict[str, str]


def rows(sources: dict[str, Path]) -> dict[str, list[Row]]:
    """The rows of each split; `sources` names the files of `diamond` and `main`."""
    test = [_row(read) for read in _read(sources["diamond"], "gpqa_diamond.csv")]
    ids = {row["id"] for row in test}
    rest = [row for row in map(_row, _read(sources["main"], "gpqa_main.csv")) if row["id"] not in ids]
    rest.sort(key=lambda row: hashlib.sha256(row["shuffle"].encode()).hexdigest())
    return {"dev": rest[:-SHOTS], "test": sorted(test, key=lambda row: row["id"]), "shots": rest[-SHOTS:]}


def _read(path: Path, name: str) -> list[Row]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            member = next(one for one in archive.namelist() if one.rpartition("/")[2] == name)
            content = archive.read(member, pwd=PASSWORD)
    else:
        content = path.read_bytes()
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline="")))


def _row(read: Row) -> Row:
    name, right = read["Record ID"].strip(), read["Correct Answer"].strip()
    shuffle = f"{SEED}:{name}"
    # Two choices may read the same: the number tells them apart.
    choices = list(enumerate([right, *(read[column].strip() for column in WRONG)]))
    choices.sort(key=lambda choice: hashlib.sha256(f"{shuffle}:{choice[0]}:{choice[1]}".encode()).hexdigest())
    return {
        "id": name,
        "question": read["Question"].strip(),
        **{letter.lower(): text for letter, (_, text) in zip(LETTERS, choices, strict=True)},
        "explanation": read["Explanation"].strip(),
        "answer": next(letter for letter, (number, _) in zip(LETTERS, choices, strict=True) if number == 0),
        "shuffle": shuffle,
    }
