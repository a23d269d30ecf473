"""Models of the hub: which commit a revision means, and the files of that commit that a model consists of."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from posttrainbench.catalog import HubModel
from posttrainbench.errors import MissingError, PtbError

COMMIT = re.compile(r"[0-9a-f]{40}")
PATTERNS = [
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "preprocessor_config.json",
    "processor_config.json",
]
"""Weights, configs and tokenizer; no code, no pickles."""


def commit(source: HubModel, progress: Callable[[str], None]) -> str:
    """The commit that the revision means; asks the hub unless it is one already."""
    if COMMIT.fullmatch(source.revision):
        return source.revision
    with _reaching(source):
        from huggingface_hub import HfApi

        progress(f"asking the hub which commit {source.repo}@{source.revision} is")
        found = HfApi().model_info(source.repo, revision=source.revision, timeout=30).sha
    if not isinstance(found, str) or not COMMIT.fullmatch(found):
        raise MissingError(f"The hub named no commit for {source.repo}@{source.revision}. Give one: org/name@commit.")
    return found


def download(source: HubModel, folder: Path, progress: Callable[[str], None]) -> None:
    """Put the model's files into `folder`."""
    with _reaching(source):
        from huggingface_hub import HfApi, snapshot_download

        # Asked first, since this fails at once where the download would try again for half a minute.
        HfApi().model_info(source.repo, revision=source.revision, timeout=30)
        progress(f"fetching {source.repo}@{source.revision[:12]} from the hub (once)")
        snapshot_download(source.repo, revision=source.revision, local_dir=folder, allow_patterns=PATTERNS)
    shutil.rmtree(folder / ".cache", ignore_errors=True)


@contextmanager
def _reaching(source: HubModel) -> Iterator[None]:
    """Turn what the hub or the network answers into a sentence."""
    what = f"The model {source.repo}@{source.revision}"
    try:
        from huggingface_hub import errors
    except ImportError:
        raise MissingError(
            f"{what} comes from the hub, which needs huggingface_hub: pip install 'posttrainbench[local]'."
        ) from None
    try:
        yield
    except errors.GatedRepoError:
        raise MissingError(
            f"{what} is gated: accept its licence on its page, then set HF_TOKEN to a token of that account."
        ) from None
    except errors.RevisionNotFoundError:
        raise MissingError(f"The hub knows {source.repo}, but no revision {source.revision} of it.") from None
    except errors.RepositoryNotFoundError:
        raise MissingError(
            f"The hub knows no model {source.repo}, or it is private: check the name, or set HF_TOKEN."
        ) from None
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError):
        raise MissingError(f"{what} is not on this machine, and the hub cannot be reached. {_REMEDY}") from None
    except (ConnectionError, TimeoutError, errors.HfHubHTTPError) as error:
        raise _unreachable(what, error) from None
    except (OSError, PtbError):
        raise
    except Exception as error:  # What the HTTP library raises; which library that is differs between hub versions.
        raise _unreachable(what, error) from error


def _unreachable(what: str, error: Exception) -> MissingError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return MissingError(f"{what} could not be fetched from the hub: {first.rstrip('.')}. {_REMEDY}")


_REMEDY = (
    "Connect once (and unset HF_HUB_OFFLINE), name a mirror in HF_ENDPOINT, or give a local folder: --model ./folder."
)
