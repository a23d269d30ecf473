"""Starts the supervisor by its folder's path, wherever that lies and whatever it is called there."""

import importlib
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

if __name__ == "__main__":
    # The folder itself is no place to import from: its modules belong to one package. What is beside it comes last.
    sys.path[:] = [*(path for path in sys.path if path != str(FOLDER)), str(FOLDER.parent)]
    sys.exit(importlib.import_module(f"{FOLDER.name}.session").main(Path(sys.argv[1])))
