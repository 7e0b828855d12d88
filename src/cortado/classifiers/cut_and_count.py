"""Cut and count: one cut an observable, each the best of all that its edges allow."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, nextafter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from cortado.arguments import FilePath, checked_arguments
from cortado.categorizer import Categorizer, GridRule
from cortado.classifiers.cut_losses import SIGNIFICANCE, loss_of_cuts
from cortado.classifiers.cuts import Cut, Loss, Passing, best_cut, edges_of
from cortado.classifiers.evaluation import History, Metrics, refuse_keras_options
from cortado.classifiers.given import Expects, WeightedEvents
from cortado.classifiers.names import checked_ending, names_or_numbers
from cortado.coordinates import Features
from cortado.errors import ConfigError, InputError, checked_integer, sentences
from cortado.files import write_text

Floats = npt.NDArray[np.float64]
Topology = Literal["parallel", "sequential"]
Binning = Literal["quantile", "equidistant"]

FORMAT: Literal["cortado-cuts"] = "cortado-cuts"
_MOST_CELLS = 1_000_000


class CutAndCount:
    """One-dimensional cuts on observables, all of which a signal event passes.

    Of every observable, x ≤ a, x ≥ a, a ≤ x ≤ b, x < a or x > b, or no cut at all is chosen, whichever makes
    the compiled loss smallest; all inner edges of the bins are compared. Class 0 is background, class 1
    signal, and a prediction is a decision: probabilities are 0 and 1.

    Parameters
    ----------
    n_observables
        Number d of observables.
    n_bins
        Number of bins of an observable, between which cuts may lie.
    topology
        "parallel": each cut is chosen from all events, by itself. "sequential": each from the events that
        pass all earlier ones, in the order of the observables.
    binning
        Bins of equal content when both classes count the same ("quantile"), which events far out do not
        change; or of equal width between the smallest and the largest value ("equidistant").
    classes
        Names of background and signal.
    observables
        Names of the observables; x0, x1, … without them.
    """

    @checked_arguments
    def __init__(
        self,
        n_observables: int,
        n_bins: int = 50,
        topology: Topology = "parallel",
        *,
        binning: Binning = "quantile",
        classes: Sequence[str] = ("background", "signal"),
        observables: Sequence[str] = (),
    ) -> None:
        self.n_observables = checked_integer("n_observables", n_observables, 1)
        self.n_bins = checked_integer("n_bins", n_bins, 2)
        self.topology = topology
        self.binning = binning
        self.classes = names_or_numbers("classes", classes, 2)
        self.observables = names_or_numbers("observables", observables, n_observables, "x")
        self._loss: Loss | None = None
        self._metrics = Metrics()
        self._cuts: tuple[Cut, ...] | None = None

    @property
    def expects(self) -> Expects:
        """Shape and classes of the events that it takes."""
        return Expects((self.n_observables,), self.classes)

    @property
    def cuts(self) -> tuple[Cut, ...]:
        """The cuts, one an observable; ``print(*model.cuts, sep="\\n")`` says them in words.

        Raises ``ConfigError`` before they are chosen.
        """
        if self._cuts is None:
            raise ConfigError("CutAndCount has no cuts before fit")
        return self._cuts

    def compile(self, optimizer: Any = None, loss: Any = SIGNIFICANCE, metrics: Sequence[Any] = ()) -> None:
        """Say what cuts are chosen by.

        Parameters
        ----------
        optimizer
            None: all cuts are compared.
        loss
            "significance", the expected one of :class:`cortado.Asimov`, also called "asimov"; "s/sqrt(b)" or
            "s/sqrt(s+b)"; another significance of :mod:`cortado.objectives` that each category has by itself,
            such as ``AsimovWithUncertainty("signal")``, with the names of the classes as processes. Weights
            are expected events, and the loss is −Z of the events that pass. Or a loss of Keras, of the
            decision on each event: "binary_crossentropy" is then 16.1 times the weighted fraction of wrong
            decisions, as Keras takes 10⁻⁷ for a probability of 0. It wants classes of comparable weight, else
            it is best to call every event background.
        metrics
            Metrics of Keras, names or objects.

        Raises
        ------
        ConfigError
            For an optimizer, and for what is no loss or metric.
        """
        refuse_keras_options("CutAndCount", optimizer=optimizer)
        self._loss = loss_of_cuts(loss, self.classes)
        self._metrics = Metrics(metrics)

    def fit(
        self,
        x: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        batch_size: int | None = None,
        epochs: int | None = None,
        validation_data: Sequence[Any] | None = None,
        callbacks: Any = None,
        verbose: Any = 0,  # noqa: ARG002 - as of the other classifiers; there is nothing to wait for
    ) -> History:
        """Choose the cuts from observables x (n, d), classes y (n,) and weights (n,).

        The history has loss and metrics after the first cut, after the first two, and so on, of all events.
        Raises ``ConfigError`` for options that only networks have and before ``compile``, ``InputError`` for
        events that are none to train on.
        """
        refuse_keras_options("CutAndCount", batch_size=batch_size, epochs=epochs, callbacks=callbacks)
        loss = self._compiled
        events = self.expects.training_events(x, y, sample_weight)
        validation = self.expects.validation_events(validation_data)
        self._cuts = self._chosen(events, loss)
        history = History()
        for n in range(1, len(self._cuts) + 1):
            values = self._values(events, loss, self._cuts[:n])
            if validation is not None:
                values |= self._values(validation, loss, self._cuts[:n], "val_")
            history.add(values)
        return history

    def predict(self, x: npt.ArrayLike) -> Floats:
        """(n, 2) 1 for the class that an event x (n, d) is taken for, and 0 for the other."""
        return _decisions(self.cuts, self.expects.observables(x))

    def evaluate(
        self, x: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """Loss and metrics of all cuts, by name."""
        return self._values(self.expects.evaluation_events(x, y, sample_weight), self._compiled, self.cuts)

    def passes(self, x: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """(n,) which events x (n, d) pass all cuts."""
        return _passes(self.cuts, self.expects.observables(x))

    def categorizer(self) -> Categorizer:
        """The cuts as a categorizer of two categories, "fail" and "pass".

        Its features are the observables that are cut on. It gives the decisions of ``predict`` for all
        numbers of single precision. Raises ``ConfigError`` where no observable is cut on, and for more than
        10⁶ cells, which are the product of two or three for each observable.
        """
        cuts = [cut for cut in self.cuts if cut.cuts]
        if not cuts:
            raise ConfigError("there are no cuts to make categories of: all events pass")
        edges = [_edges(cut) for cut in cuts]
        if (n_cells := int(np.prod([len(e) + 1.0 for e in edges]))) > _MOST_CELLS:
            raise ConfigError(f"a categorizer of {len(cuts)} cuts would have {n_cells} cells, too many")
        table = np.array(1, np.int64)
        for cut, e in zip(cuts, edges, strict=True):
            table = np.multiply.outer(table, cut.keeps(np.array([nextafter(e[0], -inf), *e])))
        names = tuple(cut.observable for cut in cuts)
        return Categorizer(
            features=Features.declare(names),
            rule=GridRule(edges=tuple(edges), categories=tuple(table.ravel().tolist())),
            labels=("fail", "pass"),
        )

    def save(self, path: FilePath) -> None:
        """Write the cuts as a ``.json`` file, whole or not at all.

        Raises ``ConfigError`` before ``fit`` and for a path that does not end in ``.json``.
        """
        target = checked_ending("a set of cuts", path, ".json")
        file = _File(
            n_bins=self.n_bins,
            topology=self.topology,
            binning=self.binning,
            classes=(self.classes[0], self.classes[1]),
            cuts=tuple(_FileCut.of(cut) for cut in self.cuts),
        )
        write_text(target, file.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: FilePath) -> CutAndCount:
        """Read cuts. Raises ``InputError`` if the file is none of this kind."""
        try:
            file = _File.model_validate_json(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot read the cuts {path}: {error.strerror}") from error
        except ValidationError as error:
            raise InputError(f"{path} holds no valid cuts: {'; '.join(sentences(error))}") from error
        except ValueError as error:  # of the decoder of text
            raise InputError(f"{path} holds no valid cuts: {error}") from error
        model = cls(
            len(file.cuts),
            file.n_bins,
            file.topology,
            binning=file.binning,
            classes=file.classes,
            observables=tuple(cut.observable for cut in file.cuts),
        )
        model._cuts = tuple(cut.cut for cut in file.cuts)
        return model

    @property
    def _compiled(self) -> Loss:
        if self._loss is None:
            raise ConfigError("CutAndCount has to be compiled first: model.compile()")
        return self._loss

    def _chosen(self, events: WeightedEvents, loss: Loss) -> tuple[Cut, ...]:
        rows = np.ones(len(events.y), bool)
        cuts: list[Cut] = []
        for name, column in zip(self.observables, events.x.T, strict=True):
            x, y, weight = column[rows], events.y[rows], events.weight[rows]
            if not weight.sum() > 0:  # a cut that nothing passes was the best
                cuts.append(Cut(name))
                continue
            edges = edges_of(x, _balanced(y, weight), self.n_bins, self.binning)
            cuts.append(best_cut(name, x, y, weight, edges, len(self.classes), loss))
            if self.topology == "sequential":
                rows &= cuts[-1].keeps(column)
        return tuple(cuts)

    def _values(
        self, events: WeightedEvents, loss: Loss, cuts: Sequence[Cut], prefix: str = ""
    ) -> dict[str, float]:
        passing = Passing.of(_passes(cuts, events.x), events.y, events.weight, len(self.classes))
        return {f"{prefix}loss": float(loss(passing)[0])} | self._metrics.values(
            events, _decisions(cuts, events.x), prefix
        )


def _passes(cuts: Sequence[Cut], x: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    passes = np.ones(len(x), bool)
    for cut, column in zip(cuts, x.T, strict=False):
        passes &= cut.keeps(column)
    return passes


def _decisions(cuts: Sequence[Cut], x: npt.NDArray[np.float32]) -> Floats:
    passes = _passes(cuts, x).astype(np.float64)
    return np.stack([1 - passes, passes], axis=1)


def _balanced(y: npt.NDArray[np.int64], weight: Floats) -> Floats:
    """Weights with which every class has the same sum."""
    total = np.bincount(y, weight, 2)
    return weight / np.where(total > 0, total, 1.0)[y]


def _edges(cut: Cut) -> tuple[float, ...]:
    """Edges of bins in which all or nothing is kept.

    An edge belongs to the bin above it, so that what reaches up to an end stops at the next number.
    """
    return tuple(edge for edge in (cut.low, nextafter(cut.high, inf)) if abs(edge) < inf)


class _FileCut(BaseModel):
    """A cut in a file; an end that is null is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    observable: str = Field(min_length=1)
    low: FiniteFloat | None
    high: FiniteFloat | None
    outside: bool

    @classmethod
    def of(cls, cut: Cut) -> _FileCut:
        low, high = (end if abs(end) < inf else None for end in (cut.low, cut.high))
        return cls(observable=cut.observable, low=low, high=high, outside=cut.outside)

    @property
    def cut(self) -> Cut:
        low = -inf if self.low is None else self.low
        return Cut(self.observable, low, inf if self.high is None else self.high, self.outside)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["cortado-cuts"] = FORMAT
    version: Literal[1] = 1
    n_bins: int = Field(ge=2)
    topology: Topology
    binning: Binning
    classes: tuple[str, str]
    cuts: tuple[_FileCut, ...] = Field(min_length=1)
