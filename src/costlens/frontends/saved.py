"""A saved model's file: what kind it is, and its contents. Nothing in it is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from costlens.errors import InputError
from costlens.frontends.archive import MAX_CONFIG, Archive, read_archive
from costlens.frontends.hdf5 import DAMAGED, headers, opened
from costlens.frontends.hdf5_text import texts
from costlens.frontends.held import Held

_NONE = "The file stores no weights that can be compared with its config."
PASS_MODEL = "Pass the model itself, as model.py:name or to costlens.analyze."


@dataclass(frozen=True, slots=True)
class Saved:
    """A file's contents: the model's config, the version of Keras, what weights it stores.

    ``why`` says why weights were not read, where they were not.
    """

    where: str
    config: Mapping[str, Any]
    keras: str = ""
    held: Held | None = None
    why: str = ""


def open_saved(path: Path) -> Saved:
    """What a file holds; raises InputError where it is damaged or holds no model."""
    match path.suffix.lower():
        case ".keras":
            return _archive(path)
        case ".h5" | ".hdf5":
            return _hdf5(path)
        case _:
            return Saved(str(path), _json(path))


def _archive(path: Path) -> Saved:
    archive: Archive = read_archive(path)
    version = str(_object(archive.metadata, f"{path}/metadata.json").get("keras_version", ""))
    config = _object(archive.config, f"{path}/config.json")
    if archive.held is not None and not archive.held.size():
        return Saved(str(path), config, version, None, _NONE)
    return Saved(str(path), config, version, archive.held, archive.why)


def _hdf5(path: Path) -> Saved:
    """A whole model as ``model.save("model.h5")`` writes it."""
    where = str(path)
    try:
        with open(path, "rb") as file:
            found = texts(file, ("model_config", "keras_version"), MAX_CONFIG)
    except OSError as error:
        raise InputError(where, f"cannot be read: {error.strerror or error}") from error
    except (ValueError, IndexError) as error:
        raise InputError(where, f"cannot be read as HDF5: {error}", DAMAGED) from error
    if "model_config" not in found:
        raise InputError(where, "holds weights and no model", PASS_MODEL)
    with opened(path, where) as h5:
        stored = headers(h5, where, "model_weights").groups.get("model_weights", Held())
    held = replace(stored, by_name=True)
    config = _object(found["model_config"], where)
    version = found.get("keras_version", b"")[:100].decode("utf-8", "replace")
    return Saved(where, config, version, *((held, "") if held.size() else (None, _NONE)))


def _json(path: Path) -> Mapping[str, Any]:
    """A configuration; other kinds of JSON are told apart here."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_CONFIG + 1)
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_CONFIG:
        raise InputError(str(path), f"is larger than {MAX_CONFIG // 2**20} MiB")
    made = _object(content, str(path))
    if "nodes" in made or str(made.get("schema", "")).startswith("costlens"):
        what = "is a graph or a report of costlens, which is not read yet"
        raise InputError(str(path), what, PASS_MODEL)
    if "class_name" not in made and "layers" not in made:
        fix = "Write one with model.to_json(), or pass a .keras file."
        raise InputError(str(path), "is no configuration of a Keras model", fix)
    return made


def _object(content: bytes, where: str) -> Mapping[str, Any]:
    """A JSON object, or an InputError in one line."""
    try:
        value = json.loads(content)
    except RecursionError as error:
        raise InputError(where, "is nested too deeply") from error
    except ValueError as error:
        raise InputError(where, f"is no JSON ({error})", "Save the model again.") from error
    if not isinstance(value, Mapping):
        raise InputError(where, "is no configuration of a Keras model")
    return value
