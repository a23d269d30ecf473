"""Submits the base model untouched."""

import os
import shutil
import sys
from pathlib import Path


def main() -> int:
    """Copy the base model into final_model/."""
    model, final = Path(os.environ["PTB_MODEL"]), Path(os.environ["PTB_WORKSPACE"]) / "final_model"
    # Contents only: the base is mounted read-only, and a folder that takes its mode could not be written to again.
    shutil.copytree(model, final, copy_function=shutil.copyfile, dirs_exist_ok=True)
    print(f"Copied the base model to {final}: {sum(1 for path in final.rglob('*') if path.is_file())} files.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
