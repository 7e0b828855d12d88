"""Classifiers on workers: ONNX graphs evaluated by onnxruntime, without the libraries that trained them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.coordinates import Features
from cortado.errors import ConfigError, InputError
from cortado.events import by_name, feature_array
from cortado.folds import fold_of

Floats = npt.NDArray[np.float64]

FORMAT = "cortado-classifier"
INPUT, OUTPUT = "observables", "probabilities"
PREFIX = "score_"

_MANY = 1_000_000  # values of observables or pixels at a time: between the layers there are more of them


@dataclass(frozen=True, eq=False)
class Scorer:
    """A classifier as ``export_onnx`` wrote it: a call gives the probabilities of the classes.

    It travels to workers as the bytes of its file; the session of onnxruntime, of one thread, is opened where
    it is first needed.

    Attributes
    ----------
    content
        The file.
    classes
        Names of the classes.
    observables
        Names of the observables, in order; none for images.
    shape
        Shape of the observables of an event: (d,), or (h, w) of an image.
    missing
        Whether NaN may stand for an observable that does not exist in an event.
    """

    content: bytes = field(repr=False)
    classes: tuple[str, ...]
    observables: tuple[str, ...]
    shape: tuple[int, ...]
    missing: bool

    @classmethod
    def load(cls, path: str | Path) -> Scorer:
        """Read a classifier. Raises ``InputError`` if the file is none that ``export_onnx`` wrote."""
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise InputError(f"cannot read the classifier {path}: {error.strerror}") from error
        try:
            metadata = _session(content).get_modelmeta().custom_metadata_map
        except ConfigError:
            raise
        except Exception as error:  # onnxruntime raises what it likes for a damaged or foreign file
            reason = str(error).splitlines()[0]
            raise InputError(f"{path} is no valid ONNX graph: {reason}") from error
        facts = {name: json.loads(value) for name, value in metadata.items()} if metadata else {}
        if (facts.get("format"), facts.get("version")) != (FORMAT, 1):
            raise InputError(f"{path} is an ONNX graph, but no classifier that cortado exported")
        classes, observables, shape = (tuple(facts[key]) for key in ("classes", "observables", "shape"))
        return cls(content, classes, observables, shape, bool(facts["missing"]))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scores: ``score_`` and the class."""
        return tuple(f"{PREFIX}{name}" for name in self.classes)

    @property
    def digest(self) -> str:
        """A hash of the file."""
        return hashlib.sha256(self.content).hexdigest()

    def __call__(self, observables: Any) -> Floats:
        """(n, n_classes) probabilities of the classes of n events.

        ``observables`` is an array (n, d), or (n, h, w) or (n, h, w, 1) of images, or anything that holds the
        observables by name. Raises ``InputError`` for other shapes, for absent names, and for numbers that
        are not finite in single precision unless they are NaN and the classifier knows missing ones.
        """
        x = self._singles(observables)
        scores = np.empty((len(x), len(self.classes)))
        step = max(1, _MANY // math.prod(self.shape))
        for first in range(0, len(x), step):
            rows = slice(first, first + step)
            scores[rows] = self._opened.run([OUTPUT], {INPUT: x[rows]})[0]
        return scores

    def _singles(self, observables: Any) -> npt.NDArray[np.float32]:
        if self.observables and by_name(observables):
            observables = feature_array(Features.declare(self.observables), observables)
        with np.errstate(over="ignore"):
            x = np.asarray(observables).astype(np.float32)
        if x.shape[1:] == (*self.shape, 1):
            x = x[..., 0]
        if x.ndim != len(self.shape) + 1 or x.shape[1:] != self.shape:
            wanted = ", ".join(map(str, ("n", *self.shape)))
            raise InputError(f"observables must have shape ({wanted}), got {x.shape}")
        bad = np.isinf(x) if self.missing else ~np.isfinite(x)
        if bad.any():
            columns = np.flatnonzero(bad.any(axis=0)) if self.observables else ()
            which = f" of {[self.observables[i] for i in columns]}" if self.observables else ""
            raise InputError(
                f"{np.count_nonzero(bad)} values{which} are not finite, which no score can be of"
            )
        return np.ascontiguousarray(x)

    @property
    def _opened(self) -> Any:
        if "session" not in self.__dict__:
            self.__dict__["session"] = _session(self.content)
        return self.__dict__["session"]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "session"}


@dataclass(frozen=True, eq=False)
class FoldedScorer:
    """One classifier for each of k folds; every event is scored by the one that did not see it.

    The k-th file is that of the classifier that was trained without fold k. The fold of an event is the same
    as in ``LabelledEvents`` and in the sinks: a hash of its identifier.
    """

    scorers: tuple[Scorer, ...]

    def __post_init__(self) -> None:
        if not self.scorers:
            raise ConfigError("a FoldedScorer needs one classifier for each fold, got none")
        first = self.scorers[0]
        for k, other in enumerate(self.scorers):
            if (other.classes, other.observables, other.shape) != (
                first.classes,
                first.observables,
                first.shape,
            ):
                raise ConfigError(
                    f"the classifiers of all folds must have the same classes and observables, those of fold "
                    f"{k} are {list(other.classes)} and {list(other.observables)}, those of fold 0 "
                    f"{list(first.classes)} and {list(first.observables)}"
                )

    @classmethod
    def load(cls, paths: Sequence[str | Path]) -> FoldedScorer:
        """Read the classifiers, in the order of the folds; errors as of :meth:`Scorer.load`."""
        if isinstance(paths, str | Path):
            raise ConfigError(f"paths must be a list, one file for each fold, got {str(paths)!r}")
        return cls(tuple(Scorer.load(path) for path in paths))

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return len(self.scorers)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.scorers[0].classes

    @property
    def observables(self) -> tuple[str, ...]:
        """Names of the observables, in order."""
        return self.scorers[0].observables

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scores: ``score_`` and the class."""
        return self.scorers[0].names

    @property
    def digest(self) -> str:
        """A hash of the files and their order."""
        return hashlib.sha256("".join(s.digest for s in self.scorers).encode()).hexdigest()

    def __call__(self, observables: Any, event_id: npt.ArrayLike) -> Floats:
        """(n, n_classes) probabilities of n events with identifiers (n,).

        Arguments and errors are as of a :class:`Scorer`, and ``InputError`` for identifiers that are not one
        integer an event.
        """
        x = self.scorers[0]._singles(observables)
        fold = fold_of(event_id, len(x), self.n_folds)
        scores = np.empty((len(x), len(self.classes)))
        for k, scorer in enumerate(self.scorers):
            rows = fold == k
            scores[rows] = scorer(x[rows])
        return scores


def _session(content: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError("scores need the package onnxruntime: pip install 'cortado-hep[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # a worker is one of many
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
