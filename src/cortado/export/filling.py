"""A background for bins that have none, on request."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cortado.errors import InputError
from cortado.export.fit_input import FitChannel

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

logger = logging.getLogger(__name__)


_ROUNDING = 1e-9


def is_populated(background: Floats, variance: Floats) -> Bools:
    """(B,) where Σw of the background is positive and made of at least one effective event, (Σw)²/Σw².

    With positive weights, one event is one effective event. There are fewer where negative weights take away
    more than they leave, and the uncertainty of the background is larger than the background.
    """
    return np.asarray((background > 0) & (background**2 >= variance * (1 - _ROUNDING)))


def fill_background(channel: FitChannel, signals: Sequence[str], value: float) -> FitChannel:
    """The channel with ``value`` expected background events in every bin of less that is not populated.

    They are those of the largest background of the channel, with a statistical uncertainty of 100 % and in
    all variations; the other backgrounds of the bin are set to 0. What is filled is logged as a warning,
    since it decides the significance of the bin: with a known background, three signal events over 10⁻⁶ have
    Z = 9.1, over 10⁻² they have 5.3. Raises ``InputError`` for a channel of signals alone.
    """
    rows = np.array([p for p, name in enumerate(channel.processes) if name not in signals], np.int64)
    if not rows.size:
        raise InputError(f"channel {channel.name!r} has no background process that could be filled in")
    background = channel.nominal[rows]
    total = background.sum(axis=0)
    populated = is_populated(total, channel.variances[rows].sum(axis=0))
    empty = np.flatnonzero(~populated & (total < value))
    if not empty.size:
        return channel
    main = rows[np.argmax(background.sum(axis=1))]
    nominal, variances, varied = channel.nominal.copy(), channel.variances.copy(), channel.varied.copy()
    for numbers, filled in ((nominal, value), (variances, value**2), (varied, value)):
        numbers[..., rows[:, None], empty] = 0.0
        numbers[..., main, empty] = filled
    logger.warning(
        "%g background events of %s filled into %s of channel %s, which had less than one effective event: "
        "the significance there is that of the number filled in",
        value,
        channel.processes[main],
        ", ".join(channel.bins[b] for b in empty),
        channel.name,
    )
    return replace(channel, nominal=nominal, variances=variances, varied=varied)
