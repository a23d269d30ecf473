"""The agent's own folders: a workspace with exactly three files (and a fourth for an agent that can be continued), a
home with the settings that its program needs, an empty tmp."""

import shutil
from importlib import resources
from pathlib import Path

from posttrainbench.agent import prompt
from posttrainbench.folder import RunFolder
from posttrainbench.plan import Plan
from posttrainbench.strict import disk, manifest, write_bytes

FILES = ("evaluate.py", "timer.py")
PROMPT = "prompt.md"
CONTINUE = "continue.md"


def prepare(plan: Plan, folder: RunFolder, model: Path) -> dict[str, str]:
    """Make the folders anew and return the digest of each file that the agent is told not to change, by its path in
    the run's folder. The bench must lie there already; `model` is the base model's folder, which is not copied."""
    del model  # It is mounted where it lies; the run's digests of it are taken by the stage that obtained it.
    for path in (folder.workspace, folder.home, folder.tmp):
        with disk(f"make the folder {path.name}"):
            if path.exists():
                shutil.rmtree(path)
            path.mkdir(parents=True)
    for name in FILES:
        content = resources.files("posttrainbench.agent").joinpath("files", name).read_bytes()
        write_bytes(folder.workspace / name, content)
    prompt.write(plan, folder.bench, folder.workspace / PROMPT)
    if plan.agent.resume_command:
        write_bytes(folder.workspace / CONTINUE, prompt.CONTINUE.encode())
    _lay_home(Path(plan.agent.folder) / "home", folder.home)
    protected = {f"workspace/{name}": digest for name, digest in manifest(folder.workspace).items()}
    return protected | {f"bench/{name}": digest for name, digest in manifest(folder.bench).items()}


def _lay_home(source: Path, home: Path) -> None:
    """Copy the settings that an agent's program reads at its start."""
    if source.is_dir():
        with disk("lay out the agent's home folder"):
            shutil.copytree(source, home, dirs_exist_ok=True)
