"""Which module reads which format."""

from collections.abc import Callable, Iterator

from posttrainbench.transcript import claude, codex, gemini, mini, opencode, qwen, text
from posttrainbench.transcript.events import Event
from posttrainbench.transcript.foreign import Record, record

FORMATS: dict[str, Callable[[Record], Iterator[Event]]] = {
    "claude": claude.events,
    "codex": codex.events,
    "gemini": gemini.events,
    "mini": mini.events,
    "opencode": opencode.events,
    "qwen": qwen.events,
}
"""What a JSON line says, by the name of the format. Any other format is plain text."""


def read(name: str, line: bytes) -> Iterator[Event]:
    """What a line says. A line that is no JSON object is text, whatever the format."""
    known = FORMATS.get(name)
    found = record(line) if known else None
    return known(found) if known and found is not None else text.events(line)
