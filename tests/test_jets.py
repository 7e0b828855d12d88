"""Toy jets, their substructure, and images of them."""

import awkward as ak
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import cortado as ct
from cortado import toys
from cortado.classifiers import jet_images
from cortado.classifiers.jet_points import JetPoints, centred, flipped, rotated, wrapped
from cortado.classifiers.substructure import jet_momenta, n_subjettiness

angles = st.floats(-4, 4)


@pytest.fixture(scope="module")
def jets():
    return toys.boosted_jets(seed=1, n_resonance=1500, n_parton=1500)


def some_jet(seed, n=9):
    random = np.random.default_rng(seed)
    pt, (x, y) = random.exponential(20, n) + 0.1, 0.2 * random.normal(size=(2, n))
    return pt, x, y


def constituents(pt, x, y):
    return {"pt": pt[None], "eta": x[None], "phi": wrapped(y)[None]}


def standard(pt, x, y):
    """(n, 2) places after all steps, in the order of constituents."""
    points = flipped(rotated(centred(JetPoints.of(constituents(pt, x, y)))))
    return np.column_stack([points.x, points.y])


def is_one_sided(places, pt):
    """Whether small changes cannot decide between the two halves."""
    return all(abs(np.sum(pt * np.sign(v))) > 1e-6 * pt.sum() and np.abs(v).min() > 1e-6 for v in places.T)


@given(st.integers(0, 2**32), angles, st.floats(-3, 3), angles, st.booleans())
def test_jets_look_the_same_wherever_and_however_they_are(seed, turn, eta, phi, mirrored):
    pt, x, y = some_jet(seed)
    expected = standard(pt, x, y)
    assume(is_one_sided(expected, pt))
    cos, sin = np.cos(turn), np.sin(turn)
    u = (cos * x - sin * y) * (-1 if mirrored else 1)
    v = sin * x + cos * y
    np.testing.assert_allclose(standard(pt, u + eta, v + phi), expected, atol=1e-7)


@given(st.integers(0, 2**32))
def test_the_standard_frame_is_what_it_says(seed):
    pt, x, y = some_jet(seed)
    places = standard(pt, x, y)
    np.testing.assert_allclose(pt @ places, 0, atol=1e-9 * pt.sum())
    spread = (pt[:, None, None] * places[:, :, None] * places[:, None, :]).sum(axis=0)
    assert spread[1, 1] >= spread[0, 0]
    assert spread[0, 1] == pytest.approx(0, abs=1e-9 * spread[1, 1])
    assert (pt @ np.sign(places) >= 0).all()


@given(st.integers(0, 2**32))
def test_images_hold_the_momentum_wherever_the_order(seed):
    pt, x, y = some_jet(seed)
    image = jet_images(constituents(pt, x, y), (16, 16), 4.0)
    assert image.dtype == np.float32
    assert image.shape == (1, 16, 16)
    assert image.sum() == pytest.approx(pt.sum(), rel=1e-5)
    order = np.random.default_rng(seed).permutation(len(pt))
    other = jet_images(constituents(pt[order], x[order], y[order]), (16, 16), 4.0)
    assert np.abs(image - other).sum() < 1e-4 * pt.sum()


def test_pixels_are_where_they_should_be():
    """Rows are bins of φ, columns of η, both upwards; across φ = π."""
    pt = np.array([100.0, 10.0, 10.0, 1.0])
    x, y = np.array([0.0, 0.7, -0.7, 3.0]), np.pi + np.array([0.0, 0.7, -0.7, 0.0])
    points = JetPoints.of(constituents(pt[:3], x[:3], y[:3]))
    image = jet_images(constituents(pt[:3], x[:3], y[:3]), (3, 5), 1.0, rotate=False, flip=False)[0]
    expected = np.zeros((3, 5))
    expected[1, 2], expected[2, 4], expected[0, 0] = 100, 10, 10
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_allclose(points.y, [0, 0.7, -0.7], atol=1e-12)
    far = jet_images(constituents(pt, x, y), (3, 5), 1.0, rotate=False, flip=False)[0]
    assert far.sum() == 120


def test_two_prongs_stand_upright_with_the_harder_one_above():
    jet = {"pt": [[60.0, 140.0]], "eta": [[0.1, 0.5]], "phi": [[2.0, 1.7]]}
    places = flipped(rotated(centred(JetPoints.of(jet))))
    np.testing.assert_allclose(places.x, 0, atol=1e-12)
    np.testing.assert_allclose(places.y, [-0.35, 0.15])
    as_it_was = jet_images(jet, (8, 8), 0.8, rotate=False, flip=False)
    assert not np.array_equal(as_it_was, jet_images(jet, (8, 8), 0.8))


@pytest.mark.parametrize("pt", [[[]], [[5.0]], [[0.0, 0.0]], [[5.0, 0.0]]])
def test_jets_with_hardly_any_constituents(pt):
    image = jet_images({"pt": ak.Array(pt), "eta": ak.Array(pt) * 0, "phi": ak.Array(pt) * 0 + 3}, (3, 3))
    assert image.shape == (1, 3, 3)
    assert image[0, 1, 1] == image.sum() == np.sum(pt)


def test_images_of_many_jets_are_those_of_each(jets):
    some = jets["resonance"].constituents[:50]
    together = jet_images(some, (9, 9))
    for i in range(50):
        np.testing.assert_array_equal(jet_images(some[i : i + 1], (9, 9))[0], together[i])


