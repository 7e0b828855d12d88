"""Log-normal uncertainties of rates, given as numbers: ``lnN`` in combine and ``normsys`` in pyhf."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from cortado.arguments import InWords, Number, checked_arguments
from cortado.errors import ConfigError

# A factor for one standard deviation up, down being its inverse, or those for down and up.
Rate = Number | tuple[Number, ...] | list[Number]
# By nuisance parameter: for every process, or by process.
RateUncertainties = Annotated[
    Mapping[str, Rate | Mapping[str, Rate]],
    InWords("numbers or pairs (down, up) by nuisance parameter, or by nuisance parameter and process"),
]

# Who writes 0.016 means 1.016.
_LEAST, _LARGEST = 0.1, 10.0


class LogNormal(NamedTuple):
    """What the rate of a process is multiplied by, one standard deviation down and up."""

    down: float
    up: float

    @property
    def is_one_number(self) -> bool:
        """Whether down is the inverse of up."""
        return self.down == 1 / self.up

    @property
    def in_card(self) -> str:
        """As combine reads it: one number, or down/up."""
        return repr(self.up) if self.is_one_number else f"{self.down!r}/{self.up!r}"


@checked_arguments
def log_normals(
    rate_uncertainties: RateUncertainties, processes: Sequence[str]
) -> dict[str, dict[str, LogNormal]]:
    """By nuisance parameter and process, from numbers as users write them.

    Raises ``ConfigError`` for processes that are not simulated, and for numbers that are no factors.
    """
    found: dict[str, dict[str, LogNormal]] = {}
    for nuisance, given in rate_uncertainties.items():
        by_process = given if isinstance(given, Mapping) else dict.fromkeys(processes, given)
        if unknown := [name for name in by_process if name not in processes]:
            raise ConfigError(
                f"rate_uncertainties.{nuisance} names {unknown}, which are not among the simulated processes "
                f"{list(processes)}"
            )
        if not by_process:
            raise ConfigError(f"rate_uncertainties.{nuisance} must name a process, got none")
        found[nuisance] = {name: log_normal(rate, nuisance) for name, rate in by_process.items()}
    return found


def log_normal(rate: Rate, nuisance: str) -> LogNormal:
    """From a factor, or from those for down and up. Raises ``ConfigError`` for what is none."""
    factors = rate if isinstance(rate, tuple | list) else (rate,)
    numbers = [float(factor) for factor in factors if math.isfinite(factor) and factor > 0]
    far = any(not _LEAST <= factor <= _LARGEST for factor in numbers)
    if len(numbers) != len(factors) or len(numbers) not in (1, 2) or set(numbers) == {1.0} or far:
        raise ConfigError(
            f"rate_uncertainties.{nuisance} must be a factor from {_LEAST} to {_LARGEST} and other than 1, "
            f"like 1.016 for 1.6 %, or those for down and up, got {rate!r}"
        )
    return LogNormal(1 / numbers[0], numbers[0]) if len(numbers) == 1 else LogNormal(*numbers)
