"""The categories as regions of the discriminant."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patheffects import withStroke
from scipy import ndimage

from cortado.categorizer import Categorizer
from cortado.errors import ConfigError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Range = tuple[float, float]

_SMALLEST_FONT = 7.0  # points
_SMALLEST_REGION = 1.5  # points from the middle of a region to its border
_TITLE_WIDTH = 60  # characters


def category_map(
    categorizer: Categorizer,
    *,
    ax: Axes | None = None,
    ranges: Sequence[Range] | None = None,
    resolution: int = 400,
    fixed: Sequence[float] | None = None,
) -> Axes:
    """Draw the regions of the categories in the plane of the first two coordinates and return the axes.

    Each region is filled with a colour of its own, from dark (first category) to bright (last), and holds the
    category's number in the middle of its largest connected part and of others with room for it. One
    coordinate gives intervals along the x axis; three and more, a section through the space, stated in the
    title. A category that does not meet the section or the ranges is not drawn.

    Parameters
    ----------
    categorizer
        Its features name the axes; its rule is evaluated in the middle of every pixel.
    ax
        Where to draw; the current axes without it.
    ranges
        (low, high) of each drawn coordinate, or of all d; the present limits of the axes without it.
    resolution
        Pixels along each drawn coordinate.
    fixed
        Values of the coordinates from the third on; the middle of their ``ranges`` without it.

    Raises
    ------
    ConfigError
        Where ``ranges``, ``fixed`` or ``resolution`` do not fit the coordinates.
    """
    ax = plt.gca() if ax is None else ax
    labels = categorizer.features.labels
    drawn = min(2, len(labels))
    if resolution < 2:
        raise ConfigError(f"resolution must be at least 2 pixels, got {resolution}")
    held = _held(labels, ranges, fixed)
    spans = [ax.get_xlim(), ax.get_ylim()][:drawn] if ranges is None else [*ranges][:drawn]
    category = _sample(categorizer, spans, held, resolution)

    _fill(ax, category, spans, categorizer.n_categories)
    _outline(ax, category, spans)
    _number(ax, category, spans, categorizer.n_categories)
    ax.set_xlim(*spans[0])
    ax.set_xlabel(labels[0])
    if drawn == 1:
        ax.set_yticks([])
    else:
        ax.set_ylim(*spans[1])
        ax.set_ylabel(labels[1])
    if held:
        ax.set_title(_section(labels[drawn:], held), loc="right", fontsize=plt.rcParams["legend.fontsize"])
    return ax


def _section(labels: Sequence[str], held: Sequence[float]) -> str:
    """Where the plane lies, in lines that break between coordinates only."""
    # No-break spaces hold a coordinate together.
    texts = [
        f"{label} = {value:.4g}".replace(" ", "\u00a0") for label, value in zip(labels, held, strict=True)
    ]
    return textwrap.fill("at " + ", ".join(texts), _TITLE_WIDTH, break_long_words=False)


def category_colours(n_categories: int) -> ListedColormap:
    """One colour a category, dark to bright, even in lightness and safe for colour-blind readers."""
    return ListedColormap(mpl.colormaps["viridis"](np.linspace(0.0, 1.0, n_categories)))


def _held(
    labels: Sequence[str], ranges: Sequence[Range] | None, fixed: Sequence[float] | None
) -> list[float]:
    """Values of the coordinates that are not drawn."""
    drawn, d = min(2, len(labels)), len(labels)
    if ranges is not None and len(ranges) not in (drawn, d):
        raise ConfigError(f"ranges needs one (low, high) for each of {list(labels)}, got {len(ranges)}")
    if bad := [span for span in ranges or () if not span[0] < span[1]]:
        raise ConfigError(f"ranges must go upwards, got {bad[0]}")
    if fixed is None and d > drawn:
        if ranges is None or len(ranges) != d:
            raise ConfigError(f"fixed needs a value for each of {list(labels[drawn:])}, got none")
        return [0.5 * (low + high) for low, high in ranges[drawn:]]
    if len(fixed or ()) != d - drawn:
        raise ConfigError(f"fixed needs a value for each of {list(labels[drawn:])}, got {list(fixed or ())}")
    return [float(value) for value in fixed or ()]


def _centres(span: Range, resolution: int) -> Floats:
    low, high = span
    return low + (np.arange(resolution) + 0.5) * (high - low) / resolution


def _sample(
    categorizer: Categorizer, spans: Sequence[Range], held: Sequence[float], resolution: int
) -> Integers:
    """Categories in the middle of the pixels: (rows, columns), rows along the second coordinate."""
    grid = np.meshgrid(*(_centres(span, resolution) for span in spans))
    columns = [axis.ravel() for axis in grid] + [np.full(grid[0].size, value) for value in held]
    u = np.stack(columns, axis=1)
    return categorizer.rule.assign(u).reshape(-1, resolution)


def _fill(ax: Axes, category: Integers, spans: Sequence[Range], n_categories: int) -> None:
    ax.imshow(
        category,
        extent=(*spans[0], *(spans[1] if len(spans) > 1 else (0.0, 1.0))),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=category_colours(n_categories),
        vmin=-0.5,
        vmax=n_categories - 0.5,
    )


def _outline(ax: Axes, category: Integers, spans: Sequence[Range]) -> None:
    style: dict[str, Any] = {"colors": "white", "linewidths": 0.8}
    if len(spans) == 1:
        x = _centres(spans[0], category.shape[1])
        change = np.flatnonzero(np.diff(category[0]))
        ax.vlines(0.5 * (x[change] + x[change + 1]), 0, 1, **style)
        return
    x, y = (_centres(span, n) for span, n in zip(spans, reversed(category.shape), strict=True))
    present = np.unique(category)
    # The outline of a region is also that of its neighbours: the last one needs none of its own.
    for k in present[:-1]:
        ax.contour(x, y, (category == k).astype(np.float64), levels=[0.5], **style)


def _number(ax: Axes, category: Integers, spans: Sequence[Range], n_categories: int) -> None:
    """Write each category's number into its region, small enough to fit."""
    box = ax.get_window_extent()
    figure: Any = ax.get_figure(root=True)
    points = 72.0 / figure.dpi
    pixel = (box.height * points / category.shape[0], box.width * points / category.shape[1])
    colours = category_colours(n_categories)
    normal = float(plt.rcParams["font.size"])
    for k in np.unique(category):
        text, fill = str(k), colours(int(k))
        # Digits are about 0.6 wide and 0.7 high in units of the font size: half the diagonal has to fit.
        per_point = 0.9 / (0.5 * np.hypot(0.6 * len(text), 0.7))
        for index, (row, column, radius) in enumerate(_middles(category == k, pixel)):
            size = min(normal, per_point * radius)
            if radius < _SMALLEST_REGION or (index > 0 and size < _SMALLEST_FONT):
                break
            ax.text(
                _centres(spans[0], category.shape[1])[column],
                _centres(spans[1], category.shape[0])[row] if len(spans) > 1 else 0.5,
                text,
                color="white" if _luminance(fill) < 0.5 else "black",
                fontsize=max(_SMALLEST_FONT, size),
                ha="center",
                va="center_baseline",
                path_effects=[withStroke(linewidth=2, foreground=fill)],
            )


def _middles(region: npt.NDArray[np.bool_], pixel: tuple[float, float]) -> list[tuple[int, int, float]]:
    """Row, column and distance to the border of each connected part's innermost pixel, largest part first."""
    parts, n_parts = ndimage.label(region)
    # The edge of the picture is a border too.
    distance = ndimage.distance_transform_edt(np.pad(region, 1), sampling=pixel)[1:-1, 1:-1]
    area = ndimage.sum_labels(region, parts, np.arange(1, n_parts + 1))
    return [_innermost(distance, parts == 1 + index) for index in np.argsort(-area, kind="stable")]


def _innermost(distance: Floats, part: npt.NDArray[np.bool_]) -> tuple[int, int, float]:
    radius = distance[part].max()
    # A long part has a whole ridge of such pixels: the one in the middle of them.
    ridge = np.argwhere(part & (distance >= 0.97 * radius))
    row, column = ridge[np.argmin(((ridge - ridge.mean(axis=0)) ** 2).sum(axis=1))]
    return int(row), int(column), float(radius)


def _luminance(colour: tuple[float, ...]) -> float:
    """Perceived lightness of an RGB colour between 0 and 1 (ITU-R BT.601)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
