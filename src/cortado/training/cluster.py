"""Units of events on the workers of a dask cluster: each holds its part, and its own copy of the model.

What travels for a sum are the variables of the model and a few numbers, there and back. A worker that dies is
replaced by dask: its events and its copy of the model are made anew by another one, with the same result.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError, TrainingError
from cortado.models import Model
from cortado.shares import Shares
from cortado.startup import load_tensorflow
from cortado.training.blocks import Here, Kernel, Shape, Unit

Floats = npt.NDArray[np.float64]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Recipe:
    """What a worker makes its copy of the model from; two are equal if they are one."""

    shape: Shape
    model: type[Model] = field(compare=False)
    configuration: dict[str, Any] = field(compare=False)
    shares: Shares | None = field(compare=False)
    name: str = field(default_factory=lambda: uuid4().hex)

    @classmethod
    def of(cls, model: Model, shape: Shape, shares: Shares | None) -> Recipe:
        """Raises ``ConfigError`` if the model does not say how to make another one."""
        try:
            type(model)(**model.configuration)
        except TypeError as error:
            raise ConfigError(
                f"to train on a cluster, {type(model).__name__}.configuration must be the arguments that "
                f"make the model anew, got {model.configuration}: {error}"
            ) from error
        return cls(shape, type(model), model.configuration, shares)


class There:
    """Units on the workers of a cluster, to which the variables of the ``model`` are sent."""

    def __init__(self, client: Any, recipe: Recipe, model: Model, units: Sequence[Unit]) -> None:
        self._client, self._recipe, self._model = client, recipe, model
        workers = self._workers = sorted(client.nthreads())
        if not workers:
            raise ConfigError("the cluster has no worker to train on")
        self._shares = _shares([u.n_events for u in units], len(workers))
        # TensorFlow is imported before anything else is sent, as quietly as here.
        client.gather([self._submit(worker, load_tensorflow) for worker in workers])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph")  # events in memory, this once
            self._held = [
                self._submit(worker, _itself, [_by_itself(units[i]) for i in share])
                for worker, share in zip(workers, self._shares, strict=False)
            ]

    def each(self, function: Callable[..., Result], *arguments: Any) -> list[Result]:
        """What ``function(kernel, unit, *arguments)`` gives for each unit, in order.

        Raises ``TrainingError`` if workers keep dying, or the cluster is gone.
        """
        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        state = self._model.state
        parts = [
            self._submit(worker, _on_worker, held, self._recipe, state, function, arguments)
            for worker, held in zip(self._workers, self._held, strict=False)
        ]
        try:
            found = self._client.gather(parts)
        except (KilledWorker, CancelledError, CommClosedError, TimeoutError) as error:
            raise TrainingError(
                f"the workers that held the events were lost ({type(error).__name__}: {error}); what was "
                "trained so far is in the checkpoint, if there is one"
            ) from error
        by_unit = {
            i: r
            for share, part in zip(self._shares, found, strict=True)
            for i, r in zip(share, part, strict=True)
        }
        return [by_unit[i] for i in range(len(by_unit))]

    def _submit(self, worker: str, function: Callable[..., Any], *arguments: Any) -> Any:
        # Not "pure": dask would hash the events. Other workers take over where one has died.
        return self._client.submit(
            function, *arguments, workers=[worker], allow_other_workers=True, pure=False
        )


def _by_itself(unit: Unit) -> Unit:
    """The unit without events in memory that it does not need."""
    return replace(
        unit,
        stretches=tuple(
            (replace(s, rows=s.rows[start:stop], n_events=stop - start), 0, stop - start)
            if isinstance(s.rows, np.ndarray)
            else (s, start, stop)
            for s, start, stop in unit.stretches
        ),
    )


def _itself(units: list[Unit]) -> list[Unit]:
    return units


def _on_worker(
    units: list[Unit],
    recipe: Recipe,
    state: dict[str, Floats],
    function: Callable[..., Result],
    arguments: tuple[Any, ...],
) -> list[Result]:
    from distributed import get_worker

    kernel = _kernel(recipe)
    kernel.restore(state)
    return Here(kernel, units, get_worker().state.nthreads).each(function, *arguments)


@lru_cache(maxsize=1)
def _kernel(recipe: Recipe) -> Kernel:
    """The copy of the model on this worker: of one training at a time."""
    model = recipe.model(**recipe.configuration)
    model.build(recipe.shape.dimensions)
    return Kernel(model, recipe.shape, recipe.shares)


def _shares(sizes: Sequence[int], n_workers: int) -> list[list[int]]:
    """Numbers of the units for each worker, in order: the largest first, to whoever has least."""
    shares: list[list[int]] = [[] for _ in range(min(n_workers, len(sizes)))]
    held = [0] * len(shares)
    for i in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        least = held.index(min(held))
        shares[least].append(i)
        held[least] += sizes[i]
    return [sorted(share) for share in shares]
