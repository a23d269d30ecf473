"""Plain output: whatever a program prints. Every line is a line of text, and nothing is an error."""

from collections.abc import Iterator

from posttrainbench.transcript import events as e
from posttrainbench.transcript.foreign import clipped

MAX_LINE = 20_000


def events(line: bytes) -> Iterator[e.Event]:
    """The line, bounded."""
    yield e.Plain(text=clipped(line.decode("utf-8", "replace").rstrip("\r\n"), MAX_LINE))
