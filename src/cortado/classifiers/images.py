"""Images of jets: the transverse momentum in pixels of the plane of pseudorapidity and azimuth.

An image is (h, w): rows are bins of y, columns of x, and row 0 is the lowest, so that matplotlib shows it
with ``origin="lower"``. See :mod:`cortado.classifiers.jet_points` for the frame in which x and y are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import awkward as ak
import numpy as np
import numpy.typing as npt

from cortado.classifiers.jet_points import JetPoints, centred, flipped, rotated
from cortado.errors import ConfigError, InputError, checked_integer, shown

Images = npt.NDArray[np.float32]

_BLOCK = 1 << 22  # pixels that are added up at a time, in double precision


def jet_images(
    constituents: Any,
    size: tuple[int, int] = (32, 32),
    half_width: float = 1.0,
    *,
    rotate: bool = True,
    flip: bool = True,
) -> Images:
    """Images (n, h, w) of n jets, about their centroid.

    Parameters
    ----------
    constituents
        Awkward records with pt, eta and phi, one list a jet, or a mapping of such arrays.
    size
        (h, w) in pixels.
    half_width
        Distance of each side from the centre of the image, in η and φ; the radius of the jets, mostly.
    rotate
        Whether the principal axis of a jet is made vertical.
    flip
        Whether a jet is mirrored so that the right and the upper half are the harder ones.

    Raises
    ------
    ConfigError
        For a size or width that is not positive.
    InputError
        For constituents without pt, eta or phi, or with numbers that are not finite.
    """
    points = centred(JetPoints.of(constituents))
    points = rotated(points) if rotate else points
    points = flipped(points) if flip else points
    return pixelated(points, size, half_width)


@dataclass(frozen=True)
class JetImages:
    """What an ``ObservableCollector`` keeps of an event where it is the image of a jet.

    Attributes
    ----------
    constituents
        The field of the events with the constituents of the jet: one list of records an event.
    size, half_width, rotate, flip
        As for :func:`jet_images`.
    """

    constituents: str
    size: tuple[int, int] = (32, 32)
    half_width: float = 1.0
    rotate: bool = True
    flip: bool = True

    names: ClassVar[tuple[str, ...]] = ()
    branches: ClassVar[tuple[str, ...]] = ()

    def columns(self, events: Any) -> dict[str, Images]:
        """The images (n, h, w) as a column. Raises ``InputError`` as :func:`jet_images`."""
        if self.constituents not in (names := ak.fields(events)):
            raise InputError(
                f"there is no field {self.constituents!r} of constituents; there are {shown(names)}"
            )
        of_jets = events[self.constituents]
        images = jet_images(of_jets, self.size, self.half_width, rotate=self.rotate, flip=self.flip)
        return {"image": images}


def pixelated(points: JetPoints, size: tuple[int, int] = (32, 32), half_width: float = 1.0) -> Images:
    """Σ pT (n, h, w) of the points in each pixel; pixels hold their lower and left edge.

    Points outside of the image are left out. Errors as of :func:`jet_images`.
    """
    height, width = (checked_integer("size", n, 1) for n in size)
    if not 0 < half_width < np.inf:
        raise ConfigError(f"half_width must be positive, got {half_width}")
    row, column = (
        np.floor((values + half_width) / (2 * half_width) * n).astype(np.int64)
        for values, n in ((points.y, height), (points.x, width))
    )
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    jet, pt = points.jet[inside], points.pt[inside]
    pixel = row[inside] * width + column[inside]
    images = np.empty((points.n_jets, height, width), np.float32)
    jets_at_once = max(1, _BLOCK // (height * width))
    for start in range(0, points.n_jets, jets_at_once):
        block = images[start : start + jets_at_once]
        rows = slice(*np.searchsorted(jet, [start, start + len(block)]))
        place = (jet[rows] - start) * (height * width) + pixel[rows]
        block[...] = np.bincount(place, pt[rows], minlength=block.size).reshape(block.shape)
    return images
