"""Cuts, boosted trees, a dense and a convolutional network on the same events, side by side. See README.md.

python examples/classifiers/compare.py -o OUT [--htautau FOLDER]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from operator import add
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from rich.console import Console

from cortado import plotting, toys
from cortado.classifiers import (
    ComparisonRow,
    ConvolutionalNetwork,
    CutAndCount,
    GradientBoostedDecisionTree,
    LabelledEvents,
    MultiLayerPerceptron,
    Predictions,
    Split,
    compare,
    comparison_table,
    jet_images,
)
from cortado.classifiers.performance import Expectation, calibration_curve, roc_curve
from cortado.columnar import Dataset, ObservableCollector, open_executor, run_processor, take_inventory
from cortado.columnar.loading import load_processor
from cortado.figures import figure_style, write_figure
from cortado.files import write_text
from cortado.models.tensorflow import keras
from cortado.objectives import AsimovWithUncertainty

Floats = npt.NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[2]
HALF_WIDTH = 0.8  # of an image, the radius of the jets
PIXELS = 25  # an odd number, so that the axis of a jet is in the middle of one
TRAIN, VALIDATION = 0.6, 0.2  # of the events, in `split` as in `k_fold` of five folds
N_BINS = (5, 10, 20, 50)  # of each observable, between which cuts may lie
MIN_SIMULATED = 25  # background events behind a cut; with fewer, the largest significance is a fluctuation
PATIENCE = 8  # epochs or boosting rounds without a better validation loss

# What a background and a signal are expected to yield: jets of a rare resonance.
JET_YIELDS = {"parton": 20_000.0, "resonance": 400.0}

DATASETS = {
    "ggH": ["GluGluToHToTauTau"],
    "qqH": ["VBF_HToTauTau"],
    "DY": ["DYJetsToLL"],
    "TT": ["TTbar"],
    "W": ["W1JetsToLNu", "W2JetsToLNu", "W3JetsToLNu"],
}
HTAUTAU_CLASSES = {"background": ["DY", "TT", "W"], "signal": ["ggH", "qqH"]}
# Neither `run`, `gen_match` and `weight`, nor anything else that says where an event is from.
HTAUTAU_OBSERVABLES = (
    *("m_vis", "pt_vis", "pt_1", "pt_2", "mt_1", "mt_2", "pt_met"),
    *("njets", "jpt_1", "mjj", "ptjj", "jdeta"),
)
NO_JET = -999.0  # in the ntuples, where a jet is not there


@dataclass(frozen=True, eq=False)
class Problem:
    """Events of a background and a signal, in one or more splits; the tests of these have no event in common.

    ``images`` are splits of the same events, without any where there are no images.
    """

    title: str
    events: LabelledEvents
    splits: tuple[Split, ...]
    images: tuple[Split, ...] = ()

    @property
    def test(self) -> LabelledEvents:
        """All events that approaches are judged on, in the order of the splits."""
        return reduce(add, [split.test for split in self.splits])

    @property
    def yields(self) -> Floats:
        """(2,) expected events of background and signal."""
        return np.bincount(self.events.y, self.events.weight, 2).astype(np.float64)


def main(arguments: Sequence[str] | None = None) -> None:
    """Both problems, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder for the results")
    parser.add_argument("--htautau", type=Path, help="the folder of the H→ττ ntuples; left out without it")
    parser.add_argument("--jets", type=int, default=10_000, help="of each kind")
    parser.add_argument("--epochs", type=int, default=40, help="of the networks, at most")
    chosen = parser.parse_args(arguments)
    console = Console(width=100)
    study(jets(chosen.jets), chosen.epochs, chosen.output / "jets", console)
    if chosen.htautau is not None:
        study(htautau(chosen.htautau), chosen.epochs, chosen.output / "htautau", console)


# --------------------------------------------------------------------------------------------- events


def jets(n: int) -> Problem:
    """Toy jets: n of partons, with one prong, and n of a resonance, with two."""
    made = toys.boosted_jets(seed=1, n_parton=n, n_resonance=n)
    weight = {kind: np.full(len(j), JET_YIELDS[kind] / len(j)) for kind, j in made.items()}
    ids = {kind: j.event for kind, j in made.items()}
    events = LabelledEvents.from_arrays(
        {kind: (j.observables, weight[kind]) for kind, j in made.items()}, toys.JET_OBSERVABLES, event_ids=ids
    )
    images = LabelledEvents.from_arrays(
        {
            kind: (jet_images(j.constituents, (PIXELS, PIXELS), HALF_WIDTH), weight[kind])
            for kind, j in made.items()
        },
        event_ids=ids,
    )
    # The identifier decides about the part, so that both have the same events in each.
    return Problem("Two-prong against one-prong jets", events, (events.split(),), (images.split(),))


