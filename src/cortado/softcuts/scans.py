"""Losses of relaxed cuts and their gradients over a grid of cut positions, in TensorFlow's graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rich import box
from rich.table import Table

from cortado.errors import ConfigError
from cortado.files import write_whole
from cortado.models.tensorflow import tf, traced
from cortado.softcuts.events import CutEvents, Floats, checked_cuts
from cortado.softcuts.losses import Loss, losses_of
from cortado.softcuts.relaxations import Relaxation, labels, relaxations_of

Precision = Literal["float64", "float32"]

_MOST_WEIGHTS = 2_000_000  # that are in memory at once, of all events and some of the cuts
_ENDS = 5  # rows at either end of a table


@dataclass(frozen=True)
class Scan:
    """A relaxed cut at (n,) positions, in increasing order.

    ``signal_weight`` and ``background_weight`` are the average weights that its events get, ``values`` those
    of the loss and ``gradients`` their derivatives by the position of the cut, (n,) each.
    """

    relaxation: Relaxation
    loss: Loss
    cuts: Floats
    signal_weight: Floats
    background_weight: Floats
    values: Floats
    gradients: Floats

    @property
    def best(self) -> int:
        """The number of the best cut of the grid."""
        return int(np.argmin(self.loss.sign * self.values))

    @property
    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """The scan as columns (n,) of a table."""
        n = len(self.cuts)
        return {
            "relaxation": np.full(n, self.relaxation.NAME),
            "width": np.full(n, self.relaxation.width),
            "side": np.full(n, self.relaxation.side),
            "loss": np.full(n, self.loss.name),
            "cut": self.cuts,
            "signal_weight": self.signal_weight,
            "background_weight": self.background_weight,
            "value": self.values,
            "gradient": self.gradients,
        }


def scan(
    events: CutEvents,
    relaxations: Relaxation | Sequence[Relaxation],
    losses: str | Sequence[str] | None = None,
    cuts: npt.ArrayLike | None = None,
    *,
    precision: Precision = "float64",
) -> list[Scan]:
    """Values and gradients of every loss of every relaxation.

    Parameters
    ----------
    events
        Signal and background.
    relaxations
        One or several, with their widths.
    losses
        Names of :data:`LOSSES`; all of them by default.
    cuts
        (n,) positions; by default 100, from ``min − 0.2 |min|`` to ``max + 0.2 |max|`` of the events.
    precision
        Of the events, the cuts, and their weights. Sums of significances are float64 all the same: with
        "float32" it is seen where gradients die of it.

    Raises
    ------
    ConfigError
        For a loss or a precision that there is not, or without losses or relaxations.
    InputError
        For cuts that are no list of finite numbers.
    """
    chosen = relaxations_of(relaxations)
    if precision not in ("float64", "float32"):
        raise ConfigError(f'precision must be "float64" or "float32", got {precision!r}')
    of = losses_of(losses)
    grid = np.sort(events.cuts() if cuts is None else checked_cuts("cuts", cuts))
    found = []
    for relaxation in chosen:
        weights, values, gradients = _scanned(events, relaxation, of, grid, precision)
        found += [
            Scan(relaxation, loss, grid, weights[0], weights[1], values[i], gradients[i])
            for i, loss in enumerate(of)
        ]
    return found


def loss_and_weights(
    events: CutEvents, relaxation: Relaxation, dtype: Any
) -> Callable[..., tuple[list[Any], list[Any]]]:
    """Values and average weights, (n,) each, as a function of losses, cuts (n,) and a scale of the width."""
    x_s, x_b = (tf.constant(x, dtype) for x in (events.signal, events.background))
    w_s, w_b = (tf.constant(w, dtype) for w in (events.signal_weights, events.background_weights))

    def evaluated(losses: Sequence[Loss], cuts: Any, scale: Any = 1.0) -> tuple[list[Any], list[Any]]:
        f_s, f_b = (relaxation(x[None, :], cuts[:, None], scale) for x in (x_s, x_b))
        averages = [tf.reduce_sum(w * f, axis=1) / tf.reduce_sum(w) for f, w in ((f_s, w_s), (f_b, w_b))]
        return [loss(f_s, f_b, w_s, w_b) for loss in losses], averages

    return evaluated


def _scanned(
    events: CutEvents, relaxation: Relaxation, losses: Sequence[Loss], grid: Floats, precision: Precision
) -> tuple[Floats, Floats, Floats]:
    """Average weights (2, n) of signal and background; values and gradients (losses, n)."""
    dtype = tf.as_dtype(precision)
    evaluate = loss_and_weights(events, relaxation, dtype)

    def differentiated(cuts: Any) -> tuple[Any, Any, Any]:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(cuts)
            values, averages = evaluate(losses, cuts)
        # A loss at one cut depends on no other, so that the gradient of a sum is that of each of its terms.
        gradients = [tape.gradient(value, cuts) for value in values]
        return tuple(tf.stack([tf.cast(a, tf.float64) for a in p]) for p in (averages, values, gradients))

    graph = traced(differentiated, input_signature=[tf.TensorSpec([None], dtype)])
    block = max(1, _MOST_WEIGHTS // len(events))
    parts = [graph(tf.constant(grid[i : i + block], dtype)) for i in range(0, len(grid), block)]
    averages, values, gradients = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    return averages, values, gradients


def scan_table(scans: Sequence[Scan], ends: int = _ENDS) -> Table:
    """The first and last rows of scans of one loss as a rich table: value and gradient of each relaxation.

    Raises ``ConfigError`` for scans of different losses or cuts, or none.
    """
    loss, cuts = common(scans)
    table = Table(title=f"{loss.symbol} of relaxed cuts", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("cut", justify="right")
    for label in labels([found.relaxation for found in scans]):
        table.add_column(f"{label}\nvalue", justify="right")
        table.add_column("\ngradient", justify="right")
    n = len(cuts)
    shown = [*range(n)] if n <= 2 * ends else [*range(ends), *range(n - ends, n)]
    for i in shown:
        numbers = [f"{number:.6g}" for found in scans for number in (found.values[i], found.gradients[i])]
        table.add_row(f"{cuts[i]:.4f}", *numbers, end_section=i == ends - 1 < n - ends - 1)
    return table


def common(scans: Sequence[Scan]) -> tuple[Loss, Floats]:
    """The loss and the cuts of scans that have them in common; else ``ConfigError``."""
    if not scans or any(s.loss != scans[0].loss or not np.array_equal(s.cuts, scans[0].cuts) for s in scans):
        names = sorted({s.loss.name for s in scans})
        raise ConfigError(f"scans must be of one loss at the same cuts, got {len(scans)} scans of {names}")
    return scans[0].loss, scans[0].cuts


def write_scans(path: str | Path, scans: Sequence[Scan]) -> None:
    """Write all rows of scans below each other as Parquet or CSV, by the suffix of ``path``.

    Whole or not at all. Raises ``ConfigError`` for another suffix or no scans, ``OutputError`` where the file
    cannot be written.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    writers = {".parquet": pq.write_table, ".csv": pa.csv.write_csv}
    path = Path(path)
    if path.suffix not in writers:
        raise ConfigError(f"path must end in {' or '.join(writers)}, got {path.name!r}")
    if not scans:
        raise ConfigError("scans must be at least one, got none")
    columns = [s.columns for s in scans]
    table = pa.table({name: np.concatenate([c[name] for c in columns]) for name in columns[0]})
    with write_whole(path) as partial:
        writers[path.suffix](table, partial)
