"""The toy: its numbers, its random streams, its ROOT files, and the significances published for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import uproot

from cortado import toys
from cortado.errors import ConfigError, OutputError

SMALL = {"n_signal": 2_000, "n_background": 10_000}


@pytest.fixture(scope="module")
def large() -> dict[str, toys.ToyEvents]:
    return toys.three_class(seed=1, n_signal=50_000, n_background=400_000)


@pytest.mark.parametrize("make", [toys.three_class, toys.one_dimensional])
def test_yields_are_cross_section_times_luminosity(make) -> None:
    events = make(seed=3, **SMALL)
    for process, part in events.items():
        assert part.weight.sum() == pytest.approx(toys.CROSS_SECTIONS[process] * 100.0, rel=1e-12)
    assert sum(events[name].weight.sum() for name in toys.BACKGROUNDS) == pytest.approx(26_000, rel=1e-12)


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


def test_scores_are_normalised_and_finite(large: dict[str, toys.ToyEvents]) -> None:
    for part in large.values():
        assert part.scores.dtype == np.float32
        assert part.scores.shape == (len(part), 3)
        assert np.all((part.scores >= 0) & (part.scores <= 1))
        np.testing.assert_allclose(part.scores.sum(axis=1, dtype=np.float64), 1.0, atol=2e-7)


def test_scores_are_the_densities_at_the_smeared_points() -> None:
    """The same scores from the textbook formula of the Gaussian density."""
    points = np.concatenate(list(toys._latent_points(5, "bkg2", 500)))
    precision = np.linalg.inv(0.2 * np.ones((3, 3)) + 0.8 * np.eye(3))

    def density(process: str) -> np.ndarray:
        away = points - np.array(toys.MEANS[process])
        return np.exp(-0.5 * np.einsum("ni,ij,nj->n", away, precision, away))

    background = sum(toys.CROSS_SECTIONS[name] / 260 * density(name) for name in toys.BACKGROUNDS)
    expected = np.stack([density("signal1"), density("signal2"), background], axis=1)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(toys.three_class(5, 1, 2_000)["bkg2"].scores[:500], expected, rtol=1e-5)


@pytest.mark.parametrize("process", toys.PROCESSES)
def test_latent_points_have_the_moments_of_the_toy(process: str) -> None:
    points = np.concatenate(list(toys._latent_points(1, process, 200_000)))
    mean = np.array(toys.MEANS[process])
    # a factor of mean 1 and variance v² leaves means and covariances, and adds v² E[x²] to the variances
    expected = 0.2 + np.diag(0.8 + 0.09 * (1 + mean**2))
    np.testing.assert_allclose(points.mean(axis=0), mean, atol=0.015)
    np.testing.assert_allclose(np.cov(points.T), expected, atol=0.025)


def test_densities_far_out_stay_finite() -> None:
    scores = toys._softmax(toys._class_log_densities(np.array([[1e3, -1e3, -1e3], [-1e3, -1e3, 1e3]])))
    np.testing.assert_allclose(scores, [[1, 0, 0], [0, 0, 1]], atol=1e-300)


def test_same_seed_same_events_other_seed_other_events() -> None:
    first, again, other = (toys.three_class(seed, **SMALL) for seed in (1, 1, 2))
    for process in toys.PROCESSES:
        assert np.array_equal(first[process].scores, again[process].scores)
        assert not np.any(first[process].scores[:, 0] == other[process].scores[:, 0])


def test_a_process_does_not_depend_on_the_others_nor_on_how_many_events_are_asked_for() -> None:
    few, many = toys.three_class(1, 500, 10_000), toys.three_class(1, 120_000, 20_000)
    for process in toys.PROCESSES:
        n = len(few[process])
        assert np.array_equal(few[process].scores, many[process].scores[:n])
        assert np.array_equal(few[process].event, many[process].event[:n])
    first_latents = [next(toys._latent_points(1, p, 100)) - np.array(toys.MEANS[p]) for p in toys.PROCESSES]
    assert len({latent.tobytes() for latent in first_latents}) == len(toys.PROCESSES)


def test_event_numbers_are_unique() -> None:
    numbers = np.concatenate([part.event for part in toys.three_class(1, **SMALL).values()])
    assert numbers.dtype == np.uint64
    assert len(np.unique(numbers)) == 14_000


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
    write, calls = toys._write_file, []

    def full_disk(path: Path, *arguments: object) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        write(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(toys, "_write_file", full_disk)
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
