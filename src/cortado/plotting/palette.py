"""Colours that colour-blind readers can tell apart."""

from __future__ import annotations

# The ten colours of arXiv:2107.02270, calm ones first: signals, the lines, are to stand out from backgrounds.
FILLS = (
    "#3f90da",
    "#ffa90e",
    "#94a4a2",
    "#92dadd",
    "#a96b59",
    "#b9ac70",
    "#717581",
    "#e76300",
    "#832db6",
    "#bd1f01",
)
LINES = ("#c8102e", "#0b2a6f", "#00694e", "#6a0dad")
