"""Observables by name: the grammar, what names mean, and what happens where something is not there."""

import awkward as ak
import numpy as np
import pytest
import vector
from coffea.nanoevents.methods import vector as coffea_vector
from hypothesis import given
from hypothesis import strategies as st

import cortado as ct
from cortado.classifiers import Observables
from cortado.classifiers.observable_names import ObjectName, ObservableName

JETS = ak.Array(
    [
        [
            {"pt": 50.0, "eta": 1.0, "phi": 3.0, "mass": 5.0, "btag": 0.9, "charge": 1},
            {"pt": 40.0, "eta": -1.0, "phi": -3.0, "mass": 4.0, "btag": 0.2, "charge": -1},
        ],
        [],
        [{"pt": 30.0, "eta": 0.5, "phi": 0.1, "mass": 4.0, "btag": 0.1, "charge": -1}],
    ]
)
FAT = ak.Array([[{"tau1": 0.5, "tau2": 0.1}], [{"tau1": 0.0, "tau2": 0.0}], []])
MET = ak.Array([{"pt": 3.0, "phi": 1.0}, {"pt": 4.0, "phi": 2.0}, {"pt": 5.0, "phi": -1.0}])
EVENTS = ak.zip({"Jet": JETS, "FatJet": FAT, "MET": MET, "m_vis": [60.0, 70.0, 80.0]}, depth_limit=1)
NAN = np.nan

words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
objects = st.builds(ObjectName, words.filter(lambda w: not w[-1].isdigit()), st.none() | st.integers(0, 99))
names = st.builds(ObservableName, words, st.lists(objects, max_size=3).map(tuple))


def one(name, events=EVENTS, **options):
    return Observables((name,), **options)(events)[:, 0]


