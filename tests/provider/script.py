"""What the provider is told to do, as values and as a JSON file."""

from typing import Literal

from posttrainbench.gateway.ledger import Tokens
from posttrainbench.strict import Value

KEY = "sk-the-real-key-0123456789abcdef"


class Step(Value, frozen=True, kw_only=True):
    """One answer of the model: commands to run, or (without any) the text that ends its turn."""

    run: list[str] = []
    """Shell commands; several are called for in parallel, in one answer."""
    text: str = ""
    think: str = ""
    """Reasoning, shown the way each protocol shows it."""


class Side(Value, frozen=True, kw_only=True):
    """The answer to a request without a shell tool that holds a certain text."""

    holds: str
    text: str


Kind = Literal["status", "drop", "cut", "silence", "gzip", "big", "stream_error"]
Cause = Literal["auth", "rate_limit", "usage_limit", "overloaded", "context_exceeded", "refused", "server"]


class Fault(Value, frozen=True, kw_only=True):
    """Something that goes wrong with some requests."""

    kind: Kind = "status"
    """status: an error answer; drop: the connection is closed before any byte of an answer; cut: after `after` events;
    silence: nothing is sent for `seconds`, after `after` events; gzip: the answer is compressed; big: the answer's text
    grows by `size` bytes; stream_error: an error inside the stream, after `after` events."""
    route: str = "*"
    """Pattern (fnmatch) of routes: `anthropic.messages`, `openai.responses`, `openai.chat`, `gemini.generate`,
    `gemini.stream`, `*.count_tokens`, `*.models`. Alone `*` means those that a model answers."""
    first: int = 1
    """The first request of those routes that it befalls, counted from 1 since the start."""
    times: int = 1
    """How many; 0 means all that follow."""
    status: int = 500
    cause: Cause = "server"
    """What the body of the error says, in the provider's words."""
    retry_after: float | None = None
    after: int = 0
    seconds: float = 0.0
    size: int = 0


class Script(Value, frozen=True, kw_only=True):
    """All that a provider does. After the last step it ends every turn with the last text."""

    steps: list[Step]
    side: list[Side] = []
    faults: list[Fault] = []
    key: str = KEY
    """The only key that is let in, as `x-api-key`, `x-goog-api-key` or bearer."""
    models: list[str] = []
    """Names that are known; empty: any. Others get 404."""
    pace: float = 0.0
    """Seconds between the events of a stream."""

    def step(self, results: int, said: list[str]) -> int:
        """Index of the step that comes next, for a conversation with so many results of tools, in which the assistant
        has said that."""
        left = list(said)
        for index, step in enumerate(self.steps):
            if step.run:
                if results < len(step.run):
                    return index
                results -= len(step.run)
            elif step.text in left:
                left.remove(step.text)
            else:
                return index
        return len(self.steps)

    def at(self, index: int) -> Step:
        """That step; the end of the turn once the script is through."""
        if index < len(self.steps):
            return self.steps[index]
        return Step(text=next((step.text for step in reversed(self.steps) if not step.run), "Done."))


SIDE = -1
"""The index of a side request in the log and for `tokens`."""


def tokens(step: int, *, writes: bool) -> Tokens:
    """What an answer to that step uses; `writes` where the protocol counts what is written to a cache (Anthropic)."""
    if step == SIDE:
        return Tokens(input=40, output=6)
    return Tokens(
        input=1000 + 10 * step + (0 if writes else 70),
        cached=300 * (step + 1),
        cache_write=70 if writes else 0,
        output=50 + step,
        reasoning=0 if writes else 20 + step,
    )


COUNTED = 1234
"""What every request to count tokens gets."""
