"""H→ττ with CMS Open Data, from ntuples to the fit of both signal strengths. See README.md.

    python examples/htautau/run.py FOLDER -o OUT

Every event is scored by classifiers that have not seen it: there are six folds, and six classifiers of each
kind. Categories are learned from folds 0 to 2, and all that is quoted comes from folds 3 to 5.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import yaml
from rich.console import Console

from cortado.classifiers import (
    CutAndCount,
    GradientBoostedDecisionTree,
    LabelledEvents,
    MultiLayerPerceptron,
    Predictions,
    compare,
    comparison_table,
    export_onnx,
)
from cortado.classifiers.training_weights import weights_of_processes
from cortado.columnar import (
    Binning,
    Dataset,
    ObservableCollector,
    TemplateFiller,
    open_executor,
    run_processor,
    take_inventory,
)
from cortado.columnar.loading import load_processor
from cortado.config import Config, load_config
from cortado.figures import figure_style, stack_figure, write_figure
from cortado.objectives import AsimovWithUncertainty, Yields
from cortado.observable import Observable
from cortado.report import SchemeRow, evaluate, significance_table

HERE = Path(__file__).resolve().parent
CLASSES = {"ggH": ["ggH"], "qqH": ["qqH"], "background": ["DY", "TT", "W", "QCD"]}
SIGNALS = ("ggH", "qqH")
PATIENCE = 10
# What an analysis by hand would cut on. More cuts and finer bins follow chance: there are few events.
CUT_ON = {"qqH": ("mjj", "pt_vis"), "ggH": ("pt_vis", "m_vis", "pt_2")}
N_BINS = 10

# Drawn with data: edges, and what they are.
CONTROL: dict[str, tuple[npt.NDArray[np.float64], str]] = {
    "m_vis": (np.linspace(20, 150, 27), "visible mass [GeV]"),
    "pt_vis": (np.linspace(0, 150, 31), "visible $p_T$ [GeV]"),
    "pt_2": (np.linspace(20, 100, 33), "$p_T$ of the tau [GeV]"),
    "delta_r": (np.linspace(0, 5, 26), "ΔR of muon and tau"),
    "pt_met": (np.linspace(0, 120, 25), "missing $p_T$ [GeV]"),
    "njets": (np.arange(-0.5, 7), "jets"),
    "mjj": (np.linspace(20, 1000, 29), "mass of the two leading jets [GeV]"),
}
CONTROL |= {f"score_{name}": (np.linspace(0, 1, 21), f"score of {name}") for name in CLASSES}


def main() -> None:
    """All steps, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the ntuples")
    parser.add_argument("-o", "--output", type=Path, required=True, help="a folder for the results")
    parser.add_argument("--epochs", type=int, default=100, help="of the networks, at most")
    chosen = parser.parse_args()
    console, output = Console(width=100), chosen.output.absolute()
    config = load_config(HERE / "config.yaml")

    console.print("[bold]Observables of all simulated events[/]")
    events = labelled_events(config, chosen.folder)
    events.save(output / "events.parquet")

    console.print("[bold]Classifiers, one of each kind a fold[/]")
    kinds = {"network": lambda parts: network(parts, chosen.epochs), "trees": trees}
    trained = {
        kind: out_of_fold(events, train, output / "classifiers" / kind) for kind, train in kinds.items()
    }
    for signal in SIGNALS:
        console.print(comparison(events, {kind: scores for kind, (scores, _) in trained.items()}, signal))
    best = min(trained, key=lambda kind: trained[kind][1])  # on validation events: nothing held out was seen
    console.print(f"Categories are learned from the scores of the {best}: its validation loss is smaller.")

    console.print("[bold]Data and simulation[/]")
    job = with_classifiers(config, output / "classifiers" / best)
    draw_control(job, chosen.folder, output / "control")

    (output / "config.yaml").write_text(
        yaml.safe_dump(job.model_dump(mode="json", by_alias=True)), encoding="utf-8"
    )
    cortado("run", output / "config.yaml", "--base", chosen.folder, "-o", output / "categories")
    rows = [*cut_and_count(events, config, output / "cuts"), *learned_rows(output / "categories")]
    held_out = [row for row in rows if row.events == "held-out"]
    console.print(significance_table(held_out, "Expected significance, held-out folds", "geometric mean"))
    (output / "comparison.json").write_text(
        json.dumps([row.as_dict() for row in rows], indent=1) + "\n", encoding="utf-8"
    )
    cortado("fit", output / "categories", "--observed", "-o", output / "fit")


