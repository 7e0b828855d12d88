"""Gradient boosted decision trees: scikit-learn's histogram gradient boosting in the manner of Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.arguments import FilePath, Number, checked_arguments
from cortado.classifiers.evaluation import History, Metrics, refuse_keras_options
from cortado.classifiers.given import Expects, WeightedEvents
from cortado.classifiers.names import checked_ending, names_or_numbers
from cortado.errors import ConfigError, InputError, checked_integer
from cortado.files import write_whole

Floats = npt.NDArray[np.float64]

FORMAT = "cortado-boosted-trees"
_LOSSES = ("log_loss", "sparse_categorical_crossentropy")
# All that a file may hold beside what skops itself takes for harmless: numbers, texts, lists, arrays, and
# the estimators of scikit-learn.
_TRUSTED = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)


class GradientBoostedDecisionTree:
    """Boosted trees, scikit-learn's :class:`~sklearn.ensemble.HistGradientBoostingClassifier`.

    An observable that is NaN counts as one that does not exist in the event; where training events have
    such, every split learns to which side they go.

    Parameters
    ----------
    n_observables
        Number d of observables.
    n_classes
        Number of classes; from three on a round grows a tree for each.
    n_rounds
        Number of boosting rounds, at most.
    learning_rate, max_leaf_nodes, max_depth, min_samples_leaf, l2_regularization, max_bins
        As in scikit-learn.
    patience
        After how many rounds without an improvement of the validation loss (of the training loss, where
        nothing is given to validate on) to stop; None makes all rounds. Trees up to there are kept.
    min_improvement
        What counts as an improvement of the loss.
    classes, observables
        Names; numbers, and x0, x1, … without them.
    seed
        The same seed and events give the same trees.
    """

    @checked_arguments
    def __init__(
        self,
        n_observables: int,
        n_classes: int = 2,
        *,
        n_rounds: int = 100,
        learning_rate: Number = 0.1,
        max_leaf_nodes: int | None = 31,
        max_depth: int | None = None,
        min_samples_leaf: int = 20,
        l2_regularization: Number = 0.0,
        max_bins: int = 255,
        patience: int | None = None,
        min_improvement: Number = 1e-7,
        classes: Sequence[str] = (),
        observables: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        checked_integer("n_observables", n_observables, 1)
        checked_integer("n_classes", n_classes, 2)
        checked_integer("n_rounds", n_rounds, 1)
        if patience is not None:
            checked_integer("patience", patience, 1)
        self.classes = names_or_numbers("classes", classes, n_classes)
        self.observables = names_or_numbers("observables", observables, n_observables, "x")
        self.n_rounds = n_rounds
        self.patience = patience
        self._options: dict[str, Any] = {
            "learning_rate": learning_rate,
            "max_leaf_nodes": max_leaf_nodes,
            "max_depth": max_depth,
            "min_samples_leaf": min_samples_leaf,
            "l2_regularization": l2_regularization,
            "max_bins": max_bins,
            "tol": min_improvement,
            "random_state": checked_integer("seed", seed, 0),
        }
        _check_options(self._options)
        self._compiled = False
        self._metrics = Metrics()
        self._trees: Any = None

    @property
    def expects(self) -> Expects:
        """Shape and classes of the events that it takes."""
        return Expects((len(self.observables),), self.classes, missing=True)

    @property
    def trees(self) -> Any:
        """The fitted classifier of scikit-learn. Raises ``ConfigError`` before ``fit``."""
        if self._trees is None:
            raise ConfigError("GradientBoostedDecisionTree has to be fitted first: model.fit(x, y)")
        return self._trees

    def compile(self, optimizer: Any = None, loss: str = "log_loss", metrics: Sequence[Any] = ()) -> None:
        """Name the metrics, those of Keras.

        The loss is the cross entropy, which scikit-learn calls "log_loss" and Keras
        "sparse_categorical_crossentropy". Raises ``ConfigError`` for another one, and for an optimizer.
        """
        refuse_keras_options("GradientBoostedDecisionTree", optimizer=optimizer)
        if loss not in _LOSSES:
            raise ConfigError(f"loss must be one of {', '.join(_LOSSES)}, got {loss!r}")
        self._compiled = True
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
        verbose: Any = "auto",
    ) -> History:
        """Grow the trees anew from observables x (n, d), classes y (n,) and weights (n,).

        Parameters
        ----------
        x, y, sample_weight
            Events; only the ratios of weights matter. Each class has some, and no weight is negative.
        batch_size, callbacks
            None: a round takes all events, and knows no callbacks.
        epochs
            Boosting rounds in the place of ``n_rounds``.
        validation_data
            (x, y) or (x, y, weight).
        verbose
            0 shows no progress bar; it changes nothing of the trees.

        Returns
        -------
        History
            Loss, metrics, and those of validation, after each round: weighted means over all events.

        Raises
        ------
        ConfigError
            For options that only networks have, and before ``compile``.
        InputError
            Events are none to train on: shapes, classes, weights or infinite numbers.
        """
        refuse_keras_options("GradientBoostedDecisionTree", batch_size=batch_size, callbacks=callbacks)
        self._require_compiled()
        rounds = self.n_rounds if epochs is None else checked_integer("epochs", epochs, 1)
        events = self.expects.training_events(x, y, sample_weight)
        validation = self.expects.validation_events(validation_data)
        self._trees = _grown(events, validation, rounds, self.patience, self._options, show=verbose != 0)
        history = History(_loss_curves(self._trees, validation is not None))
        for name, values in self._metric_curves(events, validation).items():
            history.history[name] = values
        return history

    def predict(self, x: npt.ArrayLike) -> Floats:
        """(n, n_classes) probabilities of the classes for events x (n, d)."""
        observables = self.expects.observables(x)
        trees = self.trees
        if not len(observables):
            return np.zeros((0, len(self.classes)))
        probabilities: Floats = trees.predict_proba(observables)
        return probabilities

    def evaluate(
        self, x: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> dict[str, float]:
        """Loss and metrics by name: weighted means over all events."""
        self._require_compiled()
        events = self.expects.evaluation_events(x, y, sample_weight)
        p = self.predict(events.x)
        chosen = np.maximum(p[np.arange(len(p)), events.y], np.finfo(np.float64).tiny)
        loss = float(np.average(-np.log(chosen), weights=events.weight))
        return {"loss": loss} | self._metrics.values(events, p)

    def save(self, path: FilePath) -> None:
        """Write the trees as a ``.skops`` file, whole or not at all.

        Raises ``ConfigError`` before ``fit`` and for a path that does not end in ``.skops``.
        """
        io = _library("skops.io")
        target = checked_ending("a set of trees", path, ".skops")
        content = {
            "format": FORMAT,
            "version": 1,
            "classes": list(self.classes),
            "observables": list(self.observables),
            "n_rounds": self.n_rounds,
            "patience": self.patience,
            "options": self._options,
            "trees": self.trees,
        }
        with write_whole(target) as partial:
            io.dump(content, partial)

    @classmethod
    def load(cls, path: FilePath) -> GradientBoostedDecisionTree:
        """Read trees; nothing but them is made of what a file holds.

        Raises ``InputError`` if the file is none of this kind.
        """
        io = _library("skops.io")
        try:
            content = io.load(path, trusted=list(_TRUSTED))
        except OSError as error:
            raise InputError(f"cannot read the trees {path}: {error.strerror or error}") from error
        except Exception as error:  # whatever skops and zipfile raise for a damaged or foreign file
            reason = str(error).splitlines()[0]
            raise InputError(f"{path} holds no valid boosted trees: {reason}") from error
        if not isinstance(content, dict) or (content.get("format"), content.get("version")) != (FORMAT, 1):
            raise InputError(f"{path} is a file of skops, but holds no boosted trees of cortado")
        model = cls(
            len(content["observables"]),
            len(content["classes"]),
            n_rounds=content["n_rounds"],
            patience=content["patience"],
            classes=content["classes"],
            observables=content["observables"],
        )
        model._options = content["options"]
        model._trees = content["trees"]
        return model

    def _require_compiled(self) -> None:
        if not self._compiled:
            raise ConfigError("GradientBoostedDecisionTree has to be compiled first: model.compile()")

    def _metric_curves(
        self, events: WeightedEvents, validation: WeightedEvents | None
    ) -> dict[str, list[float]]:
        """Metrics after each round, by name."""
        curves = History()
        if not self._metrics.names:
            return {}
        for p in self._trees.staged_predict_proba(events.x):
            curves.add(self._metrics.values(events, p))
        if validation is not None:
            for p in self._trees.staged_predict_proba(validation.x):
                curves.add(self._metrics.values(validation, p, "val_"))
        return curves.history


def _library(name: str) -> Any:
    """A module of the extra ``classifiers``; ``ConfigError`` if it is absent."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            "boosted trees need scikit-learn and skops: pip install 'cortado-hep[classifiers]'"
        ) from error


