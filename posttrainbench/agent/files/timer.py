"""Prints how much of your time is left: `python timer.py`, or `python timer.py --seconds` for a number alone."""

import os
import sys
import time


def main() -> int:
    """Print the time left until the session is ended; 1 when it is over."""
    left = max(0.0, float(os.environ["PTB_DEADLINE"]) - time.monotonic())
    if "--seconds" in sys.argv[1:]:
        print(f"{left:.0f}")
    else:
        minutes, seconds = divmod(int(left), 60)
        hours, minutes = divmod(minutes, 60)
        print(f"{hours}:{minutes:02}:{seconds:02} left of {float(os.environ['PTB_HOURS']):g} hours")
    return 0 if left > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
