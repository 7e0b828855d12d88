"""How good learned categories are on events that they never saw, and how far from the best that is possible.

    python benchmarks/significance.py --output FOLDER [--repetitions N] [--only three-classes|family]

The three-class toy as the literature has it: trained on all of 1 000 000 + 2 × 100 000 events with default
settings, tested on 4 000 000 + 2 × 500 000 others, several trainings; beside argmax bins, and beside what is
found directly on the test events under the same floor: by the same training, and as the best hard partition
of cells, whose smaller cells let it follow more of the fluctuations of these events. Then the family of toys,
of one to four dimensions, with the same settings. ``docs/significance.py`` makes tables of the results.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from _measure import finish
from _toy import FLOOR, TEST_SEED, objective_of, yields_of

import cortado as ct
from cortado import toys
from cortado.exact import hard_partition

TEST_CELLS = (2000, 6000, 16_000)  # at most; for the family the second alone


def main() -> None:
    """Run what is asked for and write the results."""
    parser = argparse.ArgumentParser(description="significance of learned categories on independent events")
    parser.add_argument("--output", type=Path, help="folder for a JSON file with the results")
    parser.add_argument("--repetitions", type=int, default=10, help="trainings on the three-class toy")
    parser.add_argument("--events", type=int, default=1_000_000, help="background events to train on")
    parser.add_argument("--categories", type=int, nargs="+", default=[5, 10, 20], help="of three classes")
    parser.add_argument("--only", choices=("three-classes", "family"), help="one of the two parts alone")
    parser.add_argument("--steps", type=int, help="gradient steps from each start, if not the default")
    parser.add_argument("--starts", type=int, help="starts, if not the default")
    options = parser.parse_args()
    settings = {name: getattr(options, name) for name in ("steps", "starts") if getattr(options, name)}
    result: dict[str, Any] = {}
    if options.only != "family":
        result["three_classes"] = three_classes(
            options.repetitions, options.events, options.categories, settings
        )
    if options.only != "three-classes":
        result["family"] = [of_family(toy, options.events // 2, settings) for toy in toys.FAMILY]
    setting = {"events": options.events, "floor": FLOOR, "test_seed": TEST_SEED, "test_cells": TEST_CELLS}
    setting |= settings
    finish(options.output, "significance", setting, result)


def sample_of(toy: toys.Toy, events: dict[str, toys.ToyEvents]) -> ct.Sample:
    """All events in one fold."""
    return ct.Sample.from_arrays(toys.arrays(events), toy.coordinates, names=toy.names, n_folds=1)


def trained(
    toy: toys.Toy, sample: ct.Sample, n_categories: int, settings: dict[str, int]
) -> tuple[ct.Categorizer, float]:
    """Learned categories, with the seconds that the fit took."""
    began = time.perf_counter()
    result = ct.fit(ct.GaussianMixture(n_categories), sample, objective_of(toy), seed=1, **settings)
    return result.categorizer, time.perf_counter() - began


def row(toy: toys.Toy, categorizer: ct.Categorizer, events: dict[str, toys.ToyEvents]) -> dict[str, Any]:
    """The objective without floors, the smallest background and the number of categories."""
    category = {name: categorizer(part.scores) for name, part in events.items()}
    weight = {name: part.weight for name, part in events.items()}
    yields = yields_of(weight, category, categorizer.n_categories)
    return {
        "value": objective_of(toy).value(yields),
        "min_background": float(yields.total(toy.backgrounds).min()),
        "n_categories": categorizer.n_categories,
    }


def three_classes(
    trainings: int, n_events: int, categories: list[int], settings: dict[str, int]
) -> list[dict[str, Any]]:
    """Every number of categories of the literature, on one test sample."""
    toy = toys.THREE_CLASS
    test = toy.events(TEST_SEED, n_events // 2, 4 * n_events)
    test_sample = sample_of(toy, test)
    cells = test_sample.points()
    rows = []
    for k in categories:
        runs = []
        for seed in range(1, trainings + 1):
            events = toy.events(seed, n_events // 10, n_events)
            categorizer, seconds = trained(toy, sample_of(toy, events), k, settings)
            parts = {"training": row(toy, categorizer, events), "test": row(toy, categorizer, test)}
            runs.append({**parts, "seconds": seconds})
            print(k, seed, parts, f"{seconds:.1f} s", flush=True)
        argmax = ct.categorizer.argmax_projections(test_sample.features, k)
        rows.append(
            {
                "n_categories": k,
                "argmax": argmax and row(toy, argmax, test),
                "learned_on_test": row(toy, trained(toy, test_sample, k, settings)[0], test),
                "best_on_test": [
                    {"cells": len(coarse.place), "value": hard_partition(coarse, objective_of(toy), k).value}
                    for coarse in map(cells.coarsened, TEST_CELLS)
                ],
                "runs": runs,
                "median_test": float(np.median([r["test"]["value"] for r in runs])),
                "median_training": float(np.median([r["training"]["value"] for r in runs])),
                "least_training_background": min(r["training"]["min_background"] for r in runs),
                "least_test_background": min(r["test"]["min_background"] for r in runs),
            }
        )
        print({key: value for key, value in rows[-1].items() if key != "runs"}, flush=True)
    return rows


def of_family(
    toy: toys.Toy, n_events: int, settings: dict[str, int], n_categories: int = 8
) -> dict[str, Any]:
    """One toy of the family: learned categories and the usual ones, on independent events."""
    events = toy.events(1, n_events // 5, n_events)
    test = toy.events(TEST_SEED, 2 * n_events // 5, 4 * n_events)
    sample = sample_of(toy, events)
    categorizer, seconds = trained(toy, sample, n_categories, settings)
    points = sample.points()
    ranges = dict(zip(sample.features.labels, points.ranges(0.05), strict=True))
    equidistant = ct.categorizer.equidistant(sample.features, n_categories, ranges)
    argmax = ct.categorizer.argmax_projections(sample.features, n_categories)
    cells = sample_of(toy, test).points()
    best = hard_partition(cells.coarsened(TEST_CELLS[1]), objective_of(toy), n_categories)
    result = {
        "toy": toy.name,
        "dimensions": points.place.shape[1],
        "signals": len(toy.signals),
        "equidistant": row(toy, equidistant, test),
        "argmax": argmax and row(toy, argmax, test),
        "training": row(toy, categorizer, events),
        "test": row(toy, categorizer, test),
        "best_on_test": best.value,
        "seconds": seconds,
    }
    print(result, flush=True)
    return result


if __name__ == "__main__":
    main()
