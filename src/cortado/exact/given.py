"""What solvers are given: points, or the sample that these are of."""

from __future__ import annotations

from cortado.errors import ConfigError
from cortado.points import Points
from cortado.sample import Sample


def points_of(given: Points | Sample) -> Points:
    """The points, those of all folds for a sample. Raises ``ConfigError`` for anything else."""
    if isinstance(given, Sample):
        return given.points()
    if not isinstance(given, Points):
        raise ConfigError(f"points must be Points or a Sample, got {type(given).__name__}")
    return given
