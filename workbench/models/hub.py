"""Where a checkpoint lies on this machine, and fetching one from the Hugging Face hub: only one that the user named,
only the files that are read."""

from __future__ import annotations

import os
import re
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants, errors

from workbench.errors import CheckpointError, OfflineError, UnknownModelError
from workbench.models.checkpoint import first_line
from workbench.models.registry import ModelSpec, assets_folder

# Mistral's repositories hold every weight three times (safetensors, .bin, consolidated): these patterns take it once.
FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
_PATIENCE = 10.0  # seconds for the hub to answer
_COMMIT = re.compile(r"[0-9a-f]{40}")


def folder_of(spec: ModelSpec, revision: str | None = None) -> Path:
    """Where the files of a model lie on this machine; never a download (OfflineError for a hub model not here)."""
    if spec.kind == "twin":
        return assets_folder() / spec.location
    if spec.kind == "folder":
        return Path(spec.location)
    return fetch(spec, revision=revision, local_files_only=True)


def fetch(spec: ModelSpec, *, revision: str | None = None, local_files_only: bool | None = None) -> Path:
    """The folder of the checkpoint in the hub's local cache, downloaded first where it is not there.

    A pinned commit that lies in the cache is used without asking the hub. ``local_files_only`` or HF_HUB_OFFLINE=1
    forbid the download; OfflineError then says how to get the files. Downloads show huggingface_hub's progress bars.
    """
    wanted = revision or spec.revision
    offline = constants.HF_HUB_OFFLINE if local_files_only is None else local_files_only or constants.HF_HUB_OFFLINE
    if offline or (wanted and _COMMIT.fullmatch(wanted)):
        try:
            return _snapshot(spec, wanted, local_files_only=True)
        except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
            if offline:
                partly = _is_partial(error)
                raise _offline(spec, wanted, "downloads are switched off", partly=partly) from None
    try:
        # One question first: without a network it fails in no time, where the download would retry for 23 s.
        huggingface_hub.HfApi().model_info(spec.location, revision=wanted, timeout=_PATIENCE)
        return _snapshot(spec, wanted, local_files_only=False)
    except errors.GatedRepoError:
        raise CheckpointError(
            f"The hub gives {spec.location} only to accounts that accepted its licence",
            remedy=f"Accept it at {constants.ENDPOINT}/{spec.location} and log in with: hf auth login",
        ) from None
    except errors.RepositoryNotFoundError:
        raise UnknownModelError(
            f"The hub has no model {spec.location}, or it is private",
            remedy="Check the spelling, or log in with: hf auth login",
        ) from None
    except errors.RevisionNotFoundError:
        raise UnknownModelError(
            f"{spec.location} has no revision {wanted}", remedy="Name a branch, tag or commit that its page lists"
        ) from None
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, errors.FileMetadataError) as error:
        partly = _is_partial(error)
        raise _offline(spec, wanted, "the hub cannot be reached", partly=partly) from None
    except OSError as error:
        raise CheckpointError(
            f"Downloading {spec.location} failed: {error.strerror or first_line(error)}",
            remedy=f"Free space in {constants.HF_HUB_CACHE}, or set HF_HOME to another disk",
        ) from None
    except Exception as error:
        # A dropped connection arrives as an exception of the HTTP library, whose name differs between hub versions.
        if not type(error).__module__.startswith("httpx"):
            raise
        raise _offline(spec, wanted, "the hub cannot be reached", partly=False) from None


def _is_partial(error: Exception) -> bool:
    """Whether the cache holds some of the files; by name, since older hub libraries lack the class."""
    return type(error).__name__ == "IncompleteSnapshotError"


def _snapshot(spec: ModelSpec, revision: str | None, *, local_files_only: bool) -> Path:
    return Path(
        huggingface_hub.snapshot_download(
            spec.location, revision=revision, allow_patterns=list(FILES), local_files_only=local_files_only
        )
    )


def _offline(spec: ModelSpec, revision: str | None, reason: str, *, partly: bool) -> OfflineError:
    pinned = f" --revision {revision}" if revision else ""
    where = "" if "HF_HOME" in os.environ else " (or copy its cache folder here and set HF_HOME)"
    return OfflineError(
        f"The weights of {spec.location} are {'only partly' if partly else 'not'} on this machine, and {reason}",
        remedy=f"Where there is a network, run: hf download {spec.location}{pinned}{where}, or pass a folder that "
        "holds the checkpoint",
    )
