"""Assigning categories: the frozen Categorizer beside the same argmax written with plain numpy.

A Gaussian mixture of 10 components in two coordinates, the log-ratios of three softmax scores, is evaluated
on 10⁶ events. Both sides start from the (n, 3) float32 scores and end with (n,) integers; the plain one
checks nothing, and knows neither missing values nor scores of exactly 0. It is written in two ways: as a loop
over the components, and as one matrix product for all of them. All run in turns in this process.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from _measure import finish, in_turns, options, report_times

from cortado import Categorizer, Features
from cortado.categorizer import GaussianMixtureRule

SCORES = ("p_1", "p_2", "p_3")


def mixture(n_categories: int, seed: int) -> GaussianMixtureRule:
    """A mixture such as a training finds: components of different size and orientation."""
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.full(n_categories, 5.0))
    means = random.normal(0.0, 2.0, (n_categories, 2))
    halves = random.normal(0.0, 0.7, (n_categories, 2, 2))
    covariances = halves @ halves.transpose(0, 2, 1) + 0.3 * np.eye(2)
    return GaussianMixtureRule(
        weights=tuple(weights / weights.sum()), means=means.tolist(), covariances=covariances.tolist()
    )


def softmax_scores(n_events: int, seed: int) -> np.ndarray:
    """(n, 3) float32 scores in (0, 1), of sum 1."""
    logits = np.random.default_rng(seed).normal(0.0, 2.0, (n_events, 3))
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def log_ratios(scores: np.ndarray) -> np.ndarray:
    """(n, 2) float64 log(p_i / p_3)."""
    logs = np.log(scores.astype(np.float64))
    return logs[:, :-1] - logs[:, -1:]


def plain_loop(rule: GaussianMixtureRule) -> Callable[[np.ndarray], np.ndarray]:
    """argmax_k [log w_k − (u − μ_k)ᵀ Σ_k⁻¹ (u − μ_k) / 2 − log det Σ_k / 2], component by component."""
    precisions = np.linalg.inv(np.array(rule.covariances))
    constants = np.log(rule.weights) - 0.5 * np.linalg.slogdet(np.array(rule.covariances))[1]
    means = np.array(rule.means)

    def assign(scores: np.ndarray) -> np.ndarray:
        u = log_ratios(scores)
        densities = np.empty((len(u), len(means)))
        for k, (constant, mean, precision) in enumerate(zip(constants, means, precisions, strict=True)):
            z = u - mean
            densities[:, k] = constant - 0.5 * ((z @ precision) * z).sum(axis=1)
        return np.argmax(densities, axis=1)

    return assign


def plain_product(rule: GaussianMixtureRule) -> Callable[[np.ndarray], np.ndarray]:
    """The same, as a product of (1, x, y, x², xy, y²) with a matrix of coefficients."""
    precisions = np.linalg.inv(np.array(rule.covariances))
    means = np.array(rule.means)
    linear = np.einsum("kij,kj->ki", precisions, means)
    constants = np.log(rule.weights) - 0.5 * np.linalg.slogdet(np.array(rule.covariances))[1]
    constants -= 0.5 * (means * linear).sum(axis=1)
    coefficients = np.stack(
        [
            constants,
            linear[:, 0],
            linear[:, 1],
            -0.5 * precisions[:, 0, 0],
            -precisions[:, 0, 1],
            -0.5 * precisions[:, 1, 1],
        ]
    )

    def assign(scores: np.ndarray) -> np.ndarray:
        x, y = log_ratios(scores).T
        quadratic = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
        return np.argmax(quadratic @ coefficients, axis=1)

    return assign


def main() -> None:
    """Time all three in turns and report the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--categories", type=int, default=10)
    chosen = options(parser, repetitions=11)

    rule = mixture(chosen.categories, seed=1)
    scores = softmax_scores(chosen.events, seed=2)
    programs: dict[str, Callable[[np.ndarray], Any]] = {
        "cortado": Categorizer(features=Features.declare(SCORES, "logratio"), rule=rule),
        "numpy, loop": plain_loop(rule),
        "numpy, product": plain_product(rule),
    }
    categories = {name: program(scores) for name, program in programs.items()}
    own = categories.pop("cortado")
    agreement = {name: float(np.mean(category == own)) for name, category in categories.items()}
    times = in_turns({name: lambda p=p: p(scores) for name, p in programs.items()}, chosen.repetitions)

    print(f"Categories of {chosen.events} events, K = {chosen.categories}, d = 2, from three float32 scores")
    result = report_times(times, reference="cortado", n_events=chosen.events)
    for name, share in agreement.items():
        print(f"same category from cortado and {name}: {100 * share:.4f} % of events")
    setting = {"events": chosen.events, "categories": chosen.categories, "dimensions": 2}
    finish(chosen.output, "categorizer", setting, result | {"agreement": agreement})


if __name__ == "__main__":
    main()
