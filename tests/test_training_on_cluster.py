"""Training on events that two worker processes hold gives the same as in this process, to the last bit."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortado import toys
from cortado.errors import ConfigError, InputError, TrainingError
from cortado.event_sample import EventSample
from cortado.models import GaussianMixture, Model, SigmoidCuts
from cortado.models.tensorflow import keras, tf
from cortado.objectives import Asimov, MinBackground
from cortado.sample import Sample
from cortado.shares import shares_of
from cortado.startup import load_tensorflow
from cortado.training import FitResult, Step, fit
from cortado.training.cluster import There, _shares
from cortado.training.on_events import holding
from cortado.training.starts import random_start

pytestmark = pytest.mark.cluster

OBJECTIVE = Asimov(toys.SIGNALS) + MinBackground(10.0)
OPTIONS: dict[str, Any] = {"seed": 1, "starts": 1, "steps": 10, "event_steps": 20, "evaluate_every": 10}


class Network(Model):
    """A model of a user's, whose layer waits for its first input."""

    def __init__(self, n_categories: int, width: int) -> None:
        super().__init__(n_categories)
        self.width = width
        self.layers = [
            keras.layers.Dense(n, "tanh", kernel_initializer="ones") for n in (width, n_categories)
        ]

    @property
    def configuration(self) -> dict[str, Any]:
        return {"n_categories": self.n_categories, "width": self.width}

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        x = tf.cast(u, tf.float32)
        for layer in self.layers:
            x = layer(x)
        return tf.nn.softmax(tf.cast(x, tf.float64) * tf.cast(sharpness, tf.float64))


class Unlike(Network):
    """A model that does not say how to make it."""

    @property
    def configuration(self) -> dict[str, Any]:
        return {"n_categories": self.n_categories}


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def arrays() -> dict[str, tuple[Any, Any]]:
    return dict(toys.arrays(toys.three_class(seed=5, n_signal=1_000, n_background=10_000)))


@pytest.fixture(scope="module")
def sample(arrays: dict[str, tuple[Any, Any]]) -> Sample:
    return Sample.from_arrays(arrays, "logratio", names=toys.SCORES)


@pytest.fixture(scope="module")
def events(arrays: dict[str, tuple[Any, Any]]) -> EventSample:
    return EventSample.from_arrays(arrays, "logratio", names=toys.SCORES)


@pytest.fixture(scope="module")
def here(sample: Sample, events: EventSample) -> FitResult:
    return fit(GaussianMixture(4), sample, OBJECTIVE, events=events, **OPTIONS)


def assert_same(a: FitResult, b: FitResult) -> None:
    assert a.categorizer == b.categorizer
    assert repr(a.history) == repr(b.history)
    for one, other in ((a.training, b.training), (a.held_out, b.held_out)):
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.sumw, other.sumw)


@pytest.mark.parametrize("steps", [10, 10**7], ids=["traced", "compiled"])
@pytest.mark.parametrize("smooth", [False, True])
def test_sums_and_gradients_are_the_same(
    client: Any, sample: Sample, events: EventSample, steps: int, smooth: bool
) -> None:
    points = sample.points([0])
    model = GaussianMixture(3)
    model.initialise(random_start(points.coarsened(500), OBJECTIVE, 3, np.random.default_rng(1)))
    shares = shares_of(points) if smooth else None
    found = []
    for cluster in (None, client):
        of_folds = holding(events, points.processes, model, steps, shares, cluster)(range(2))
        derivatives = np.random.default_rng(2).normal(size=(7, of_folds.n_sums, 3))
        found.append([of_folds.soft_sums(2.0), *of_folds.gradient(2.0, derivatives)])
        found[-1].append(of_folds.yields(model.freeze(points)).sumw)
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "in files"])
def test_categories_are_the_same(
    client: Any, here: FitResult, sample: Sample, events: EventSample, stored: bool, tmp_path: Path
) -> None:
    events = events.save(tmp_path) if stored else events
    there = fit(GaussianMixture(4), sample, OBJECTIVE, events=events, client=client, **OPTIONS)
    assert_same(there, here)
    pids = client.run(os.getpid)
    assert len(pids) == 2
    assert os.getpid() not in pids.values()


def test_a_model_of_ones_own(client: Any, sample: Sample, events: EventSample) -> None:
    options = OPTIONS | {"starts": 1, "steps": 0}
    results = [
        fit(Network(3, width=4), sample, OBJECTIVE, events=events, client=c, **options)
        for c in (None, client)
    ]
    assert_same(*results)
    with pytest.raises(ConfigError, match=r"Unlike\.configuration must be the arguments"):
        fit(Unlike(3, width=4), sample, OBJECTIVE, events=events, client=client, **options)


def test_a_worker_that_dies_is_replaced(
    client: Any, here: FitResult, sample: Sample, events: EventSample
) -> None:
    killed = []

    def kill(step: Step) -> None:
        if (step.start, step.step) == (1, 9):
            killed.append(min(client.run(os.getpid).values()))
            os.kill(killed[0], signal.SIGKILL)

    there = fit(
        GaussianMixture(4), sample, OBJECTIVE, events=events, client=client, callbacks=[kill], **OPTIONS
    )
    assert len(killed) == 1
    assert_same(there, here)


@pytest.fixture
def halves() -> SigmoidCuts:
    model = SigmoidCuts([2, 1])
    model.restore({"low": -np.ones(2), "high": np.ones(2), "shares_0": np.zeros(2), "shares_1": np.zeros(1)})
    return model


def test_files_that_workers_do_not_see_are_an_error(
    client: Any, halves: SigmoidCuts, events: EventSample, tmp_path: Path
) -> None:
    saved = events.save(tmp_path)
    (tmp_path / "0003.npy").unlink()
    held = holding(saved, saved.processes, halves, 10, None, client)(range(2))
    with pytest.raises(InputError, match=r"cannot read events from .*0003\.npy"):
        held.yields(halves.parameters())


def test_workers_that_are_lost_for_good_are_an_error(halves: SigmoidCuts, events: EventSample) -> None:
    class Dying:
        """A client whose workers die over and over."""

        def nthreads(self) -> dict[str, int]:
            return {"one": 1}

        def submit(self, function: Any, *_: Any, **__: Any) -> Any:
            return function

        def gather(self, functions: list[Any]) -> None:
            if functions != [load_tensorflow]:
                raise CancelledError("gone")

    held = holding(events, events.processes, halves, 10, None, Dying())(range(2))
    with pytest.raises(
        TrainingError, match=r"workers that held the events were lost \(CancelledError: gone\)"
    ):
        held.yields(halves.parameters())


@pytest.mark.parametrize(
    ("sizes", "n_workers", "expected"),
    [
        ([5, 5, 5, 5], 2, [[0, 2], [1, 3]]),
        ([1, 9, 3, 4, 2], 2, [[1, 0], [2, 3, 4]]),
        ([7], 3, [[0]]),
        ([], 3, []),
    ],
)
def test_every_unit_goes_to_one_worker(sizes: list[int], n_workers: int, expected: list[list[int]]) -> None:
    assert _shares(sizes, n_workers) == [sorted(share) for share in expected]


def test_a_cluster_without_workers_is_an_error() -> None:
    class Empty:
        def nthreads(self) -> dict[str, int]:
            return {}

    with pytest.raises(ConfigError, match="no worker"):
        There(Empty(), None, None, [])  # type: ignore[arg-type]
