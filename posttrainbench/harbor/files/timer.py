"""Prints how much of your time is left at least: `python timer.py`, or `python timer.py --seconds` for a number alone.

Harbor tells nobody when the agent began, so it counts from the container's start, which was a little earlier.
"""

import os
import sys
import time
from pathlib import Path


def main() -> int:
    """Print the time left; 1 when it is over."""
    ticks = int(Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19])
    used = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    left = max(0.0, float(os.environ["PTB_HOURS"]) * 3600 - used)
    if "--seconds" in sys.argv[1:]:
        print(f"{left:.0f}")
    else:
        minutes, seconds = divmod(int(left), 60)
        hours, minutes = divmod(minutes, 60)
        print(f"{hours}:{minutes:02}:{seconds:02} left of {float(os.environ['PTB_HOURS']):g} hours")
    return 0 if left > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