def _check_options(options: Mapping[str, Any]) -> None:
    """Raise ``ConfigError`` for what scikit-learn would not take."""
    for name, least in (("max_leaf_nodes", 2), ("max_depth", 1), ("min_samples_leaf", 1), ("max_bins", 2)):
        if options[name] is not None:
            checked_integer(name, options[name], least)
    if options["max_bins"] > 255:
        raise ConfigError(f"max_bins must be at most 255, got {options['max_bins']}")
    if not 0 < options["learning_rate"] < np.inf:
        raise ConfigError(f"learning_rate must be positive, got {options['learning_rate']}")
    for name, said in (("l2_regularization", "l2_regularization"), ("tol", "min_improvement")):
        if not 0 <= options[name] < np.inf:
            raise ConfigError(f"{said} must not be negative, got {options[name]}")


def _grown(
    events: WeightedEvents,
    validation: WeightedEvents | None,
    rounds: int,
    patience: int | None,
    options: dict[str, Any],
    show: bool,
) -> Any:
    """A fitted classifier of scikit-learn, with its losses after each round."""
    trees = _library("sklearn.ensemble").HistGradientBoostingClassifier(
        **options,
        max_iter=rounds,
        early_stopping=True,  # else no losses are kept
        validation_fraction=None,
        n_iter_no_change=rounds + 1 if patience is None else patience,
    )
    # What a leaf has to hold is counted in weights.
    given: dict[str, Any] = {"sample_weight": events.weight / events.weight.mean()}
    if validation is not None:
        given |= {"X_val": validation.x, "y_val": validation.y, "sample_weight_val": validation.weight}
    with _progress(trees, rounds) if show else nullcontext():
        trees.fit(events.x, events.y, **given)
    return trees


def _loss_curves(trees: Any, validated: bool) -> dict[str, list[float]]:
    """Losses after each round. scikit-learn keeps −loss, from before the first round on."""
    curves = {"loss": (-trees.train_score_[1:]).tolist()}
    return curves | ({"val_loss": (-trees.validation_score_[1:]).tolist()} if validated else {})


def _progress(trees: Any, rounds: int) -> Any:
    """A bar over boosting rounds, with the losses, which it reads off the trees while they grow."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TimeElapsedColumn
    from rich.text import Text

    def curve(name: str) -> Any:
        return getattr(trees, name, ())

    class Rounds(BarColumn):
        def render(self, task: Any) -> Any:
            task.completed = max(0, len(curve("train_score_")) - 1)
            return super().render(task)

    class Losses(ProgressColumn):
        def render(self, task: Any) -> Text:  # noqa: ARG002
            known = {"loss": curve("train_score_"), "val_loss": curve("validation_score_")}
            return Text(" - ".join(f"{name}: {-v[-1]:.4f}" for name, v in known.items() if len(v)))

    bar = Progress(Rounds(), MofNCompleteColumn(), TimeElapsedColumn(), Losses())
    bar.add_task("boosting rounds", total=rounds)
    return bar