def cortado(*arguments: str | Path) -> None:
    """A command, as one would type it."""
    subprocess.run([sys.executable, "-m", "cortado.cli", *map(str, arguments)], check=True)


def labelled_events(config: Config, folder: Path) -> LabelledEvents:
    """The selected simulated events, and those of the estimate of multijet events, with their observables."""
    processor, module = processor_of(config)
    sink = ObservableCollector(module.OBSERVABLES)
    datasets = [d for d in datasets_of(config, folder) if not d.is_data]
    with open_executor() as executor:
        inventory = take_inventory(datasets, executor, processor(sink))
        found = run_processor(processor(sink), inventory.chunks(), executor, description="Observables")
    return found.labelled(CLASSES, inventory.normalisation(), n_folds=config.fit.folds)


def processor_of(config: Config) -> tuple[Callable[..., Any], Any]:
    """What makes a processor of a sink, with the options of the configuration; and its module."""
    processor, _ = load_processor(config.processor.class_, HERE)
    options = config.processor.options
    return lambda sink: processor(sink, **options), sys.modules[processor.__module__]


def datasets_of(config: Config, folder: Path) -> list[Dataset]:
    """The datasets of the configuration, with their files in a folder."""
    return [
        Dataset(
            name,
            tuple(str(folder / file) for file in d.files),
            process=d.process,
            is_data=d.is_data,
            metadata=d.metadata,
        )
        for name, d in config.datasets.items()
    ]


def network(parts: Any, epochs: int) -> tuple[Any, float]:
    """A network trained on one part and stopped by another, and its loss there."""
    events = parts.train
    names = {"classes": events.classes, "observables": events.observables}
    model = MultiLayerPerceptron(len(events.observables), len(events.classes), dropout=0.2, seed=1, **names)
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    stop = keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)
    return model, fitted(model, parts, epochs=epochs, callbacks=[stop])


def trees(parts: Any) -> tuple[Any, float]:
    """Boosted trees, likewise."""
    events = parts.train
    model = GradientBoostedDecisionTree(
        len(events.observables),
        len(events.classes),
        n_rounds=500,
        learning_rate=0.05,
        max_leaf_nodes=8,
        l2_regularization=1.0,
        patience=PATIENCE,
        classes=events.classes,
        observables=events.observables,
    )
    model.compile()
    return model, fitted(model, parts)


def fitted(model: Any, parts: Any, **options: Any) -> float:
    """Train a model; the smallest loss on the validation part."""
    x_y_weight = [(p.x, p.y, p.balanced_weight("drop")) for p in (parts.train, parts.validation)]
    history = model.fit(*x_y_weight[0], validation_data=x_y_weight[1], verbose=0, **options)
    return float(min(history.history["val_loss"]))


