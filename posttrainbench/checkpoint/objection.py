"""Why a checkpoint is refused, as it travels from the place that finds it to `freeze`."""

from typing import Literal

Code = Literal["no_checkpoint", "invalid_checkpoint"]


class Objection(Exception):  # noqa: N818 - it ends in a recorded outcome, not in a failed command
    """The checkpoint cannot be taken; the message says what was found, what was expected and what to do."""

    def __init__(self, reason: str, code: Code = "invalid_checkpoint") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def shown(name: object) -> str:
    """A foreign name in a sentence: quoted, ASCII only, short."""
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:76]}...{text[-1]}"
