"""How much of the session is left."""

import os
import time


class Clock:
    """Counts to the deadline that the session was given. `saving`: seconds that one more save of the model takes."""

    def __init__(self, deadline: float, saving: float = 5.0) -> None:
        self.deadline = deadline
        self.saving = saving

    @classmethod
    def of_session(cls) -> "Clock":
        """By PTB_DEADLINE, a value of time.monotonic(); ten minutes from now outside of a session."""
        return cls(float(os.environ.get("PTB_DEADLINE", time.monotonic() + 600)))

    def left(self) -> float:
        """Seconds that work may still take, with a save and a margin set aside."""
        return self.deadline - time.monotonic() - self.saving - 3

    def for_training(self, measuring: bool) -> float:
        """Seconds of what is left that training may take."""
        left = self.left()
        if not measuring:
            return max(5.0, left * 0.85)
        return max(5.0, left * (0.6 if left < 600 else 0.75))
