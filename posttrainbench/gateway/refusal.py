"""What a gateway will not do, as a sentence that the agent can read."""


class RefusedError(Exception):
    """An answer with an HTTP status and a sentence instead of what was asked for."""

    def __init__(self, status: int, sentence: str, code: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.code = code
        """A word for client libraries: `GatedRepo`, `EntryNotFound`."""


class AwayError(Exception):
    """The other side could not be reached, or said that it cannot answer now."""
