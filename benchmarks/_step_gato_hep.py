"""Epochs of gato-hep one by one, those of ``_fit_gato_hep.py``, whenever the parent process asks for one."""

from __future__ import annotations

import numpy as np
from _fit_gato_hep import epochs_of, tensors
from _processes import each_time_asked, job_of_this_process


def main() -> None:
    """Make the epoch half-way through the schedules again and again; the model goes on from where it is."""
    job = job_of_this_process()
    with np.load(job["training"]) as events:
        epoch = epochs_of(tensors(events, job), job)
    each_time_asked(lambda: epoch(job["epochs"] // 2))


if __name__ == "__main__":
    main()
