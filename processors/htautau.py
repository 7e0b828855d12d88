"""H→ττ → μτh in the flat ntuples of the CMS Open Data analysis: a coffea processor to copy.

It shows all that an analysis needs in order to use cortado: a selection, a weight, and one call of `fill`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from coffea.processor import ProcessorABC

from cortado.columnar import entry_ids


class HTauTau(ProcessorABC):
    """Select μτh events and hand them to a sink.

    `sink` is a `cortado.Collector` in the first pass and a `cortado.TemplateFiller` in the second: both take
    the same `fill`, so the selection is written once. The sink picks its features from the events by name.
    """

    def __init__(self, sink: Any, max_mt_1: float = 30.0, max_iso_1: float = 0.1) -> None:
        self.sink = sink
        self.max_mt_1 = max_mt_1  # transverse mass of muon and missing momentum, GeV: against W+jets
        self.max_iso_1 = max_iso_1  # isolation of the muon, relative to its pT: against multijet events

    def process(self, events: Any) -> Any:
        """What the sink makes of one chunk; such results add up."""
        opposite_sign = events.q_1 * events.q_2 < 0
        keep = opposite_sign & (events.mt_1 < self.max_mt_1) & (events.iso_1 < self.max_iso_1)
        selected = events[keep]
        return self.sink.fill(
            events.metadata["dataset"],
            selected,
            selected.weight,  # complete: cross section × luminosity / generated events; 1 for collision data
            event_id=entry_ids(events)[np.asarray(keep)],  # these ntuples have no event number
        )

    def postprocess(self, accumulator: Any) -> Any:
        return accumulator
