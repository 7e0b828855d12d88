"""Single steps of a training of Gaussians, on cells and on events."""

from __future__ import annotations

import inspect
from unittest.mock import patch

import numpy as np
from _toy import objective_of

import cortado as ct
from cortado import toys
from cortado.models import Start
from cortado.models.tensorflow import keras
from cortado.points import Points
from cortado.shares import shares_of
from cortado.training import loop
from cortado.training.on_events import EventTrainer, holding
from cortado.training.starts import random_start

_DEFAULTS = {name: value.default for name, value in inspect.signature(ct.fit).parameters.items()}
MAX_CELLS: int = _DEFAULTS["max_cells"]
STEPS: int = _DEFAULTS["steps"] * _DEFAULTS["starts"]
EVENT_STEPS: int = _DEFAULTS["event_steps"]


def on_cells(
    points: Points,
    smooth: Points,
    toy: toys.Toy,
    n_categories: int,
    *,
    together: int = 1,
    compiled: bool | None = None,
) -> loop.Trainer:
    """Steps on cells, so many at most in one call.

    They are compiled by XLA where a training with default settings would do that, unless ``compiled`` says.
    """
    start = _start(points, toy, n_categories)
    model = ct.GaussianMixture(n_categories)
    model.initialise(start)
    worth = loop.WORTH_COMPILING if compiled is None else 0.0 if compiled else np.inf
    with patch.object(loop, "WORTH_COMPILING", worth):
        return loop.Trainer(
            model, points, smooth, objective_of(toy), keras.optimizers.Adam(), together, STEPS
        )


def on_events(
    sample: ct.Sample, events: ct.EventSample, toy: toys.Toy, n_categories: int, *, smooth: bool
) -> EventTrainer:
    """Steps on events in one fold, with smooth shares of the processes or without."""
    points = sample.points()
    model = ct.GaussianMixture(n_categories)
    model.initialise(_start(points.coarsened(MAX_CELLS), toy, n_categories))
    shares = shares_of(points) if smooth else None
    of_folds = holding(events, points.processes, model, EVENT_STEPS, shares, None)
    return EventTrainer(model, of_folds([0]), objective_of(toy), keras.optimizers.Adam())


def _start(points: Points, toy: toys.Toy, n_categories: int) -> Start:
    return random_start(points, objective_of(toy), n_categories, np.random.default_rng(1))
