"""H→ττ → μτh in the flat ntuples of the CMS Open Data analysis: a coffea processor to copy.

It shows all that an analysis needs in order to use cortado: a selection, a weight, observables, the scores of
classifiers, and one call of `fill`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from coffea.processor import ProcessorABC

from cortado.columnar import FoldedScorer, entry_ids

NO_JET = -999.0  # what the ntuples hold for a quantity that does not exist in an event


class HTauTau(ProcessorABC):
    """Select μτh events and hand them to a sink.

    `sink` is a `cortado.Collector` in the first pass and a `cortado.TemplateFiller` in the second, or an
    `ObservableCollector` before classifiers are trained: all take the same `fill`, so the selection is
    written once. The sink picks what it needs by name: branches, `observables`, and the scores of
    `classifiers`, which are ONNX files, the k-th of a classifier that has not seen fold k.

    A dataset with `same_sign` in its metadata gives events with a pair of equal charges, with that factor:
    they stand for multijet events of opposite charges.
    """

    def __init__(
        self,
        sink: Any,
        classifiers: Sequence[str] = (),
        max_mt_1: float = 30.0,
        max_iso_1: float = 0.1,
    ) -> None:
        self.sink = sink
        self.scorer = FoldedScorer.load(classifiers) if classifiers else None
        self.max_mt_1 = max_mt_1  # transverse mass of muon and missing momentum, GeV: against W+jets
        self.max_iso_1 = max_iso_1  # isolation of the muon, relative to its pT: against multijet events

    @property
    def digest(self) -> str | None:
        """Other classifiers make another job."""
        return self.scorer.digest if self.scorer else None

    def process(self, events: Any) -> Any:
        """What the sink makes of one chunk; such results add up."""
        same_sign = events.metadata.get("same_sign")
        charges = events.q_1 * events.q_2
        pair = charges < 0 if same_sign is None else charges > 0
        keep = np.asarray(pair & (events.mt_1 < self.max_mt_1) & (events.iso_1 < self.max_iso_1))
        selected = events[keep]
        weight = ak.to_numpy(selected.weight).astype(np.float64)
        event_id = entry_ids(events)[keep]  # these ntuples have no event number
        features = {name: selected[name] for name in selected.fields} | observables(selected)
        if self.scorer:
            scores = self.scorer(features, event_id)
            features |= dict(zip(self.scorer.names, scores.T, strict=True))
        return self.sink.fill(
            events.metadata["dataset"],
            features,
            # complete: cross section × luminosity / generated events; 1 for collision data
            weight if same_sign is None else same_sign * weight,
            event_id=event_id,
        )

    def postprocess(self, accumulator: Any) -> Any:
        return accumulator


def observables(events: Any) -> dict[str, npt.NDArray[np.float32]]:
    """What the classifiers see of n events, each (n,): GeV, and differences of angles.

    What belongs to a jet that is not there is 0, where no jet of at least 30 GeV can be; its number of jets
    says so, too. None of them tells simulation from data, or how an event was weighted.
    """
    jet_1, jet_2 = (_column(events, name) != NO_JET for name in ("jpt_1", "jpt_2"))
    dphi = (_column(events, "phi_1") - _column(events, "phi_2") + np.pi) % (2 * np.pi) - np.pi
    deta = _column(events, "eta_1") - _column(events, "eta_2")
    found = {
        **{name: _column(events, name) for name in ("m_vis", "pt_vis", "pt_1", "pt_2", "mt_1", "mt_2")},
        "delta_r": np.hypot(deta, dphi),  # of muon and tau
        "pt_met": _column(events, "pt_met"),
        "njets": _column(events, "njets"),
        "jpt_1": np.where(jet_1, _column(events, "jpt_1"), 0),
        "abs_jeta_1": np.where(jet_1, np.abs(_column(events, "jeta_1")), 0),
        "jpt_2": np.where(jet_2, _column(events, "jpt_2"), 0),
        "mjj": np.where(jet_2, _column(events, "mjj"), 0),
        "abs_jdeta": np.where(jet_2, np.abs(_column(events, "jdeta")), 0),
        "ptjj": np.where(jet_2, _column(events, "ptjj"), 0),
        "max_btag": np.maximum(_btag(events, "jbtag_1", jet_1), _btag(events, "jbtag_2", jet_2)),
    }
    return {name: column.astype(np.float32) for name, column in found.items()}


OBSERVABLES = (
    *("m_vis", "pt_vis", "pt_1", "pt_2", "mt_1", "mt_2", "delta_r", "pt_met"),
    *("njets", "jpt_1", "abs_jeta_1", "jpt_2", "mjj", "abs_jdeta", "ptjj", "max_btag"),
)


def _column(events: Any, name: str) -> npt.NDArray[np.float64]:
    return ak.to_numpy(events[name]).astype(np.float64)


def _btag(events: Any, name: str, there: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """The discriminant of b jets, 0 to 1; −1 and −10 mark jets that it was not computed for."""
    return np.where(there, np.clip(_column(events, name), 0, 1), 0)