def htautau(folder: Path) -> Problem:
    """Simulated H→ττ → μτh events and their backgrounds, each in the test of one of five folds."""
    processor, _ = load_processor("processors/htautau.py:HTauTau", ROOT)
    sink = ObservableCollector(HTAUTAU_OBSERVABLES)
    datasets = [
        Dataset(file, str(folder / f"{file}Skim.root"), process=process)
        for process, files in DATASETS.items()
        for file in files
    ]
    with open_executor(progress=False) as executor:
        inventory = take_inventory(datasets, executor, processor(sink))
        found = run_processor(processor(sink), inventory.chunks(), executor)
    events = found.labelled(HTAUTAU_CLASSES, inventory.normalisation())
    events = replace(
        events, x=np.where(events.x == NO_JET, 0, events.x)
    )  # no jet there has such a pT or mass
    return Problem("H→ττ → μτh", events, tuple(events.k_fold()))


# ----------------------------------------------------------------------------------------- approaches


def weighted(events: LabelledEvents) -> tuple[Any, Any, Floats]:
    """Events as ``fit`` takes them, both classes with the same sum of weights."""
    return events.x, events.y, events.balanced_weight()


def cuts(split: Split) -> CutAndCount:
    """Cuts one after the other, by a significance that knows how few simulated events there are.

    Validation events decide how many edges there are: many follow the fluctuations of the training events.
    """
    train, validation = split.train, split.validation
    models = []
    for n_bins in N_BINS:
        model = CutAndCount(
            train.x.shape[1], n_bins, "sequential", classes=train.classes, observables=train.observables
        )
        model.compile(loss=AsimovWithUncertainty(train.classes[1]))
        model.fit(train.x, train.y, train.weight / TRAIN)
        models.append(model)
    given = validation.x, validation.y, validation.weight / VALIDATION
    return min(models, key=lambda model: model.evaluate(*given)["loss"])


def trees(split: Split) -> GradientBoostedDecisionTree:
    """Small trees, as many as help."""
    events = split.train
    model = GradientBoostedDecisionTree(
        events.x.shape[1],
        n_rounds=400,
        learning_rate=0.05,
        max_leaf_nodes=8,
        patience=PATIENCE,
        classes=events.classes,
        observables=events.observables,
    )
    model.compile()
    model.fit(*weighted(events), validation_data=weighted(split.validation), verbose=0)
    return model


def dense(split: Split, epochs: int) -> MultiLayerPerceptron:
    """A network of dense layers on the observables."""
    events = split.train
    model = MultiLayerPerceptron(events.x.shape[1], classes=events.classes, observables=events.observables)
    return trained(model, split, epochs, batch_size=128, learning_rate=1e-3)


def convolutional(split: Split, epochs: int) -> ConvolutionalNetwork:
    """A network of convolutions on the images."""
    events = split.train
    model = ConvolutionalNetwork(
        events.x.shape[1:], classes=events.classes, normalisation="logarithm", dropout=0.0
    )
    return trained(model, split, epochs, batch_size=512, learning_rate=6e-3)


def trained(model: Any, split: Split, epochs: int, batch_size: int, learning_rate: float) -> Any:
    """A network with the weights of its best epoch, by the loss of the validation events."""
    stop = keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)
    model.compile(optimizer=keras.optimizers.Adam(learning_rate))
    model.fit(
        *weighted(split.train),
        batch_size=batch_size,
        epochs=epochs,
        validation_data=weighted(split.validation),
        callbacks=[stop],
        verbose=0,
    )
    return model


# ---------------------------------------------------------------------------------------- comparison


