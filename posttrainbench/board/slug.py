"""Names for files and anchors, made from words that anybody may have chosen."""

import re

from posttrainbench.strict import digest_value

SAFE = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
LONGEST = 60


def slug(*words: str) -> str:
    """A file's name without its ending. Words that are safe, lower-case and short stay as they are; others get a part
    of their digest, so that different words never meet, not even on a disk that takes `A` for `a`."""
    plain = words[0] if len(words) == 1 else "-".join(words)
    if len(words) == 1 and SAFE.fullmatch(plain) and not plain.endswith("."):
        return plain
    stem = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:LONGEST].strip("-") or "x"
    return f"{stem}-{digest_value(list(words)).removeprefix('sha256:')[:8]}"
