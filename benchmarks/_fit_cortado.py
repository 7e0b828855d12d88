"""cortado on events or on a sample from a file: what ``_fit_gato_hep.py`` is for the peer."""

from __future__ import annotations

import inspect

import numpy as np
from _processes import answer, job_of_this_process, measured
from _stages import watched
from _toy import objective_of, toy_named

import cortado as ct
from cortado.models.tensorflow import keras, tf
from cortado.training import Cosine


def main() -> None:
    """Train as the job says; write the categories of the events it names, if any."""
    job = job_of_this_process()
    fit, model = ct.fit, ct.GaussianMixture(job["n_categories"])  # what is named here is imported by now
    tf.config.list_logical_devices()  # starts TensorFlow's runtime
    # numba imports much at its first call.
    ct.Sample.from_arrays({"none": (np.full((1, 1), 0.5), np.ones(1))})
    toy, settings = toy_named(job["toy"]), job["settings"]
    for schedule in {"learning_rate", "temperature"} & set(settings):
        settings[schedule] = Cosine(*settings[schedule])
    if "optimizer" in settings:
        settings["optimizer"] = keras.optimizers.get(settings["optimizer"])
    events, sample = {}, None
    if "sample" in job:
        sample = ct.Sample.load(job["sample"])
    else:
        with np.load(job["training"]) as file:
            events = {p: (file[f"{p}/scores"], file[f"{p}/weight"]) for p in toy.processes}
    with watched() as watch, measured() as report:
        if sample is None:
            sample = ct.Sample.from_arrays(events, toy.coordinates, names=toy.names, n_folds=1)
        result = fit(model, sample, objective_of(toy), seed=job["seed"], **settings)
    numbers = {name: value.default for name, value in inspect.signature(fit).parameters.items()}
    report["trained"] = "{starts} × {steps}".format(**numbers | settings)
    report["stages"] = watch.stages(report["seconds"])
    report["objective"] = result.objective.value(result.training)
    report["cells"] = len(np.unique(sample.cells.key, axis=0))
    found = {}
    for part in ("training", "test") if "categories" in job else ():
        with np.load(job[part]) as file:
            for process in toy.processes:
                found[f"{part}/{process}"] = result.categorizer(file[f"{process}/scores"]).astype(np.uint8)
    if found:
        np.savez(job["categories"], **found)
    answer(report)


if __name__ == "__main__":
    main()
