"""gato-hep on events from a file, as in its examples; runs in the environment of ``_gato_environment.py``.

Its examples for the three classes and for one discriminant, without the plots and without the diagnostics
that they make every 25 epochs: a Gaussian mixture on the scores as they stand, all events in every step,
one traced step an epoch, RMSprop, learning rate and temperature set anew before every epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from _peer_settings import LEARNING_RATE, OPTIMIZER, TEMPERATURE
from _processes import answer, job_of_this_process, measured
from gatohep.losses import high_bkg_uncertainty_penalty, low_bkg_penalty
from gatohep.models import gato_gmm_model
from gatohep.utils import LearningRateScheduler, TemperatureScheduler

# The penalties of its examples, whose strength there is 0.
LEAST_YIELD, LARGEST_UNCERTAINTY, STRENGTH = 5.0, 0.2, 0.0
BLOCK = 200_000


class Model(gato_gmm_model):
    """The mixture of its examples: on the simplex, or on the interval from 0 to 1."""

    def __init__(self, n_categories: int, dimensions: int, signals: list[str]) -> None:
        super().__init__(
            n_cats=n_categories,
            dim=dimensions,
            temperature=TEMPERATURE[0],
            mean_norm="sigmoid" if dimensions == 1 else "softmax",
        )
        self.signals = signals

    def call(self, data: dict[str, Any]) -> tuple[Any, Any, Any]:
        """Minus the geometric mean of the significances; background and its Σw², per category."""
        found, background, sumw2 = self.get_differentiable_significance(
            data, signal_labels=self.signals, return_details=True
        )
        if len(self.signals) == 1:
            return -found[self.signals[0]], background, sumw2
        return -tf.sqrt(found[self.signals[0]] * found[self.signals[1]]), background, sumw2


def tensors(events: Mapping[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """The events as the peer wants them."""
    return {
        process: {
            "NN_output": tf.constant(events[f"{process}/scores"][:, : job["dimensions"]], tf.float32),
            "weight": tf.constant(events[f"{process}/weight"], tf.float32),
        }
        for process in job["processes"]
    }


def epochs_of(data: dict[str, Any], job: dict[str, Any]) -> Callable[[int], Model]:
    """A function that makes one epoch, by its number from 0 on, and returns the model."""

    @tf.function
    def step(model: Model, data: dict[str, Any], optimizer: Any) -> Any:
        with tf.GradientTape() as tape:
            loss, background, sumw2 = model.call(data)
            few = low_bkg_penalty(background, threshold=LEAST_YIELD)
            uncertain = high_bkg_uncertainty_penalty(sumw2, background, rel_threshold=LARGEST_UNCERTAINTY)
            total = loss + STRENGTH * few + STRENGTH * uncertain
        gradients = tape.gradient(total, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))  # noqa: B905  as it is there
        return loss

    tf.random.set_seed(job["seed"])
    model = Model(job["n_categories"], job["dimensions"], job["signals"])
    first, last = LEARNING_RATE
    optimizer = tf.keras.optimizers.get({"class_name": OPTIMIZER, "config": {"learning_rate": first}})
    rate = LearningRateScheduler(
        optimizer, lr_initial=first, lr_final=last, total_epochs=job["epochs"], mode="cosine"
    )
    first, last = TEMPERATURE
    temperature = TemperatureScheduler(
        model, t_initial=first, t_final=last, total_epochs=job["epochs"], mode="cosine"
    )
    losses = []

    def epoch(number: int) -> Model:
        rate.update(number)
        temperature.update(number)
        losses.append(step(model, data, optimizer).numpy())
        return model

    return epoch


def categories(model: Model, scores: np.ndarray) -> np.ndarray:
    """(n,) hard categories, a block of events at a time."""
    blocks = [scores[i : i + BLOCK] for i in range(0, len(scores), BLOCK)]
    return np.concatenate([np.asarray(model.get_bin_indices(block)) for block in blocks]).astype(np.uint8)


def main() -> None:
    """Train on the events of the job, and write the categories of those events and of others."""
    job = job_of_this_process()
    tf.config.list_logical_devices()  # starts TensorFlow's runtime
    with np.load(job["training"]) as file:
        events = {name: file[name] for name in file.files}
    wall, processor = [], []
    with measured() as report:
        epoch = epochs_of(tensors(events, job), job)
        for number in range(job["epochs"]):
            wall.append(-time.perf_counter())
            processor.append(-time.process_time())
            model = epoch(number)
            wall[-1] += time.perf_counter()
            processor[-1] += time.process_time()
    report["per_epoch"] = {"seconds": wall, "cpu_seconds": processor}
    found = {}
    for part in ("training", "test"):
        with np.load(job[part]) as file:
            for process in job["processes"]:
                scores = file[f"{process}/scores"][:, : job["dimensions"]]
                found[f"{part}/{process}"] = categories(model, scores)
    np.savez(job["categories"], **found)
    answer(report | {"trained": str(job["epochs"])})


if __name__ == "__main__":
    main()
