"""Two steps on events in files, in a process of its own, for its peak memory."""

from __future__ import annotations

import numpy as np
from _processes import answer, job_of_this_process, measured
from _steps import on_events
from _toy import toy_named

import cortado as ct
from cortado.models.tensorflow import tf


def main() -> None:
    """Take the steps from a model that begins from a sample."""
    job = job_of_this_process()
    tf.config.list_logical_devices()  # starts TensorFlow's runtime
    with measured() as report:
        sample, events = ct.Sample.load(job["sample"]), ct.EventSample.load(job["events"])
        trainer = on_events(sample, events, toy_named(job["toy"]), job["n_categories"], smooth=True)
        two = np.ones(2)
        trainer.run(two, 1e-3 * two, two)
    answer(report)


if __name__ == "__main__":
    main()
