"""Brings a built site to where readers find it: a folder or git checkout, or a Space or data set of the hub.

Nothing is committed or pushed in a checkout: who publishes looks at the difference first. Only files that an earlier
publication put there are removed, so that a CNAME, a README or .git stay.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from posttrainbench.board import keeping
from posttrainbench.bundle import keys, publishing
from posttrainbench.errors import DigestError, MissingError, UsageError
from posttrainbench.strict import disk, write_bytes

LIST = ".ptb-published"
"""In the target: the files that are ours."""
OURS = ("agents", "assets", "boards", "compare", "data", "models", "plots", "runs", "tasks")
"""Folders of a site; what lies in them and is not of this build is removed from the hub."""
SHOWN = 5


def files(site: Path) -> dict[str, Path]:
    """The site's files by their paths in it. Raises DigestError where one holds what must not be published."""
    found = {
        path.relative_to(site).as_posix(): path
        for path in sorted(site.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    leaks = [str(leak) for leak, _ in zip(keys.scan(found), range(SHOWN), strict=False)]
    if leaks:
        raise DigestError(f"Nothing was published: {'; '.join(leaks)}. If it is a key, revoke it; leave that run out.")
    return found


def to_folder(site: Mapping[str, Path], target: Path) -> tuple[int, int]:
    """Bring the files into a folder; how many were written and removed. Raises UsageError where the folder holds files
    of somebody else under the same names."""
    known = keeping.listed(target / LIST)
    foreign = [name for name in site if (target / name).exists() and name not in known]
    if foreign:
        raise UsageError(
            f"{target} holds {foreign[0]}, which no publication put there; {len(foreign)} such files would be written "
            "over. Name an empty folder, or a checkout of the branch that holds nothing but the site."
        )
    if (target / ".git").exists():
        write_bytes(target / ".nojekyll", b"")  # Pages would leave out what begins with an underscore.
    written = 0
    with disk(f"write to {target}"):
        for name, path in site.items():
            place = target / name
            _refuse_links(place, target)
            if not place.is_file() or place.read_bytes() != path.read_bytes():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
                written += 1
        stale = [name for name in known if name not in site and (target / name).is_file()]
        for name in stale:
            _refuse_links(target / name, target)
            (target / name).unlink()
    write_bytes(target / LIST, "".join(f"{name}\n" for name in site).encode())
    return written, len(stale)


def to_hub(site: Path, kind: str, repo: str, *, pull_request: bool, endpoint: str | None = None) -> str:
    """Commit the site to a repository of the hub, of kind `space` or `dataset`; the address of the commit or the pull
    request. Raises as `publishing.push` does."""
    publishing.check_repo(repo)
    with publishing.reaching(repo, kind):
        from huggingface_hub import HfApi, get_token

        if not get_token():
            raise MissingError(publishing.NOT_LOGGED_IN)
        made = HfApi(endpoint=endpoint).upload_folder(
            folder_path=str(site),
            repo_id=repo,
            repo_type=kind,
            commit_message="Publish the leaderboard",
            create_pr=pull_request,
            delete_patterns=[f"{name}/*" for name in OURS],
        )
    return str(getattr(made, "pr_url", None) or made.commit_url)


def _refuse_links(place: Path, target: Path) -> None:
    if place.is_symlink() or any(one.is_symlink() for one in place.parents if one.is_relative_to(target)):
        raise UsageError(f"{place} goes through a link; the site is written into {target} alone.")
