"""The toys: their numbers, random streams and ROOT files, and the significances published for one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot

from cortado import toys
from cortado.errors import ConfigError, OutputError
from cortado.objectives.asimov import squared_significance
from cortado.sample import Sample
from cortado.toys import ONE_DIMENSIONAL, THREE_CLASS, Toy, ntuples, toy

SMALL = {"n_signal": 2_000, "n_background": 10_000}

DIMENSIONS = {
    "one score": 1,
    "three classes": 2,
    "more noise": 2,
    "rarer signals": 2,
    "similar signals": 2,
    "four classes": 3,
    "five classes": 4,
    "two observables": 2,
    "scores and mass": 3,
}
BY_NAME = {member.name: member for member in toys.FAMILY}

# The last of n events and the sums over them, with seed 1, as they were before there were other toys.
THREE_CLASS_EVENTS = {
    "signal1": (100, [0.97211403, 0.00028719057, 0.027598793], [83.6178381, 2.455674568, 13.92648748]),
    "signal2": (100, [0.0026810425, 0.85859776, 0.1387212], [1.639328487, 82.40340945, 15.95726212]),
    "bkg1": (1000, [0.02635375, 0.017583437, 0.95606279], [68.9880489, 86.31136331, 844.7005885]),
    "bkg2": (800, [0.10523336, 0.0010334295, 0.8937332], [163.7914682, 47.11982376, 589.0887083]),
    "bkg3": (500, [0.14794117, 0.23425595, 0.61780285], [145.6806224, 144.173367, 210.1460108]),
    "bkg4": (200, [0.07227458, 0.51869172, 0.40903369], [16.68100697, 112.065629, 71.25336388]),
    "bkg5": (100, [0.011499173, 0.040462609, 0.94803822], [7.91192971, 47.96538392, 44.12268652]),
}
ONE_DIMENSIONAL_EVENTS = {
    "signal1": (100, [0.97239327], [84.6677441]),
    "bkg1": (1000, [0.026825434], [71.68601084]),
    "bkg2": (800, [0.10534222], [167.6885109]),
    "bkg3": (500, [0.19319925], [163.7536171]),
    "bkg4": (200, [0.15016277], [21.42907432]),
    "bkg5": (100, [0.01198408], [10.3765964]),
}

every_toy = pytest.mark.parametrize("member", toys.FAMILY, ids=lambda member: member.name)


def latent_points(member: Toy, process: str, n: int, seed: int = 1) -> np.ndarray:
    return np.concatenate(list(member._latent_points(process, seed, n)))


@pytest.fixture(scope="module")
def large() -> dict[str, toys.ToyEvents]:
    return toys.three_class(seed=1, n_signal=50_000, n_background=400_000)


@every_toy
def test_events_make_a_sample_of_the_toy(member: Toy) -> None:
    """Columns, coordinates and weights are those that `Sample.from_arrays` takes; no event is refused."""
    events = member.events(3, **SMALL)
    sample = Sample.from_arrays(toys.arrays(events), member.coordinates, names=member.names)
    assert sample.features.dimensions == DIMENSIONS[member.name]
    assert sorted(events) == sorted(member.cross_sections) == list(sample.processes)
    points = sample.points()
    assert points.count.sum() == SMALL["n_signal"] * len(member.signals) + SMALL["n_background"]
    for process, sumw in zip(points.processes, points.sumw.sum(axis=1), strict=True):
        assert sumw == pytest.approx(member.cross_sections[process] * member.luminosity, rel=1e-6)


def test_family_covers_its_ground() -> None:
    assert len(BY_NAME) == len(toys.FAMILY) == len(DIMENSIONS) >= 8
    assert set(DIMENSIONS.values()) == {1, 2, 3, 4}
    assert {len(member.signals) for member in toys.FAMILY} == {1, 2, 3, 4}
    assert {member.observed for member in toys.FAMILY} == {"logratio", "logit", "identity"}


@every_toy
def test_weights_are_cross_section_times_luminosity(member: Toy) -> None:
    for process, part in member.events(3, **SMALL).items():
        assert part.weight.shape == part.event.shape == (len(part),)
        assert np.all(part.weight == part.weight[0])
        expected = member.cross_sections[process] * member.luminosity
        assert part.weight.sum() == pytest.approx(expected, rel=1e-12)


def test_yields_of_the_literature() -> None:
    events = toys.three_class(3, **SMALL)
    assert events["signal1"].weight.sum() == pytest.approx(50, rel=1e-12)
    assert events["signal2"].weight.sum() == pytest.approx(10, rel=1e-12)
    assert sum(events[name].weight.sum() for name in toys.BACKGROUNDS) == pytest.approx(26_000, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "golden"),
    [(toys.three_class, THREE_CLASS_EVENTS), (toys.one_dimensional, ONE_DIMENSIONAL_EVENTS)],
    ids=["three_class", "one_dimensional"],
)
def test_events_are_those_of_earlier_versions(
    make: Any, golden: Mapping[str, tuple[int, list[float], list[float]]]
) -> None:
    events = make(1, 100, 2_600)
    assert list(events) == list(golden)
    for process, (n, last, total) in golden.items():
        part = events[process]
        np.testing.assert_allclose(part.scores[-1], last, rtol=1e-6)
        np.testing.assert_allclose(part.scores.sum(axis=0, dtype=np.float64), total, rtol=1e-7)
        first = toys.PROCESSES.index(process) << 40
        assert part.event.tolist() == list(range(first, first + n))


@pytest.mark.parametrize("n_background", [100, 260, 9_999, 1_000_000])
def test_backgrounds_share_events_by_cross_section(n_background: int) -> None:
    counts = toys.event_counts(7, n_background)
    assert [counts[name] for name in toys.SIGNALS] == [7, 7]
    assert sum(counts[name] for name in toys.BACKGROUNDS) == n_background
    for name in toys.BACKGROUNDS:
        assert abs(counts[name] - n_background * toys.CROSS_SECTIONS[name] / 260) <= 1


def test_default_numbers_of_events() -> None:
    assert toys.event_counts() == {
        "signal1": 100_000,
        "signal2": 100_000,
        "bkg1": 384_615,
        "bkg2": 307_693,
        "bkg3": 192_307,
        "bkg4": 76_923,
        "bkg5": 38_462,
    }


@pytest.mark.parametrize(
    ("numbers", "name"), [((0, 100), "n_signal"), ((1, 12), "n_background"), ((1, 0), "bkg1")]
)
def test_a_process_without_events_is_refused(numbers: tuple[int, int], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        toys.event_counts(*numbers)


@every_toy
def test_features_are_finite_and_scores_normalised(member: Toy) -> None:
    for process, part in member.events(1, **SMALL).items():
        assert part.scores.dtype == np.float32
        assert part.scores.shape == (len(part), len(member.names))
        assert np.all(np.isfinite(part.scores)), process
        scores = part.scores[:, [name.startswith("p_") for name in member.names]]
        assert np.all((scores >= 0) & (scores <= 1))
        if member.observed == "logratio":
            assert scores.shape[1] == len(member.signals) + 1
            np.testing.assert_allclose(scores.sum(axis=1, dtype=np.float64), 1.0, atol=3e-7)


@every_toy
def test_scores_are_the_densities_at_the_smeared_points(member: Toy) -> None:
    """The same scores from the textbook formula of the Gaussian density."""
    process = member.backgrounds[1]
    points = latent_points(member, process, 200, seed=5)
    size = points.shape[1]
    covariance = member.covariance * np.ones((size, size)) + (1 - member.covariance) * np.eye(size)
    precision = np.linalg.inv(covariance)

    def density(name: str) -> np.ndarray:
        away = points - np.array(member.means[name])
        return np.exp(-0.5 * np.einsum("ni,ij,nj->n", away, precision, away))

    shares = {name: member.cross_sections[name] for name in member.backgrounds}
    background = sum(share * density(name) for name, share in shares.items()) / sum(shares.values())
    scores = np.stack([*map(density, member.signals), background], axis=1)
    scores /= scores.sum(axis=1, keepdims=True)
    expected = {"logratio": scores, "logit": scores[:, :1], "identity": points}[member.observed]
    observed = member.events_of(process, 5, 200).scores[:, : expected.shape[1]]
    np.testing.assert_allclose(observed, expected, rtol=2e-5)


@every_toy
def test_latent_points_have_the_moments_of_the_toy(member: Toy) -> None:
    for process in member.processes:
        points = latent_points(member, process, 50_000)
        mean = np.array(member.means[process])
        # a factor of mean 1 and variance v² leaves means and covariances, and adds v² E[x²] to the variances
        expected = member.covariance + np.diag(1 - member.covariance + member.noise**2 * (1 + mean**2))
        np.testing.assert_allclose(points.mean(axis=0), mean, atol=5 * np.sqrt(expected.max() / 50_000))
        np.testing.assert_allclose(np.cov(points.T), expected, atol=0.03 * expected.max())


def test_masses_have_the_spectra_of_the_toy() -> None:
    member = BY_NAME["scores and mass"]
    n = 100_000
    for process in member.processes:
        mass = member.events_of(process, 1, n).scores[:, -1].astype(np.float64)
        place = member.masses[process]
        if process in member.signals:
            mean, spread = place, 0.05 * place
        else:
            mean, spread = 200 + place, place
            assert mass.min() >= 200
            # the median and the tail of an exponential; a Gaussian of the same moments has others
            assert np.mean(mass > 200 + np.log(2) * place) == pytest.approx(0.5, abs=2.5 / np.sqrt(n))
            assert np.mean(mass > 200 + np.log(100) * place) == pytest.approx(0.01, abs=0.5 / np.sqrt(n))
        assert mass.mean() == pytest.approx(mean, abs=5 * spread / np.sqrt(n))
        assert mass.std() == pytest.approx(spread, rel=0.03)
        points = latent_points(member, process, n)
        assert np.abs(np.corrcoef(points.T, mass)[-1, :-1]).max() < 5 / np.sqrt(n)


def test_masses_come_from_other_random_numbers_than_the_scores() -> None:
    member = replace(BY_NAME["scores and mass"], covariance=0.0, noise=0.0)
    for process in member.signals:
        latent = latent_points(member, process, 100) - np.array(member.means[process])
        mass = (member._masses(process, 1, 100) / member.masses[process] - 1) / 0.05
        distances = np.abs(mass[:, None] - latent.reshape(-1))
        assert distances.min() > 1e-9


def test_densities_far_out_stay_finite() -> None:
    scores = THREE_CLASS._observe(np.array([[1e3, -1e3, -1e3], [-1e3, -1e3, 1e3]]))
    np.testing.assert_allclose(scores, [[1, 0, 0], [0, 0, 1]], atol=1e-300)


@every_toy
def test_same_seed_same_events_other_seed_other_events(member: Toy) -> None:
    first, again, other = (member.events(seed, **SMALL) for seed in (1, 1, 2))
    for process in member.processes:
        assert np.array_equal(first[process].scores, again[process].scores)
        assert np.mean(first[process].scores == other[process].scores) < 1e-2


@every_toy
def test_first_events_do_not_change_with_their_number(member: Toy) -> None:
    few, many = member.events(1, 501, 4_001), member.events(1, 3_000, 30_000)
    for process in member.processes:
        n = len(few[process])
        assert np.array_equal(few[process].scores, many[process].scores[:n])
        assert np.array_equal(few[process].event, many[process].event[:n])


@every_toy
def test_events_do_not_change_with_the_size_of_a_block(member: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = member.events(1, 100, 1_000)
    monkeypatch.setattr(toy, "_BLOCK", 7)
    for process, part in member.events(1, 100, 1_000).items():
        assert np.array_equal(part.scores, whole[process].scores)


@every_toy
def test_processes_have_streams_of_their_own(member: Toy) -> None:
    """Without smearing, what is left of an event after its mean are the random numbers themselves."""
    n = 10_000
    exact = replace(member, noise=0.0)
    drawn = [
        latent_points(exact, process, n) - np.array(member.means[process]) for process in member.processes
    ]
    between = np.corrcoef(np.concatenate(drawn, axis=1).T)
    size = drawn[0].shape[1]
    for i in range(len(drawn)):
        between[i * size : (i + 1) * size, i * size : (i + 1) * size] = 0
    assert np.abs(between).max() < 6 / np.sqrt(n)


@every_toy
def test_a_process_does_not_depend_on_the_others(member: Toy) -> None:
    gone = member.processes[-1]

    def without(numbers: Mapping[str, float]) -> dict[str, float]:
        return {process: x for process, x in numbers.items() if process != gone}

    cross_sections, masses = without(member.cross_sections), without(member.masses)
    fewer = replace(member, cross_sections=cross_sections, masses=masses)
    assert gone not in fewer.events(1, **SMALL)
    for process in fewer.processes:
        assert np.array_equal(latent_points(fewer, process, 50), latent_points(member, process, 50))
        before, after = (m.events_of(process, 1, 50) for m in (member, fewer))
        assert np.array_equal(before.event, after.event)
        if "mass" in member.names:
            assert np.array_equal(before.scores[:, -1], after.scores[:, -1])


def test_the_order_of_the_cross_sections_does_not_matter() -> None:
    backwards = replace(THREE_CLASS, cross_sections=dict([*toys.CROSS_SECTIONS.items()][::-1]))
    assert backwards.processes == (*toys.SIGNALS, *reversed(toys.BACKGROUNDS))
    for process in toys.PROCESSES:
        expected, part = (member.events_of(process, 1, 100) for member in (THREE_CLASS, backwards))
        np.testing.assert_allclose(part.scores, expected.scores, rtol=1e-6)
        assert np.array_equal(part.weight, expected.weight)
        assert np.array_equal(part.event, expected.event)


@every_toy
def test_event_numbers_are_unique(member: Toy) -> None:
    events = member.events(1, **SMALL)
    numbers = np.concatenate([part.event for part in events.values()])
    assert numbers.dtype == np.uint64
    assert len(np.unique(numbers)) == sum(map(len, events.values()))


@every_toy
def test_signals_can_be_seen_but_not_by_counting(member: Toy) -> None:
    """Asimov significances of the signals, one by one: of order 1 in fine cells, and less with all in one."""
    events = member.events(1, n_signal=20_000, n_background=50_000)
    sample = Sample.from_arrays(toys.arrays(events), member.coordinates, names=member.names, n_folds=1)
    points = sample.points().coarsened(200)
    for process in member.signals:
        signal = points.sumw[points.processes.index(process)]
        background = points.sumw.sum(axis=0) - signal
        fine = np.sqrt(squared_significance(signal, background).sum())
        counting = np.sqrt(squared_significance(signal.sum(), background.sum()))
        assert 0.15 < fine < 5, process
        assert fine > 1.3 * counting, process


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no means": ({"means": {}}, "means"),
    "means of no length": ({"means": dict.fromkeys(toys.MEANS, ())}, "means"),
    "means of two lengths": ({"means": {**toys.MEANS, "bkg2": (1.0,)}}, r"means .* \[1, 3\]"),
    "mean that is no number": ({"means": {**toys.MEANS, "bkg2": (1.0, np.nan, 0.0)}}, "means must be finite"),
    "process without mean": ({"cross_sections": {**toys.CROSS_SECTIONS, "ttH": 1.0}}, "'ttH'"),
    "cross section of zero": ({"cross_sections": {**toys.CROSS_SECTIONS, "bkg3": 0.0}}, "'bkg3': 0.0"),
    "no signal": ({"signals": ()}, "signals"),
    "unknown signal": ({"signals": ("signal1", "signal3")}, "signal3"),
    "signal twice": ({"signals": ("signal1", "signal1")}, "signals must be different"),
    "no background": ({"signals": toys.PROCESSES}, "background"),
    "unknown observation": ({"observed": "polar"}, "'polar'"),
    "logit of two signals": ({"observed": "logit"}, "logit"),
    "some masses": ({"masses": {"signal1": 500.0}}, r"masses .* \['signal1'\]"),
    "negative mass": ({"masses": dict.fromkeys(toys.PROCESSES, -1.0)}, "masses must be positive"),
    "no luminosity": ({"luminosity": 0.0}, "luminosity"),
    "covariance of 1": ({"covariance": 1.0}, "covariance"),
    "negative covariance": ({"covariance": -0.1}, "covariance"),
    "negative noise": ({"noise": -0.1}, "noise"),
    "noise that is no number": ({"noise": np.nan}, "noise"),
}


@pytest.mark.parametrize(("changes", "message"), BROKEN.values(), ids=BROKEN)
def test_numbers_that_make_no_toy_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(THREE_CLASS, **changes)


@pytest.mark.parametrize(("process", "n", "message"), [("signal2", 5, "'signal2'"), ("bkg1", 0, "n must be")])
def test_events_of_no_process_or_no_number_are_refused(process: str, n: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ONE_DIMENSIONAL.events_of(process, 1, n)


def test_one_dimension_is_the_likelihood_ratio_of_the_same_events() -> None:
    full, projected = toys.three_class(1, **SMALL), toys.one_dimensional(1, **SMALL)
    assert tuple(projected) == ("signal1", *toys.BACKGROUNDS)
    for process, part in projected.items():
        p_signal, _, p_background = full[process].scores.astype(np.float64).T
        assert part.scores.shape == (len(part), 1)
        np.testing.assert_allclose(part.scores[:, 0], p_signal / (p_signal + p_background), rtol=1e-5)
        assert np.array_equal(part.event, full[process].event)


def argmax_significance(events: dict[str, toys.ToyEvents], bins: int) -> float:
    """Geometric mean of the two Asimov significances for 2·bins + 1 categories of the argmax projection."""
    edges = np.linspace(1 / 3, 1, bins + 1)
    yields = {}
    for process, part in events.items():
        chosen = part.scores.argmax(axis=1)
        scores = part.scores.astype(np.float64)
        signal_bins = [
            np.histogram(scores[chosen == i, i], edges, weights=part.weight[chosen == i])[0] for i in range(2)
        ]
        yields[process] = np.concatenate([*signal_bins, [part.weight[chosen == 2].sum()]])
    total = sum(yields.values())
    squares = []
    for name in toys.SIGNALS:
        s, b = yields[name], total - yields[name]
        squares.append(np.sum(2 * ((s + b) * np.log1p(s / b) - s)))
    return float(np.prod(squares) ** 0.25)


@pytest.mark.parametrize(("bins", "published"), [(2, 0.380), (5, 0.465), (10, 0.518)])
def test_argmax_significances_of_the_literature(
    large: dict[str, toys.ToyEvents], bins: int, published: float
) -> None:
    """arXiv:2601.07756; seeds differ by a few per mille with the full sample."""
    assert argmax_significance(large, bins) == pytest.approx(published, rel=0.015)


def test_ntuples_hold_the_toy(tmp_path: Path) -> None:
    paths = toys.write_ntuples(tmp_path / "new" / "folder", seed=1, **SMALL, events_per_file=1_500)
    expected = toys.three_class(1, **SMALL)
    assert sorted(paths) == sorted((tmp_path / "new" / "folder").iterdir())
    assert [path.stem for path in paths[:5]] == ["signal1_0", "signal1_1", "signal2_0", "signal2_1", "bkg1_0"]
    for process, part in expected.items():
        files = [path for path in paths if path.name.startswith(f"{process}_")]
        trees = [uproot.open(path)["Events"].arrays(library="np") for path in files]
        columns = {name: np.concatenate([tree[name] for tree in trees]) for name in trees[0]}
        assert {name: column.dtype.str for name, column in columns.items()} == {
            "p_signal1": "<f4",
            "p_signal2": "<f4",
            "p_background": "<f4",
            "weight": "<f8",
            "genWeight": "<f4",
            "event": "<u8",
        }
        assert np.array_equal(np.stack([columns[name] for name in toys.SCORES], axis=1), part.scores)
        assert np.array_equal(columns["weight"], part.weight)
        assert np.array_equal(columns["event"], part.event)
        assert max(len(tree["event"]) for tree in trees) <= 1_500


def test_ntuples_can_be_normalised_by_their_runs_tree(tmp_path: Path) -> None:
    paths = toys.write_ntuples(tmp_path, seed=1, **SMALL, events_per_file=1_500)
    files = [uproot.open(path) for path in paths if path.name.startswith("bkg1_")]
    runs = [file["Runs"].arrays(library="np") for file in files]
    for file, run in zip(files, runs, strict=True):
        assert run["genEventSumw"].tolist() == run["genEventCount"].tolist() == [file["Events"].num_entries]
    scale = toys.CROSS_SECTIONS["bkg1"] * toys.LUMINOSITY / sum(run["genEventSumw"].sum() for run in runs)
    for file in files:
        events = file["Events"].arrays(library="np")
        np.testing.assert_allclose(events["genWeight"] * scale, events["weight"], rtol=1e-14)


def test_ntuples_are_replaced_by_those_of_the_same_name_only(tmp_path: Path) -> None:
    toys.write_ntuples(tmp_path, seed=1, **SMALL, events_per_file=1_500)
    paths = toys.write_ntuples(tmp_path, seed=2, **SMALL, events_per_file=1_500)
    assert (
        uproot.open(paths[0])["Events/p_signal1"].array(library="np")[0]
        == toys.three_class(2, **SMALL)["signal1"].scores[0, 0]
    )
    with pytest.raises(OutputError, match=r"signal1_1\.root"):
        toys.write_ntuples(tmp_path, seed=2, **SMALL)
    assert sorted(paths) == sorted(tmp_path.iterdir())


def test_nothing_is_left_of_ntuples_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = ntuples._write_file, []

    def full_disk(path: Path, *arguments: object) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        write(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ntuples, "_write_file", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        toys.write_ntuples(tmp_path, seed=1, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/below"):
        toys.write_ntuples(tmp_path / "file" / "below", seed=1, **SMALL)


def test_files_hold_at_least_one_event(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="events_per_file"):
        toys.write_ntuples(tmp_path, seed=1, events_per_file=0)
