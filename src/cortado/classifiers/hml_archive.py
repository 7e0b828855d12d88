"""Datasets of hep-ml-lab (0.4) as labelled events: its ``.ds`` archives.

Such an archive is a zip of ``configs.json``, which describes observables or the making of images, and
``data.npz``, with the arrays ``samples`` and ``targets``; where the dataset was split, also of ``train.ds``,
``test.ds`` and maybe ``val.ds``, which are such archives again. Nothing in it is executed: classes that the
description names are not looked up, arrays of objects (pickle) are refused, and so is what would not fit
into the memory that is allowed.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.classifiers.labelled_events import DEFAULT_FOLDS, LabelledEvents
from cortado.classifiers.observable_columns import rows_of_numbers
from cortado.classifiers.observables import with_missing
from cortado.errors import ConfigError, InputError, checked_integer, shown
from cortado.folds import content_ids

_DESCRIPTION, _DATA = "configs.json", "data.npz"
_PARTS = ("train.ds", "val.ds", "test.ds")
_ARRAYS = ("samples.npy", "targets.npy")
_MOST_CLASSES = 1000
_MOST_BYTES = 4 * 2**30


@dataclass(frozen=True)
class HmlArchive:
    """All events of an archive, and its parts where it was split.

    Every event has the weight 1: archives have no weights. The parts are those of the archive; those of
    ``events.split`` are others.
    """

    events: LabelledEvents
    train: LabelledEvents | None = None
    validation: LabelledEvents | None = None
    test: LabelledEvents | None = None


def read_hml_archive(
    path: str | Path,
    classes: Sequence[str] | None = None,
    *,
    missing: float | None = None,
    n_folds: int = DEFAULT_FOLDS,
    max_bytes: int = _MOST_BYTES,
) -> HmlArchive:
    """Read an archive.

    Images of archives have the axes (w, h); here they are (h, w), as those of
    :func:`cortado.classifiers.jet_images`.

    Parameters
    ----------
    path
        The ``.ds`` file.
    classes
        Names of targets 0, 1 …, by default these numbers as text.
    missing
        What stands in place of an observable that does not exist; without it, such events are an error.
    n_folds
        Into how many folds events are split.
    max_bytes
        Memory that one array or part of the archive may take.

    Raises
    ------
    ConfigError
        For classes that are fewer than the targets.
    InputError
        For a file that is no such archive, is larger than allowed, has members that do not belong there or
        holds points that were not made into images.
    """
    checked_integer("max_bytes", max_bytes, 1)
    reader = _Reader(str(path), missing, n_folds, max_bytes)
    try:
        with zipfile.ZipFile(path) as archive:
            found = reader.parts(archive)
    except (OSError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputError(f"{path} is not an archive of hep-ml-lab: {error}") from error
    largest = max(int(targets.max(initial=1)) for _, targets, _ in found.values())
    names = tuple(map(str, range(largest + 1))) if classes is None else tuple(classes)
    if len(names) <= largest:
        raise ConfigError(f"classes must be names of targets 0 to {largest}, got {list(names)}")
    events = {part: reader.labelled(arrays, names) for part, arrays in found.items()}
    events[""].with_all_classes(f"the archive {path}")
    return HmlArchive(events[""], *(events.get(part) for part in _PARTS))


Arrays = tuple[npt.NDArray[Any], npt.NDArray[np.int64], tuple[str, ...]]
"""Samples, targets and names of observables."""


@dataclass(frozen=True)
class _Reader:
    path: str
    missing: float | None
    n_folds: int
    max_bytes: int

    def parts(self, archive: zipfile.ZipFile) -> dict[str, Arrays]:
        """The arrays of the archive under the name "", and of each of its parts."""
        self._check_members(archive, {_DESCRIPTION, _DATA, *_PARTS})
        found = {"": self._arrays(archive)}
        for part in sorted(set(archive.namelist()) & set(_PARTS)):
            with self._zip(archive, part) as inner:
                self._check_members(inner, {_DESCRIPTION, _DATA})
                found[part] = self._arrays(inner)
        return found

    def labelled(self, arrays: Arrays, classes: tuple[str, ...]) -> LabelledEvents:
        """The events of one part."""
        samples, targets, observables = arrays
        filled = samples if self.missing is None else self._filled(samples, observables, self.missing)
        return LabelledEvents(
            filled.astype(np.float32),
            targets,
            np.ones(len(targets)),
            content_ids(rows_of_numbers(filled)),
            classes,
            observables,
            np.array(classes, np.str_)[targets],
            self.n_folds,
        )

    def _filled(
        self, samples: npt.NDArray[Any], observables: tuple[str, ...], missing: float
    ) -> npt.NDArray[Any]:
        """Observables with the missing value for NaN, which stands for absent values; images as they are."""
        filled = samples.astype(np.float64)
        for i, name in enumerate(observables):
            try:
                filled[:, i] = with_missing(filled[:, i], ~np.isnan(filled[:, i]), missing)
            except InputError as error:
                raise InputError(f"{self.path}: observable {name!r}: {error}") from error
        return filled

    def _arrays(self, archive: zipfile.ZipFile) -> Arrays:
        names: tuple[str, ...]
        described = self._description(archive)
        with self._zip(archive, _DATA) as data:
            self._check_members(data, set(_ARRAYS))
            samples, targets = (self._array(data, name) for name in _ARRAYS)
        with np.errstate(invalid="ignore"):
            numbers = targets.reshape(-1).astype(np.int64)
        if not np.array_equal(numbers, targets.reshape(-1)) or not _are_classes(numbers):
            found = shown(np.unique(targets).tolist())
            raise self._error(f"targets must be integers from 0 to {_MOST_CLASSES - 1}, got {found}")
        kind = described.get("class_name")
        if kind == "ImageDataset":
            values, names = self._images(samples, described), ()
        elif kind == "SetDataset":
            values, names = samples, self._names(described)
        else:
            raise self._error(f"class_name must be SetDataset or ImageDataset, got {kind!r}")
        if values.shape[:1] != numbers.shape or (names and values.shape[1:] != (len(names),)):
            raise self._error(
                f"samples and targets do not fit: shapes {samples.shape} and {targets.shape}, with "
                f"{len(names)} observables"
            )
        return values, numbers, names

    def _images(self, samples: npt.NDArray[Any], described: Mapping[str, Any]) -> npt.NDArray[Any]:
        if not described.get("been_pixelated") or samples.ndim != 3:
            raise self._error("it holds points that were not made into images, of which no event is known")
        return samples.transpose(0, 2, 1)

    def _names(self, described: Mapping[str, Any]) -> tuple[str, ...]:
        try:
            observables = described["observable_configs"].values()
            return tuple(_name(o["class_name"], o["config"]) for o in observables)
        except (AttributeError, KeyError, TypeError) as error:
            raise self._error(f"its observables are not described: {error}") from error

    def _description(self, archive: zipfile.ZipFile) -> Mapping[str, Any]:
        try:
            described = json.loads(archive.read(_DESCRIPTION))
        except ValueError as error:
            raise self._error(f"{_DESCRIPTION} is not JSON: {error}") from error
        if not isinstance(described, dict):
            raise self._error(f"{_DESCRIPTION} must describe a dataset, got {shown(described)}")
        return described

    def _zip(self, archive: zipfile.ZipFile, name: str) -> zipfile.ZipFile:
        return zipfile.ZipFile(io.BytesIO(archive.read(name)))

    def _array(self, data: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
        """An array of numbers; what its header says is checked against the size of the member first."""
        with data.open(name) as file:
            try:
                version = np.lib.format.read_magic(file)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }[version]
                shape, fortran, dtype = read(file)
            except (ValueError, KeyError) as error:
                raise self._error(f"{name} is no array: {error}") from error
            if dtype.kind not in "fiub":
                raise self._error(f"{name} must hold numbers, got {dtype}")
            content = file.read()
        count = int(np.prod(shape, dtype=object))
        if any(n < 0 for n in shape) or len(content) != count * dtype.itemsize:
            raise self._error(f"{name} says shape {shape} of {dtype}, and holds {len(content)} bytes")
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")

    def _check_members(self, archive: zipfile.ZipFile, allowed: set[str]) -> None:
        names = archive.namelist()
        needed = allowed - set(_PARTS)
        if len(set(names)) < len(names) or not needed <= set(names) <= allowed:
            raise self._error(f"it must hold {sorted(needed)} and nothing unknown, got {shown(names)}")
        for member in archive.infolist():
            if member.file_size > self.max_bytes:
                raise self._error(
                    f"{member.filename} would take {member.file_size} bytes, more than max_bytes = "
                    f"{self.max_bytes}"
                )

    def _error(self, reason: str) -> InputError:
        return InputError(f"{self.path} is not an archive of hep-ml-lab that can be read: {reason}")


def _are_classes(targets: npt.NDArray[np.int64]) -> bool:
    return bool(((targets >= 0) & (targets < _MOST_CLASSES)).all())


def _name(class_name: str, config: Mapping[str, Any]) -> str:
    """The name of an observable as hep-ml-lab writes it."""
    quantity = config.get("class_name") or class_name
    return f"{config['physics_object']}.{quantity}" if config.get("physics_object") else str(quantity)
