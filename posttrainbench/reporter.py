"""What a person sees while a run goes on: one line a stage, and a status line that moves. It all goes to stderr."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.text import Text


class Reporter(Protocol):
    """Takes what the pipeline has to say."""

    def stage(self, name: str, title: str) -> AbstractContextManager[None]:
        """A stage begins; the returned context ends it."""
        ...

    def status(self, text: str) -> None:
        """What is going on right now; replaces the last status."""
        ...

    def say(self, text: str) -> None:
        """A line that stays."""
        ...


class Silent:
    """Says nothing."""

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        yield

    def status(self, text: str) -> None:
        pass

    def say(self, text: str) -> None:
        pass


class Terminal:
    """Lines for a terminal, with a spinner where it is one; elsewhere plain lines, one status in ten seconds."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._spinner = self._console.status("") if self._console.is_terminal else None
        self._title = ""
        self._said_at = 0.0
        self._said = ""

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        self._title = title
        self._said_at = time.monotonic()
        begin = time.monotonic()
        self.status("")
        if self._spinner:
            self._spinner.start()
        try:
            yield
        finally:
            if self._spinner:
                self._spinner.stop()
            failed = sys.exc_info()[0] is not None
            mark = "[red]✗[/red]" if failed else "[green]✓[/green]"
            self._console.print(f"{mark} {name:<9} {title}  [dim]{time.monotonic() - begin:.1f} s[/dim]")

    def status(self, text: str) -> None:
        # Text, not markup: part of it may come from the agent's output.
        line = Text(f"{self._title}  ") + Text(text, style="dim")
        line.truncate(max(20, self._console.width - 4))
        if self._spinner:
            self._spinner.update(line)
        elif text and text != self._said and time.monotonic() - self._said_at > 10:
            self._said_at, self._said = time.monotonic(), text
            self._console.print(Text("  ") + Text(text, style="dim"))

    def say(self, text: str) -> None:
        self._console.print(Text(f"  {text}"))


@contextmanager
def following(report: Callable[[str], None], read: Callable[[], str], every: float = 1.0) -> Iterator[None]:
    """Report what `read` gives, every so many seconds, while the block runs."""
    over = threading.Event()

    def loop() -> None:
        while not over.wait(every):
            report(read())

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
