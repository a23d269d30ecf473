"""Pushes a bundle to a dataset repository of the hub."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from posttrainbench.errors import MissingError, PtbError, UsageError

FOLDER = "bundles"
REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


NOT_LOGGED_IN = "Publishing needs a token of the hub with leave to write: set HF_TOKEN, or log in with `hf auth login`."


def push(bundle: Path, name: str, repo: str, *, pull_request: bool, endpoint: str | None = None) -> str:
    """Commit the file as `bundles/<name>` to the dataset repository `repo`; returns the address of the commit, or of
    the pull request. Raises MissingError without library, token or network, UsageError where the hub refuses."""
    check_repo(repo)
    with reaching(repo, "dataset"):
        from huggingface_hub import HfApi, get_token

        if not get_token():
            raise MissingError(NOT_LOGGED_IN)
        made = HfApi(endpoint=endpoint).upload_file(
            path_or_fileobj=str(bundle),
            path_in_repo=f"{FOLDER}/{name}",
            repo_id=repo,
            repo_type="dataset",
            commit_message=f"Add {name}",
            create_pr=pull_request,
        )
    return str(made.pr_url or made.commit_url)


def check_repo(repo: str) -> None:
    """Raises UsageError where the name is none that a repository can have."""
    if not REPO.fullmatch(repo):
        raise UsageError(f"{repo!r} is no repository of the hub; write it as org/name.")


@contextmanager
def reaching(repo: str, kind: str) -> Iterator[None]:
    """Turn what the hub or the network answers into a sentence."""
    try:
        from huggingface_hub import errors
    except ImportError:
        raise MissingError(
            "Publishing needs huggingface_hub: pip install 'posttrainbench[local]', or 'huggingface_hub' alone."
        ) from None
    try:
        yield
    except errors.RepositoryNotFoundError:
        raise UsageError(
            f"The hub knows no {kind} {repo} that this token may see. Create it on the hub first, or check the name."
        ) from None
    except errors.OfflineModeIsEnabled:
        raise MissingError("The hub cannot be reached since HF_HUB_OFFLINE is set. Unset it to publish.") from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise UsageError(
                f"The hub does not let this token write to {repo} (status {status}). Use a token with leave to write, "
                "or --pull-request."
            ) from None
        raise _unreachable(error) from None
    except PtbError:
        raise
    except Exception as error:  # What the HTTP library raises; which library that is differs between hub versions.
        raise _unreachable(error) from error


def _unreachable(error: Exception) -> MissingError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return MissingError(f"The hub did not take it: {first.rstrip('.')}. Nothing is lost; publish it again.")
