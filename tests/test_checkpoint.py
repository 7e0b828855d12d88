"""Laws of checkpoints: an interrupted training goes on to the same result, and to none but its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortado import toys
from cortado.errors import ConfigError, InputError, TrainingError
from cortado.models import GaussianMixture, MaxAffine, Model, SigmoidCuts
from cortado.models.tensorflow import keras, tf
from cortado.objectives import Asimov, MinBackground, Yields
from cortado.sample import Sample
from cortado.training import Constant, Exponential, FitResult, Step, TrainingWarning, fit

OBJECTIVE = Asimov("signal1") + MinBackground(10.0)
OPTIONS: dict[str, Any] = {
    "seed": 3,
    "starts": 2,
    "steps": 25,
    "evaluate_every": 10,
    "temperature": Exponential(1.0, 0.1),
    "learning_rate": Exponential(0.1, 0.01),
    "initialisation": "random",
}


class Slopes(Model):
    """A model of a user's, without a way of its own to begin."""

    def __init__(self, n_categories: int) -> None:
        super().__init__(n_categories)
        self.slopes = tf.Variable(np.zeros((1, n_categories)), dtype=tf.float64, name="slopes")
        self.offsets = tf.Variable(np.zeros(n_categories), dtype=tf.float64, name="offsets")

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        logits = tf.convert_to_tensor(u) @ self.slopes + self.offsets
        return tf.nn.softmax(logits * tf.cast(sharpness, tf.float64))


class Interruption(Exception):
    """What stops a training."""


