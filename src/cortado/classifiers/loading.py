"""A classifier from its file, of whatever kind it is."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cortado.arguments import FilePath, checked_arguments
from cortado.classifiers.boosted_trees import GradientBoostedDecisionTree
from cortado.classifiers.cut_and_count import FORMAT as CUTS
from cortado.classifiers.cut_and_count import CutAndCount
from cortado.errors import InputError, shown

_KERAS, _SKOPS, _JSON = ".keras", ".skops", ".json"
_NETWORKS = ("ConvolutionalNetwork", "MultiLayerPerceptron")


@checked_arguments
def load_classifier(path: FilePath) -> Any:
    """The classifier in a file that ``save`` wrote, by what is in it: a network, boosted trees, or cuts.

    Nothing in a file is executed: a network is made of numbers and texts alone, and the classes that files of
    skops may hold are listed. A loaded classifier predicts; compile it to evaluate it or to train on.

    Raises
    ------
    InputError
        The file cannot be read, holds no classifier of cortado, or another kind than its name says.
    """
    file = Path(path)
    kind = _kind(file)
    if file.suffix in _LOADERS and file.suffix != kind:
        raise InputError(f"{file} is not what its name says: it holds {_CONTENT[kind]}")
    return _LOADERS[kind](file)


def _kind(path: Path) -> str:
    """The ending that the name of a file should have by its content."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                members = set(archive.namelist())
            if {"config.json", "model.weights.h5"} <= members:
                return _KERAS
            if "schema.json" in members:
                return _SKOPS
        elif _is_cuts(path):
            return _JSON
    except (OSError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read the classifier {path}: {reason}") from error
    raise InputError(f"{path} holds no classifier: it is no file of Keras, of skops, or of cuts")


def _is_cuts(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(1) != b"{":
            return False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(content, dict) and content.get("format") == CUTS


def _load_network(path: Path) -> Any:
    """A network, after a look at what Keras would make of the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = json.loads(archive.read("config.json"))
        name, config = content["registered_name"], content["config"]
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is no valid file of Keras: {error}") from error
    if name not in {f"cortado>{network}" for network in _NETWORKS}:
        raise InputError(f"{path} holds no network of cortado, but {shown(content.get('class_name'))}")
    if not isinstance(config, dict) or any(isinstance(value, dict) for value in config.values()):
        raise InputError(f"{path} is no valid network: its configuration holds more than numbers and texts")

    # Keras finds the classes among those that are imported.
    import cortado.classifiers.convolutional_network
    import cortado.classifiers.multilayer_perceptron  # noqa: F401
    from cortado.models.tensorflow import keras

    try:
        with tempfile.TemporaryDirectory() as folder:
            # Keras goes by the name of a file.
            named = path if path.suffix == _KERAS else shutil.copy(path, Path(folder) / f"model{_KERAS}")
            return keras.saving.load_model(named, compile=False, safe_mode=True)
    except Exception as error:  # whatever Keras and HDF5 raise for a damaged file
        raise InputError(f"{path} is no valid network: {str(error).splitlines()[0]}") from error


_LOADERS: Mapping[str, Callable[[Path], Any]] = {
    _KERAS: _load_network,
    _SKOPS: GradientBoostedDecisionTree.load,
    _JSON: CutAndCount.load,
}
_CONTENT = {_KERAS: "a model of Keras", _SKOPS: "a file of skops", _JSON: "cuts"}