def study(problem: Problem, epochs: int, output: Path, console: Console) -> None:
    """Train all approaches, judge them on the test events, and write what comes out."""
    console.print(f"\n[bold]{problem.title}[/]")
    approaches: dict[str, tuple[Callable[[Split], Any], tuple[Split, ...]]] = {
        "cuts": (cuts, problem.splits),
        "boosted trees": (trees, problem.splits),
        "dense network": (partial(dense, epochs=epochs), problem.splits),
        "convolutions": (partial(convolutional, epochs=epochs), problem.images),
    }
    models = {name: [train(s) for s in splits] for name, (train, splits) in approaches.items() if splits}
    predictions = {name: predicted(found, approaches[name][1], problem) for name, found in models.items()}
    floor = MIN_SIMULATED * problem.yields[0] / np.count_nonzero(problem.test.y == 0)
    expectation = Expectation(cross_sections=problem.yields, luminosity=1.0, min_background=floor)
    rows = compare(predictions, events="held-out", expectation=expectation)
    words = [[str(cut) for cut in model.cuts if cut.cuts] for model in models["cuts"]]
    console.print(*words[0], sep="\n", highlight=False)
    console.print(comparison_table(rows, problem.title))
    content = {"problem": problem.title, "rows": [row.as_dict() for row in rows], "cuts": words}
    write_text(output / "comparison.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    with figure_style():
        for name, figure in figures(problem, models["cuts"][0], predictions, rows):
            write_figure(figure, output / name)
            plt.close(figure)


def predicted(models: Sequence[Any], splits: Sequence[Split], problem: Problem) -> Predictions:
    """What each model says of the test events of its split; both classes with the same sum of weights."""
    probabilities = [model.predict(split.test.x) for model, split in zip(models, splits, strict=True)]
    test = problem.test
    return Predictions(test.y, np.concatenate(probabilities), test.balanced_weight())


# ------------------------------------------------------------------------------------------- figures


def figures(
    problem: Problem,
    cut_model: CutAndCount,
    predictions: Mapping[str, Predictions],
    rows: Sequence[ComparisonRow],
) -> Iterator[tuple[str, Figure]]:
    """The pictures of a problem by the names of their files."""
    figure, ax = plt.subplots(figsize=(10, 10))
    plotting.roc({name: roc_curve(p) for name, p in predictions.items()}, ax=ax)
    yield "roc", figure

    graded = {name: p for name, p in predictions.items() if name != "cuts"}  # a decision is no probability
    figure, ax = plt.subplots(figsize=(10, 10))
    plotting.calibration({name: calibration_curve(p) for name, p in graded.items()}, ax=ax)
    yield "calibration", figure

    figure, axes = plt.subplots(1, len(graded), figsize=(9 * len(graded), 8), layout="constrained")
    for ax, (name, p) in zip(axes, graded.items(), strict=True):
        plotting.score_distributions(p, classes=problem.events.classes, ax=ax)
        ax.set_title(name)
    yield "scores", figure

    figure, axes = panels(len(cut_model.cuts))
    train = problem.splits[0].train
    plotting.cuts(cut_model, train.x, train.y, train.weight, axes=axes, bins=40)
    yield "cuts", figure

    figure, ax = plt.subplots(figsize=(16, 0.8 * (len(rows) + 1)))
    plotting.comparison(rows, ax=ax)
    yield "comparison", figure

    if problem.images:
        yield "images", mean_images(reduce(add, [split.train for split in problem.images]))


def panels(n: int) -> tuple[Figure, list[Axes]]:
    """n axes, at most four in a row."""
    columns = min(n, 4)
    lines = -(-n // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(8 * columns, 7 * lines), layout="constrained", squeeze=False
    )
    for ax in axes.flat[n:]:
        ax.set_visible(False)
    return figure, list(axes.flat[:n])


def mean_images(images: LabelledEvents) -> Figure:
    """The mean image of each class, on a logarithmic scale."""
    figure, axes = plt.subplots(1, len(images.classes), figsize=(20, 9), layout="constrained")
    means = [images.x[images.y == number].mean(axis=0) for number in range(len(images.classes))]
    norm = LogNorm(1e-3 * np.max(means), np.max(means))
    for ax, name, mean in zip(axes, images.classes, means, strict=True):
        shown = ax.imshow(
            mean, origin="lower", extent=[-HALF_WIDTH, HALF_WIDTH] * 2, norm=norm, cmap="viridis"
        )
        ax.set_facecolor(plt.get_cmap("viridis")(0.0))  # where there is nothing
        ax.set_title(name)
        ax.set_xlabel("across the principal axis, Δη and Δφ turned")
        ax.set_ylabel("along the principal axis")
    figure.colorbar(shown, ax=axes, label="mean $p_T$ in a pixel [GeV]")
    return figure


if __name__ == "__main__":
    main()