@given(names)
def test_what_is_written_is_read_again(name):
    assert ObservableName.parse(str(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "jet0.",
        ".pt",
        "jet0..pt",
        "jet0,.pt",
        "jet0.pt()",
        "__import__('os').x",
        "jet-1.pt",
        "ä.pt",
        3,
    ],
)
def test_other_texts_are_no_names(name):
    with pytest.raises(ct.ConfigError, match="observable"):
        ObservableName.parse(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m_vis", [60, 70, 80]),
        ("jet0.pt", [50, NAN, 30]),
        ("Jet0.PT", [50, NAN, 30]),
        ("jets0.pt", [50, NAN, 30]),
        ("jet1.btag", [0.2, NAN, NAN]),
        ("jet0.b_tag", [0.9, NAN, 0.1]),
        ("jet0.charge", [1, NAN, -1]),
        ("jet0,jet1.charge", [0, NAN, NAN]),
        ("jets.size", [2, 0, 1]),
        ("jet.size", [2, 0, 1]),
        ("fatjet0.tau21", [0.2, NAN, NAN]),
        ("fatjet0.tau2", [0.1, 0.0, NAN]),
        ("met.pt", [3, 4, 5]),
        ("met.px", [3 * np.cos(1), 4 * np.cos(2), 5 * np.cos(1)]),
        ("jet0,jet1.delta_eta", [2, NAN, NAN]),
        ("jet0,jet1.delta_phi", [6 - 2 * np.pi, NAN, NAN]),
        ("jet0,jet1.DeltaR", [np.hypot(2, 6 - 2 * np.pi), NAN, NAN]),
        ("jet0,met.delta_phi", [2, NAN, 1.1]),
        ("jet0,jet0.mass", [10, NAN, 8]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_names_mean(name, expected):
    np.testing.assert_allclose(one(name), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("quantity", "of"),
    [("mass", "mass"), ("m", "mass"), ("pt", "pt"), ("eta", "eta"), ("phi", "phi"), ("energy", "energy")],
)
@pytest.mark.parametrize("kind", ["plain", "coffea", "vector", "cartesian", "energy"])
def test_sums_of_momenta_are_those_of_vector(kind, quantity, of):
    momenta = vector.zip({name: JETS[name] for name in ("pt", "eta", "phi", "mass")})
    jets = {
        "plain": JETS,
        "coffea": ak.with_name(JETS, "PtEtaPhiMLorentzVector", behavior=coffea_vector.behavior),
        "vector": momenta,
        "cartesian": ak.zip({name: getattr(momenta, name) for name in ("px", "py", "pz", "energy")}),
        "energy": ak.zip({name: getattr(momenta, name) for name in ("pt", "eta", "phi", "energy")}),
    }[kind]
    expected = getattr(momenta[0, 0] + momenta[0, 1], of)
    found = one(f"jet0,jet1.{quantity}", ak.zip({"Jet": jets}, depth_limit=1))
    np.testing.assert_allclose(found, [expected, NAN, NAN], rtol=1e-9)


def test_invariant_mass_of_massless_objects_by_its_formula():
    """m² = 2 pT₁ pT₂ (cosh Δη − cos Δφ)."""
    jets = ak.Array([[{"pt": 40.0, "eta": 0.3, "phi": 1.0}, {"pt": 25.0, "eta": -1.2, "phi": -2.0}]])
    jets["mass"] = 0.0 * jets.pt
    expected = np.sqrt(2 * 40 * 25 * (np.cosh(1.5) - np.cos(3.0)))
    assert one("jet0,jet1.mass", ak.zip({"jets": jets}, depth_limit=1)) == pytest.approx(expected)


def test_single_precision_is_no_loss():
    single = ak.zip({name: ak.values_astype(JETS[name], np.float32) for name in ("pt", "eta", "phi", "mass")})
    found = one("jet0,jet1.mass", ak.zip({"Jet": single}, depth_limit=1))
    np.testing.assert_allclose(found, one("jet0,jet1.mass"), rtol=1e-6)


def test_missing_values_are_those_declared():
    observables = Observables(("jet1.pt", "jets.size", "jet0.pt"), missing={"jet1.pt": -1.0})
    expected = {"jet1.pt": [40, -1, -1], "jets.size": [2, 0, 1], "jet0.pt": [50, NAN, 30]}
    for name, values in observables.columns(EVENTS).items():
        np.testing.assert_array_equal(values, expected[name])


@pytest.mark.parametrize("missing", [-1.0, 0.0, 1.0])
def test_a_missing_value_is_never_taken_for_another(missing):
    with pytest.raises(ct.InputError, match=r"'jet0.charge': the missing value .* lies among"):
        one("jet0.charge", missing={"jet0.charge": missing})


@given(st.permutations(range(3)))
def test_values_belong_to_their_events(order):
    observables = Observables(("jet0.pt", "jet0,jet1.delta_r", "jets.size", "m_vis", "jet0,met.pt"))
    np.testing.assert_array_equal(observables(EVENTS[list(order)]), observables(EVENTS)[list(order)])


@pytest.mark.parametrize("keep", [slice(1, 2), slice(0, 0)])
def test_chunks_without_objects_or_events(keep):
    observables = Observables(("jet0.pt", "jet0,jet1.mass", "fatjet0.tau21", "jets.size"))
    found = observables(EVENTS[keep])
    assert found.shape == (len(EVENTS[keep]), 4)
    assert np.isnan(found[:, :3]).all()


def test_names_of_fields_are_given_by_the_user():
    fields = {"met": "PuppiMET", "b_tag": "btagPNetB"}
    jets = ak.with_field(ak.with_field(JETS, JETS.btag / 2, "btagPNetB"), 7.0, "b_tag")
    events = ak.zip({"Jet": jets, "MET": MET, "PuppiMET": MET[::-1]}, depth_limit=1)
    np.testing.assert_array_equal(one("met.pt", events, fields=fields), [5, 4, 3])
    np.testing.assert_array_equal(one("jet0.b_tag", events, fields=fields), [0.45, NAN, 0.05])
    with pytest.raises(ct.InputError, match="'met' is said to be 'CaloMET', and there are"):
        one("met.pt", events, fields={"met": "CaloMET"})


def test_columns_of_a_mapping_are_events_too():
    np.testing.assert_array_equal(one("m_vis", {"m_vis": np.arange(4)}), np.arange(4))
    np.testing.assert_array_equal(one("jet1.pt", {"jets": JETS}), one("jet1.pt"))


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("bjet0.pt", r"no collection 'bjet'; there are \['Jet', .*'m_vis'"),
        ("jet0.ptt", r"no quantity 'ptt' of such objects; there are \['pt', .*'btag'"),
        ("jets.pt", "'jets' is a list of objects"),
        ("met0.pt", "'met' is one object an event"),
        ("m_viss", r"no branch 'm_viss'; there are \['m_vis', "),
        ("MET", "is an object with"),
        ("met.eta", "eta needs 3 components"),
        ("met.size", "has no size"),
        ("jet0.size", "one whole collection"),
        ("fatjet0.mass", "to have a momentum"),
        ("fatjet0.charge", "no field 'charge'"),
        ("fatjet0.tau32", "no field 'tau3'"),
        ("jet0.delta_r", "of two objects, got 1"),
        ("jet0,jet1.btag", "no quantity 'btag'"),
        ("m_vis.pt", "holds numbers"),
    ],
)
def test_what_is_not_there_is_said(name, part):
    with pytest.raises(ct.InputError, match=rf"observable '{name}': .*{part}"):
        one(name)


def test_names_that_may_mean_two_fields_are_refused():
    events = ak.zip({"Jet": JETS, "jets": JETS}, depth_limit=1)
    assert one("jets0.pt", events)[0] == 50
    with pytest.raises(ct.InputError, match="may be any of"):
        one("JET0.pt", events)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "list of names"),
        (("m_vis", "m_vis"), "more than once"),
        ("m_vis", "list of names"),
    ],
)
def test_lists_of_observables_are_checked(arguments, part):
    with pytest.raises(ct.ConfigError, match=part):
        Observables(arguments)


def test_missing_values_are_those_of_observables():
    with pytest.raises(ct.ConfigError, match="not among the observables"):
        Observables(("m_vis",), missing={"jet0.pt": -1.0})