class AfterEvaluations:
    """Interrupts a training at the last of ``n`` evaluations."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, step: Step) -> None:
        self.left -= 1
        if not self.left:
            raise Interruption(step)


def one_dimensional(seed: int) -> Sample:
    events = toys.one_dimensional(seed=seed, n_signal=1_000, n_background=10_000)
    return Sample.from_arrays(toys.arrays(events), "logit")


@pytest.fixture(scope="module")
def sample() -> Sample:
    return one_dimensional(1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "training.npz"


def assert_same(a: FitResult, b: FitResult) -> None:
    assert a.categorizer == b.categorizer
    assert repr(a.history) == repr(b.history)  # NaN is not equal to NaN
    np.testing.assert_array_equal(a.training.sumw, b.training.sumw)


def second_start_ends_early(step: Step) -> bool:
    return step.start == 0 and step.step == 19


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda: GaussianMixture(3), {}),
        (lambda: SigmoidCuts(3), {"callbacks": [second_start_ends_early]}),
        (lambda: Slopes(3), {"optimizer": keras.optimizers.SGD(0.1, momentum=0.9), "learning_rate": None}),
    ],
    ids=["GaussianMixture", "a start that a callback ends", "a model of one's own"],
)
def test_a_training_interrupted_again_and_again_comes_to_the_same(
    sample: Sample, path: Path, make: Callable[[], Model], change: dict[str, Any]
) -> None:
    options = OPTIONS | change
    straight = fit(make(), sample, OBJECTIVE, **options)
    model = make()
    # Each goes two evaluations further: what is interrupted in an evaluation is not yet in the file.
    for i in range((len(straight.history) - 1) // 2):
        callbacks = [*options.get("callbacks", ()), AfterEvaluations(3)]
        with pytest.raises(Interruption):
            fit(
                model if i % 2 else make(),
                sample,
                OBJECTIVE,
                checkpoint=path,
                **options | {"callbacks": callbacks},
            )
    assert_same(fit(make(), sample, OBJECTIVE, checkpoint=path, **options), straight)


def test_a_finished_training_gives_its_result_at_once(sample: Sample, path: Path) -> None:
    first = fit(GaussianMixture(3), sample, OBJECTIVE, checkpoint=path, **OPTIONS)
    content = path.read_bytes()

    def never(step: Step) -> None:
        raise AssertionError(step)

    again = fit(GaussianMixture(3), sample, OBJECTIVE, checkpoint=path, callbacks=[never], **OPTIONS)
    assert_same(first, again)
    assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing half written is left


def test_patience_goes_on_where_it_was(sample: Sample, path: Path) -> None:
    options = OPTIONS | {"patience": 2, "steps": 60, "learning_rate": Constant(1e-12), "starts": 1}
    straight = fit(SigmoidCuts(3), sample, OBJECTIVE, **options)
    assert [s.step for s in straight.history] == [-1, 9, 19, 29]
    with pytest.raises(Interruption):
        fit(
            SigmoidCuts(3),
            sample,
            OBJECTIVE,
            checkpoint=path,
            callbacks=[AfterEvaluations(2)],
            **options,
        )
    assert_same(fit(SigmoidCuts(3), sample, OBJECTIVE, checkpoint=path, **options), straight)


def nothing(yields: Yields) -> Any:
    """An objective that is never finite."""
    return yields.sumw[0][0] * np.nan


def test_what_diverged_is_remembered(sample: Sample, path: Path) -> None:
    with pytest.warns(TrainingWarning), pytest.raises(TrainingError) as first:
        fit(SigmoidCuts(3), sample, nothing, checkpoint=path, **OPTIONS)
    with pytest.raises(TrainingError) as again:
        fit(SigmoidCuts(3), sample, nothing, checkpoint=path, **OPTIONS)
    assert str(again.value) == str(first.value)
    assert "start 1 diverged at step 0" in str(first.value)


@pytest.fixture(scope="module")
def finished(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finished") / "training.npz"
    fit(SigmoidCuts(3), sample, OBJECTIVE, checkpoint=path, **OPTIONS)
    return path


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"seed": 4}, "plan"),
        ({"steps": 26}, "plan"),
        ({"starts": 3}, "plan"),
        ({"initialisation": "partition"}, "plan"),
        ({"temperature": Exponential(1.0, 0.2)}, "plan"),
        ({"penalty": Constant(2.0)}, "plan"),
        ({"learning_rate": None}, "plan"),
        ({"patience": 3}, "plan"),
        ({"objective": Asimov("signal1") + MinBackground(11.0)}, "objective"),
        ({"objective": OBJECTIVE.with_scales({"bkg1": 1.1})}, "objective"),
        ({"model": SigmoidCuts(4)}, "model"),
        ({"model": SigmoidCuts(3, steepness=5.0)}, "model"),
        ({"model": MaxAffine(3)}, "model"),
        ({"optimizer": keras.optimizers.SGD()}, "optimizer"),
        ({"optimizer": keras.optimizers.Adam(beta_1=0.8)}, "optimizer"),
        ({"sample": one_dimensional(2)}, "sample"),
        ({"held_out": []}, "sample"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_a_checkpoint_of_another_training_is_an_error(
    sample: Sample, finished: Path, change: dict[str, Any], what: str
) -> None:
    arguments: dict[str, Any] = {"model": SigmoidCuts(3), "sample": sample, "objective": OBJECTIVE} | OPTIONS
    arguments |= change
    with pytest.raises(ConfigError, match=rf"training\.npz is that of another training: its {what} is "):
        fit(checkpoint=finished, **arguments)


def test_the_name_of_an_optimizer_does_not_matter(sample: Sample, finished: Path) -> None:
    optimizer = keras.optimizers.Adam(name="another")
    fit(SigmoidCuts(3), sample, OBJECTIVE, checkpoint=finished, optimizer=optimizer, **OPTIONS)


def array(_: bytes, path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def other_archive(_: bytes, path: Path) -> None:
    np.savez(path, header=np.array(json.dumps({"format": "another"})))


def headless(_: bytes, path: Path) -> None:
    np.savez(path, values=np.zeros(3))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _, path: path.write_text("a diary"),
        lambda _, path: path.write_bytes(b""),
        lambda content, path: path.write_bytes(content[: len(content) // 2]),
        lambda content, path: path.write_bytes(content[:2000] + b"????" + content[2004:]),
        lambda _, path: path.mkdir(),
        array,
        other_archive,
        headless,
    ],
    ids=["text", "empty", "half", "changed", "folder", "array", "another archive", "no header"],
)
def test_a_file_that_is_no_checkpoint_is_an_error(
    sample: Sample, finished: Path, path: Path, spoil: Callable[[bytes, Path], Any]
) -> None:
    spoil(finished.read_bytes(), path)
    with pytest.raises(InputError, match=r"training\.npz is not a checkpoint of a training"):
        fit(SigmoidCuts(3), sample, OBJECTIVE, checkpoint=path, **OPTIONS)


def test_an_objective_that_changed_under_its_name_is_refused(sample: Sample, path: Path) -> None:
    sign = [1.0]

    class Signed(Asimov):
        def __call__(self, yields: Yields) -> Any:
            return sign[0] * super().__call__(yields)

    options = OPTIONS | {"starts": 1}
    fit(GaussianMixture(3), sample, Signed("signal1"), checkpoint=path, **options)
    sign[0] = 7.0
    with pytest.raises(ConfigError, match="another training: the categories that it holds had an objective"):
        fit(GaussianMixture(3), sample, Signed("signal1"), checkpoint=path, **options)