def test_filled_up_arrays_are_lists(jets):
    some = jets["parton"].constituents[:20]
    filled = {
        name: ak.to_numpy(ak.fill_none(ak.pad_none(some[name], 80), 0.0)) for name in ("pt", "eta", "phi")
    }
    np.testing.assert_array_equal(jet_images(filled), jet_images(some))


def test_momenta_of_jets_are_conserved():
    jet = {name: ak.Array([v]) for name, v in zip(("pt", "eta", "phi", "mass"), np.ones((4, 3)), strict=True)}
    momentum = jet_momenta(ak.zip(jet))
    assert momentum.pt[0] == pytest.approx(3)
    assert momentum.mass[0] == pytest.approx(3)


def test_subjettiness_of_known_jets():
    jet = {"pt": [[60.0, 140.0]], "eta": [[0.0, 0.6]], "phi": [[0.0, 0.8]]}
    assert n_subjettiness(jet, 2)[0] == pytest.approx(0, abs=1e-6)
    # The sum of distances is least at the harder of two constituents.
    assert n_subjettiness(jet, 1, radius=0.5)[0] == pytest.approx(60 * 1.0 / 200 / 0.5, rel=1e-6)
    assert n_subjettiness({name: ak.Array([[]]) * 1.0 for name in jet}, 1)[0] == 0


def test_more_axes_are_better(jets):
    some = jets["parton"].constituents[:300]
    tau = [n_subjettiness(some, k) for k in (1, 2, 3)]
    assert (tau[0] >= tau[1] * (1 - 1e-6)).all()
    assert (tau[1] >= tau[2] * (1 - 1e-6)).mean() > 0.95  # each is a local minimum


def test_one_axis_is_at_the_minimum(jets):
    """No place on a fine grid has a sum of distances that is smaller by more than 1 %."""
    some = jets["resonance"].constituents[:10]
    points = centred(JetPoints.of(some))
    grid = np.stack(np.meshgrid(*[np.linspace(-0.5, 0.5, 101)] * 2), axis=-1).reshape(-1, 2)
    tau = n_subjettiness(some, 1)
    for i in range(10):
        rows = points.jet == i
        place = np.column_stack([points.x[rows], points.y[rows]])
        distances = np.linalg.norm(place[None] - grid[:, None], axis=-1)
        assert tau[i] <= (distances @ points.pt[rows]).min() / points.pt[rows].sum() * 1.01


def test_toy_jets_are_those_of_their_seed(jets):
    again = toys.boosted_jets(seed=1, n_resonance=1500, n_parton=10)
    assert ak.array_equal(again["resonance"].constituents, jets["resonance"].constituents)
    other = toys.boosted_jets(seed=2, n_resonance=10, n_parton=10)
    assert not ak.array_equal(other["resonance"].constituents, jets["resonance"].constituents[:10])
    events = np.concatenate([j.event for j in jets.values()])
    assert len(set(events.tolist())) == len(events) == 3000


def test_toy_jets_have_their_substructure(jets):
    parton, resonance = (jets[kind].observables for kind in ("parton", "resonance"))
    assert list(jets) == ["parton", "resonance"]
    assert parton.shape == (1500, len(toys.JET_OBSERVABLES))
    for values in (parton, resonance):
        assert np.isfinite(values).all()
        assert (values > 0).all()
        assert (values[:, 2] <= 1 + 1e-5).all()
    assert toys.jets.MASS < np.median(resonance[:, 1]) < 1.15 * toys.jets.MASS
    assert np.median(parton[:, 1]) < 60
    assert np.median(resonance[:, 2]) < 0.25
    assert np.median(parton[:, 2]) > 0.45
    # The number of constituents and pT alone tell little.
    assert np.median(parton[:, 3]) == pytest.approx(np.median(resonance[:, 3]), abs=2)


def test_images_of_toy_jets_differ(jets):
    """Below the centre there is a second prong, or there is none."""
    share = {}
    for kind, made in jets.items():
        images = jet_images(made.constituents, (32, 32), toys.jets.RADIUS)
        total = images.sum(axis=(1, 2))
        share[kind] = np.median(images[:, 4:13, 13:19].sum(axis=(1, 2)) / total)
        assert (total <= ak.to_numpy(ak.sum(made.constituents.pt, axis=1)) * (1 + 1e-5)).all()
    assert share["resonance"] > 3 * share["parton"]


@pytest.mark.parametrize("n", [0, -1, 2.5])
def test_numbers_of_toy_jets_are_checked(n):
    with pytest.raises(ct.ConfigError, match="n_parton"):
        toys.boosted_jets(seed=1, n_parton=n)


GOOD = {"pt": [[1.0, 2.0]], "eta": [[0.0, 0.0]], "phi": [[0.0, 0.0]]}


@pytest.mark.parametrize(
    ("changes", "options", "error", "part"),
    [
        ({"pt": [[1.0, -2.0]]}, {}, ct.InputError, "must not be negative, got -2"),
        ({"eta": [[0.0, np.nan]]}, {}, ct.InputError, "eta of constituents must be finite, 1"),
        ({"phi": [[0.0]]}, {}, ct.InputError, "must be as many"),
        ({"pt": [1.0]}, {}, ct.InputError, "one list a jet"),
        ({}, {"size": (0, 3)}, ct.ConfigError, "size must be at least 1"),
        ({}, {"half_width": 0.0}, ct.ConfigError, "half_width must be positive"),
    ],
)
def test_images_check_their_input(changes, options, error, part):
    with pytest.raises(error, match=part):
        jet_images(GOOD | changes, **options)


def test_constituents_have_names():
    with pytest.raises(ct.InputError, match=r"must have pt, eta and phi, got \['pt'\]"):
        jet_images({"pt": [[1.0]]})