def out_of_fold(
    events: LabelledEvents, train: Callable[[Any], tuple[Any, float]], folder: Path
) -> tuple[npt.NDArray[np.float64], float]:
    """Scores (n, 3) by classifiers that have not seen the event, and the mean of their validation losses.

    The classifiers are written into the folder, the k-th being the one that has not seen fold k.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scores, losses = {}, []
    for parts in events.k_fold():
        model, loss = train(parts)
        export_onnx(model, folder / f"fold{parts.fold}.onnx")
        scores[parts.fold] = model.predict(parts.test.x)
        losses.append(loss)
    return events.out_of_fold(scores), float(np.mean(losses))


def comparison(events: LabelledEvents, scores: Mapping[str, npt.NDArray[np.float64]], signal: str) -> Any:
    """How well the classifiers tell one signal from all else, as a table."""
    predictions = {kind: Predictions(events.y, p, events.weight) for kind, p in scores.items()}
    rows = compare(predictions, events="out of fold", signal=events.classes.index(signal))
    return comparison_table(rows, f"{signal} against all else")


def with_classifiers(config: Config, folder: Path) -> Config:
    """The job with the classifiers of a folder."""
    files = [str(folder / f"fold{k}.onnx") for k in range(config.fit.folds)]
    processor = config.processor.model_copy(
        update={
            "options": config.processor.options | {"classifiers": files},
            "class_": str((HERE / config.processor.class_.rpartition(":")[0]).resolve()) + ":HTauTau",
        }
    )
    return config.model_copy(update={"processor": processor})


def draw_control(config: Config, folder: Path, pictures: Path) -> None:
    """Distributions of data and of what is expected, all selected events."""
    processor, _ = processor_of(config)
    binnings = {name: Binning(observable=Observable.declare(name, e)) for name, (e, _) in CONTROL.items()}
    filler = TemplateFiller(binnings, n_folds=config.fit.folds)
    with open_executor() as executor:
        inventory = take_inventory(datasets_of(config, folder), executor, processor(filler))
        sums = run_processor(processor(filler), inventory.chunks(), executor, description="Distributions")
    sums = sums.normalise(inventory.normalisation())
    pictures.mkdir(parents=True, exist_ok=True)
    for name, (_, label) in CONTROL.items():
        with figure_style():
            figure = stack_figure(sums.templates(name), SIGNALS)
            figure.axes[-1].set_xlabel(label)
            write_figure(figure, pictures / name)


def cut_and_count(events: LabelledEvents, config: Config, folder: Path) -> list[SchemeRow]:
    """Categories by hand: cuts for qqH, cuts for ggH on what fails them, and the rest.

    The cuts are chosen on the folds that categories are learned from.
    """
    remaining, cuts = events.in_folds(config.fit.training_folds), {}
    for signal, names in CUT_ON.items():
        cuts[signal] = cuts_for(signal, names, remaining, config)
        cuts[signal].save(folder / f"{signal}.json")
        (folder / f"{signal}.txt").write_text("\n".join(map(str, cuts[signal].cuts)) + "\n", encoding="utf-8")
        remaining = remaining.select(~passes(cuts[signal], remaining))
    rows = []
    for which, folds in (("training", config.fit.training_folds), ("held-out", config.fit.held_out_folds)):
        part = events.in_folds(folds)
        category = np.select([passes(c, part) for c in cuts.values()], range(len(cuts)), len(cuts))
        found = yields_of(part, category, len(cuts) + 1, config.fit.folds / len(folds))
        rows.append(evaluate("cut-and-count", which, found, config.objective))
    return rows


def cuts_for(signal: str, names: Sequence[str], events: LabelledEvents, config: Config) -> CutAndCount:
    """Cuts, one after the other, that make the significance of a signal over the background largest."""
    part = events.select(np.isin(events.y, [events.classes.index(c) for c in (signal, "background")]))
    weight = weights_of_processes(part.weight, part.process, "drop", {})
    model = CutAndCount(
        len(names), N_BINS, "sequential", classes=("background", signal), observables=tuple(names)
    )
    model.compile(loss=AsimovWithUncertainty(signal))
    scale = config.fit.folds / len(config.fit.training_folds)
    is_signal = (part.y == part.classes.index(signal)).astype(np.int64)
    model.fit(columns(part, names), is_signal, scale * weight)
    return model


def passes(cuts: CutAndCount, events: LabelledEvents) -> npt.NDArray[np.bool_]:
    """(n,) which events pass all cuts."""
    return cuts.passes(columns(events, cuts.observables))


def columns(events: LabelledEvents, names: Sequence[str]) -> npt.NDArray[np.float32]:
    """Some of the observables (n, d)."""
    return events.x[:, [events.observables.index(name) for name in names]]


def yields_of(
    events: LabelledEvents, category: npt.NDArray[np.int64], n_categories: int, scale: float
) -> Yields:
    """Yields (P, K) of events in categories (n,), with weights times ``scale``."""
    processes = tuple(np.unique(events.process).tolist())
    weight = scale * events.weight

    def sums(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        here = [events.process == p for p in processes]
        return np.array([np.bincount(category[h], values[h], n_categories) for h in here])

    return Yields(processes, sums(weight), sums(weight**2), sums(np.ones(len(events))))


def learned_rows(folder: Path) -> list[SchemeRow]:
    """What the job found: learned categories, equidistant bins and argmax bins of the scores."""
    (result,) = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["results"]
    return [SchemeRow(**row) for row in result["significances"]]


if __name__ == "__main__":
    main()
