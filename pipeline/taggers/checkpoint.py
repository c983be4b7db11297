"""Which model is meant: a folder or a name of the hub, pinned to a revision before any weight is read.

Needs huggingface_hub for names, and never torch or transformers: a recipe is made before a model is loaded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pipeline.errors import TaggerError, UsageError

CONFIG = "config.json"

_MATTERS = {".json", ".jinja", ".txt", ".model", ".safetensors", ".bin"}
_WHOLE_BYTES = 32 * 2**20
_REACH_S = 5
_SAMPLES, _SAMPLE_BYTES = 64, 65_536


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One model at one revision.

    model, revision: as they stand in the recipe, without a path. source, commit: what transformers loads (commit: None
    for a folder). config: the parsed config.json.
    """

    model: str
    revision: str
    source: str
    commit: str | None
    config: dict[str, Any]

    @property
    def model_type(self) -> str:
        return str(self.config.get("model_type", "unknown"))

    def context_tokens(self) -> int | None:
        """Positions its text model was made for; None where config.json leaves that to the class."""
        for part in (self.config.get("text_config"), self.config.get("llm_config"), self.config):
            if isinstance(part, dict) and isinstance(tokens := part.get("max_position_embeddings"), int):
                return tokens
        return None


def find(model: str, revision: str | None) -> Checkpoint:
    """The checkpoint of a folder, or of a hub's model at a revision (None: main).

    Raises TaggerError where there is none, or the hub can't be reached and the model isn't here, UsageError for a
    folder with a revision.
    """
    folder = Path(os.path.abspath(Path(model).expanduser()))  # noqa: PTH100 (a link keeps its own name)
    if folder.is_dir():
        if revision:
            raise UsageError(
                f"model_revision is {revision!r}, but {model} is a folder: leave SHOTLOG_MODEL_REVISION out "
                "(a folder's revision is made from what is in it)"
            )
        config = _read(folder / CONFIG, model)  # before the digest: what isn't a model has none
        return Checkpoint(folder.name, digest(folder), str(folder), None, config)
    if model.startswith((".", "/", "~")) or model.count("/") > 1 or folder.exists():
        raise TaggerError(
            f"there is no model folder {model}: give a folder that holds {CONFIG} and weights, "
            "or a model's name on the hub, as Qwen/Qwen2-VL-2B-Instruct"
        )
    path = _config_of_hub(model, revision)
    commit = path.parent.name  # …/snapshots/<commit>/config.json
    return Checkpoint(model, commit, model, commit, _read(path, model))


def digest(folder: Path) -> str:
    """Twelve hex digits of what decides a folder's answers: names and contents of its configuration, tokenizer and
    weight files.

    Files up to 32 MiB count whole. Of a larger one its size and 64 samples of 64 KiB count, evenly spread from its
    start to its end: weights trained further differ everywhere, a few bytes changed by hand could be missed.
    """
    seen = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix in _MATTERS and path.is_file()):
        size = path.stat().st_size
        seen.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _WHOLE_BYTES:
                seen.update(file.read())
                continue
            for number in range(_SAMPLES):
                file.seek(number * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                seen.update(file.read(_SAMPLE_BYTES))
    return seen.hexdigest()[:12]


def _read(path: Path, model: str) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise TaggerError(
            f"{model} holds no model that can be read: {CONFIG}: {error.strerror}. Give the folder that holds it"
        ) from error
    except ValueError as error:
        raise TaggerError(f"{CONFIG} of model {model} is not valid JSON ({error}): fetch the model again") from error
    if not isinstance(config, dict):
        raise TaggerError(f"{CONFIG} of model {model} is no JSON object: fetch the model again")
    return config


def _config_of_hub(model: str, revision: str | None) -> Path:
    """config.json in the hub's cache. What is there already is taken as it is: a scheduled run never changes its
    model because the hub has a newer one, and asks no server."""
    from huggingface_hub import constants, errors, hf_hub_download, try_to_load_from_cache

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries are no news: the error says it
    at = f" at revision {revision}" if revision else ""
    try:
        cached = try_to_load_from_cache(model, CONFIG, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
        if not constants.HF_HUB_OFFLINE:
            httpx.head(constants.ENDPOINT, timeout=_REACH_S)  # the client would try for half a minute to find that out
        return Path(hf_hub_download(model, CONFIG, revision=revision))
    except errors.HFValidationError as error:
        raise TaggerError(f"{model!r} is no folder and can't be a model's name on the hub: {error}") from error
    except errors.GatedRepoError as error:
        raise TaggerError(
            f"model {model} is given only to those who accepted its terms: accept them on its page at "
            f"{constants.ENDPOINT}, then set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise TaggerError(
            f"{constants.ENDPOINT} knows no model {model} (nor is it a folder here): check the name; "
            "a private one needs HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise TaggerError(f"model {model} has no revision {revision}: check SHOTLOG_MODEL_REVISION") from error
    except errors.RemoteEntryNotFoundError as error:
        raise TaggerError(f"model {model}{at} has no {CONFIG}: name one that transformers can load") from error
    except (OSError, httpx.HTTPError, errors.OfflineModeIsEnabled) as error:
        raise TaggerError(
            f"model {model}{at} isn't on this machine and {constants.ENDPOINT} can't be reached: connect once to fetch "
            "it, set HF_ENDPOINT to a mirror, or give a folder that holds it (transformers:./FOLDER)"
        ) from error
