"""What a fit will find: closed forms, pyhf's own tests, laws of likelihoods, and errors in one sentence."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from typer.testing import CliRunner

import cortado as ct
from cortado import toys
from cortado.cli import app
from cortado.errors import ConfigError, FitError, InputError, OutputError
from cortado.export.pyhf_workspace import build_workspace
from cortado.inference import (
    BestFit,
    Impact,
    Likelihood,
    Pull,
    best_fit,
    discovery,
    expected_results,
    load_workspace,
    pulls,
    ranking,
    upper_limit,
)
from cortado.inference.expected import findings_table
from cortado.inference.figures import in_words, pulls_figure, ranking_figure, write_fit_figures
from cortado.inference.likelihood import numpy_in_pyhf, require_extra
from cortado.report import evaluate, to_text
from cortado.templates import templates_from_arrays

YIELDS = {
    "signal1": [2.0, 4.0, 8.0, 12.0],
    "signal2": [8.0, 6.0, 3.0, 1.0],
    "A": [400.0, 200.0, 60.0, 15.0],
    "B": [100.0, 60.0, 30.0, 8.0],
}
SIGNALS = ["signal1", "signal2"]
SIGNALS_IN_FITS = ("mu_signal1", "mu_signal2")
FACTORS: dict[str, dict[str, Any]] = {
    "jesUp": {"A": [1.02, 1.03, 1.06, 1.1], "B": 1.04},
    "jesDown": {"A": [0.98, 0.97, 0.95, 0.91], "B": 0.97},
}


@pytest.fixture(scope="module", autouse=True)
def _with_numpy():
    with numpy_in_pyhf():
        yield


@pytest.fixture(scope="module")
def workspace(make_templates) -> Any:
    """Two signals over two backgrounds with a nuisance parameter, and statistics of the simulation."""
    return build_workspace(make_templates(YIELDS, FACTORS), SIGNALS, rate_uncertainties={"lumi": 1.02})


@pytest.fixture(scope="module")
def likelihood(workspace) -> Likelihood:
    return Likelihood.of(workspace)


@pytest.fixture(scope="module")
def fitted(likelihood) -> BestFit:
    return best_fit(likelihood, likelihood.asimov(likelihood.parameters()))


# --- significance -------------------------------------------------------------------------------------------


def test_without_uncertainties_pyhf_agrees_with_the_significance_of_a_job():
    """On the three-class toy, of the categories of a mixture, to 1 % and better."""
    arrays = toys.arrays(toys.three_class(seed=1, n_signal=3000, n_background=30_000))
    sample = ct.Sample.from_arrays(arrays, "logratio", names=toys.SCORES)
    objective = ct.Asimov(toys.SIGNALS) + ct.MinBackground(10.0)
    result = ct.fit(ct.GaussianMixture(4), sample, objective, seed=1, steps=30, starts=1)
    filler = ct.TemplateFiller(result.categorizer)
    sums = sum(
        (
            filler.fill(p, scores, weights, event_id=np.arange(len(weights)))
            for p, (scores, weights) in arrays.items()
        ),
        filler.empty,
    )
    templates = sums.templates()
    row = evaluate("learned", "all", templates.yields(), objective)
    likelihood = Likelihood.of(build_workspace(templates, toys.SIGNALS))
    for signal, z in row.significances.items():
        found = discovery(likelihood, f"mu_{signal}")
        assert found.without_uncertainties == pytest.approx(z, rel=1e-6)
        assert 0 < found.others_free <= found.others_fixed * (1 + 1e-6) < z
    # The test above has no fit in it; this one has a parameter for every bin, of hardly any uncertainty.
    exact = templates_from_arrays(
        {p: templates.values(p) for p in templates.processes},
        {p: 1e-8 * templates.values(p) for p in templates.processes},
    )
    likelihood = Likelihood.of(build_workspace(exact, toys.SIGNALS))
    for signal, z in row.significances.items():
        assert discovery(likelihood, f"mu_{signal}").others_fixed == pytest.approx(z, rel=0.01)


@pytest.mark.parametrize("strength", ["mu_signal1", "mu_signal2"])
def test_significance_is_that_of_the_test_statistic_of_pyhf(likelihood, strength):
    import pyhf

    model = likelihood.model
    model.config.set_poi(strength)
    data = likelihood.asimov(likelihood.parameters())
    fixed = model.config.suggested_fixed()
    arguments = (data, model, model.config.suggested_init(), likelihood.bounds)
    found = discovery(likelihood, strength)
    q0 = pyhf.infer.test_statistics.q0(0.0, *arguments, fixed)
    assert found.others_free == pytest.approx(np.sqrt(q0), rel=1e-3)
    (other,) = set(likelihood.strengths) - {strength}
    fixed[likelihood.places[other]] = True
    q0 = pyhf.infer.test_statistics.q0(0.0, *arguments, fixed)
    assert found.others_fixed == pytest.approx(np.sqrt(q0), rel=1e-3)
    assert found.others_free < found.others_fixed < found.without_uncertainties


def test_both_layouts_are_one_likelihood_where_nothing_has_a_shape(make_templates):
    templates = make_templates(YIELDS)
    found = [
        discovery(
            Likelihood.of(build_workspace(templates, SIGNALS, layout=layout, rate_uncertainties={"x": 1.1})),
            "mu_signal1",
        )
        for layout in ("bins", "channels")
    ]
    assert found[0].others_free == pytest.approx(found[1].others_free, rel=1e-5)
    assert found[0].others_fixed == pytest.approx(found[1].others_fixed, rel=1e-5)


# --- strengths ----------------------------------------------------------------------------------------------


def test_hesse_is_the_inverse_of_the_fisher_information(make_templates):
    """Of a fit with statistics of the simulation: the closed form of Barlow and Beeston's lite method."""
    templates = make_templates(YIELDS)
    likelihood = Likelihood.of(build_workspace(templates, SIGNALS))
    fitted = best_fit(likelihood, likelihood.asimov(likelihood.parameters()))
    precision = ct.Precision(SIGNALS, other_signals="floating").each(templates.yields(SIGNALS))
    for signal in SIGNALS:
        assert fitted.strengths[f"mu_{signal}"].hesse == pytest.approx(1 / precision[signal], rel=5e-3)


def test_minos_is_where_the_likelihood_has_risen_by_one(likelihood, fitted):
    data = likelihood.asimov(likelihood.parameters())
    lowest = likelihood.minimum(data).twice_nll
    strong, weak = fitted.strengths.values()
    assert strong.value == pytest.approx(1, abs=1e-4)
    for value in (strong.value - strong.down, strong.value + strong.up, weak.value + weak.up):
        name = "mu_signal2" if value == weak.value + weak.up else "mu_signal1"
        assert likelihood.minimum(data, {name: value}).twice_nll - lowest == pytest.approx(1, abs=0.01)


def test_an_interval_that_leaves_the_likelihood_has_no_end(make_templates):
    """Strengths stay where every bin has expected events; one with few is still likely to be empty."""
    templates = make_templates({"signal": [0.05], "A": [0.05]})
    likelihood = Likelihood.of(build_workspace(templates, "signal"))
    strength = best_fit(likelihood, likelihood.asimov(likelihood.parameters())).strengths["mu_signal"]
    assert strength.down is None
    assert strength.up is not None
    assert likelihood.bounds[likelihood.places["mu_signal"]][0] == pytest.approx(-0.9)


def test_no_strengths_within_their_bounds_leave_a_bin_without_events(likelihood):
    lowest = {name: likelihood.bounds[i][0] for name, i in likelihood.places.items()}
    assert all(low < 0 for low in lowest.values())
    parameters = likelihood.parameters(lowest)
    assert likelihood.model.expected_data(parameters, include_auxdata=False).min() > 0


# --- limits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", ["mu_signal1", "mu_signal2"])
def test_at_the_limit_pyhf_excludes_at_95_per_cent(likelihood, strength):
    import pyhf

    found = upper_limit(likelihood, strength)
    assert np.all(np.diff(found.expected) > 0)
    model = likelihood.model
    model.config.set_poi(strength)
    data = likelihood.asimov(likelihood.parameters({strength: 0.0}))
    bounds = list(likelihood.bounds)
    bounds[likelihood.places[strength]] = (0.0, 100.0)
    for n, limit in enumerate(found.expected):
        _, band = pyhf.infer.hypotest(
            float(limit),
            data,
            model,
            par_bounds=bounds,
            test_stat="qtilde",
            return_expected_set=True,
        )
        assert float(band[n]) == pytest.approx(0.05, rel=0.01)


def test_the_limit_of_a_counting_experiment_is_the_closed_form():
    """Without uncertainties q_μ of b events is 2 [μ s − b ln(1 + μ s / b)]."""
    s, b = 2.0, 50.0
    templates = templates_from_arrays({"signal": [s], "A": [b]}, {"signal": [0.0], "A": [0.0]})
    found = upper_limit(Likelihood.of(build_workspace(templates, "signal")), "mu_signal")
    q = 2 * (found.expected * s - b * np.log1p(found.expected * s / b))
    np.testing.assert_allclose(np.sqrt(q[2]), 1.959964, rtol=1e-4)
    np.testing.assert_allclose(np.sqrt(q[4]), 2 + 1.6557, rtol=1e-3)


# --- nuisance parameters ------------------------------------------------------------------------------------


def test_pulls_are_in_units_of_before_the_fit(likelihood, fitted):
    found = pulls(likelihood, fitted)
    assert set(found) == {"jes", "lumi", *(f"staterror_SR[{b}]" for b in range(4))}
    for pull in found.values():
        assert abs(pull.value) < 1e-3
        assert 0.3 < pull.uncertainty < 1.01


def test_a_nuisance_parameter_is_pulled_to_what_the_data_say(make_templates):
    """By 400 events, 10 % of 4000, with √4000 of the data and 2 % of the simulation beside it."""
    templates = make_templates(
        {"signal": [0.1, 10.0], "A": [4000.0, 50.0]}, {"jesUp": {"A": 1.1}}, relative=0.02
    )
    likelihood = Likelihood.of(build_workspace(templates, "signal"))
    data = likelihood.asimov(likelihood.parameters())
    data[0] += 400
    pull = pulls(likelihood, best_fit(likelihood, data))["jes"]
    assert pull.value == pytest.approx(400**2 / (400**2 + 80**2 + 4400), abs=0.03)
    assert pull.uncertainty == pytest.approx(1 / np.sqrt(1 + 400**2 / (80**2 + 4400)), abs=0.03)


def test_impacts_are_those_of_the_covariance(likelihood, fitted):
    """For one standard deviation after the fit, a correlation times the uncertainty of the strength."""
    data = likelihood.asimov(likelihood.parameters())
    found = ranking(likelihood, data, fitted, "mu_signal1")
    sizes = [max(abs(impact.up), abs(impact.down)) for impact in found.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert set(found) == set(pulls(likelihood, fitted))
    poi = likelihood.places["mu_signal1"]
    for name, impact in found.items():
        i = likelihood.names.index(name)
        expected = fitted.correlations[poi, i] * fitted.uncertainties[poi]
        assert (impact.up - impact.down) / 2 == pytest.approx(expected, rel=0.1, abs=2e-3)
        assert abs(impact.prefit_up) >= abs(impact.up) - 1e-6
    assert list(ranking(likelihood, data, fitted, "mu_signal1", most=2)) == list(found)[:2]


# --- all together -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def findings(workspace) -> Any:
    return expected_results(workspace)


def test_an_impact_ends_where_a_bin_would_have_fewer_than_no_events():
    """The uncertainty of the simulation is larger than its events there."""
    yields = {"signal": [0.3, 5.0], "A": [0.5, 50.0]}
    templates = templates_from_arrays(yields, {"signal": [0.66, 0.1], "A": [0.25, 1.0]})
    likelihood = Likelihood.of(build_workspace(templates, "signal"))
    data = likelihood.asimov(likelihood.parameters())
    impacts = ranking(likelihood, data, best_fit(likelihood, data), "mu_signal")
    assert all(np.isfinite([impact.up, impact.down]).all() for impact in impacts.values())


def test_findings_hold_everything_and_are_plain_numbers(findings):
    content = json.loads(json.dumps(findings.as_dict(), allow_nan=False))
    assert content["format"] == "cortado-fit"
    assert content["fitted_to"] == "Asimov data"
    assert set(content["signals"]) == {"mu_signal1", "mu_signal2"}
    assert content["correlations"]["mu_signal1"]["mu_signal1"] == pytest.approx(1)
    signal = content["signals"]["mu_signal1"]
    assert len(signal["limit"]["cls"]["0"]) == len(signal["limit"]["scanned"])
    text = to_text(findings_table(findings, "Fit"), width=80)
    assert f"{signal['significance']['others_free']:.4f}" in text
    assert "…" not in text.split("upper limit")[0]


def test_observations_are_looked_at_on_request_alone(make_templates):
    shifted = {"data_obs": [600.0, 330.0, 120.0, 60.0]}
    blind = build_workspace(make_templates(YIELDS, FACTORS), SIGNALS)
    seen = build_workspace(make_templates(YIELDS | shifted, FACTORS), SIGNALS)
    expected, still, observed = (
        expected_results(blind, ["mu_signal1"]),
        expected_results(seen, ["mu_signal1"]),
        expected_results(seen, ["mu_signal1"], observed=True),
    )
    assert still.as_dict() == expected.as_dict()
    assert observed.fitted_to == "observations"
    for name, signal in expected.signals.items():
        assert observed.signals[name].significance == signal.significance
        assert observed.signals[name].limit.expected == pytest.approx(signal.limit.expected)
        assert observed.signals[name].strength.value > 1.2


def test_pyhf_is_left_as_it_was(workspace):
    import pyhf

    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=0.5))
    try:
        expected_results(workspace, ["mu_signal1"])
        assert pyhf.get_backend()[1].tolerance == 0.5
    finally:
        pyhf.set_backend("numpy")


def test_a_strength_is_a_normfactor(workspace):
    assert Likelihood.of(workspace, ["mu_signal2"]).strengths == ("mu_signal2",)
    with pytest.raises(
        ConfigError, match=r"one of the normfactors \['mu_signal1', 'mu_signal2'\], got 'jes'"
    ):
        Likelihood.of(workspace, ["jes"])


def test_a_fit_that_does_not_converge_is_an_error(likelihood):
    with pytest.raises(FitError, match="a fit with mu_signal1 = -1000 held did not converge"):
        likelihood.minimum(likelihood.asimov(likelihood.parameters()), {"mu_signal1": -1000.0})


# --- figures ------------------------------------------------------------------------------------------------


def test_figures_leave_nothing_behind(findings, tmp_path):
    before = dict(mpl.rcParams)
    written = write_fit_figures(tmp_path, findings)
    stems = ("pulls", "ranking_mu_signal1", "ranking_mu_signal2")
    assert [path.name for path in written] == [f"{stem}.{kind}" for stem in stems for kind in ("png", "pdf")]
    assert all(path.stat().st_size > 5000 for path in written)
    assert dict(mpl.rcParams) == before
    assert not plt.get_fignums()
    assert in_words("staterror_SR[3]") == "simulation, SR bin 3"


def test_large_pulls_are_within_the_figures():
    far, near = Pull(-4.0, 0.5), Pull(0.0, 1.0)
    impact = Impact(0.1, -0.1, 0.12, -0.12)
    for figure in (
        pulls_figure({"far": far, "near": near}),
        ranking_figure("mu", {"far": impact}, {"far": far}),
    ):
        low, high = figure.axes[0].get_xlim()
        assert low < -4.5 < 4.5 < high
        plt.close(figure)
    figure = pulls_figure({"near": near})
    assert figure.axes[0].get_xlim() == (-3, 3)
    plt.close(figure)


def test_without_nuisance_parameters_there_is_no_figure(tmp_path):
    templates = templates_from_arrays(
        {"signal": [2.0, 3.0], "A": [50.0, 9.0]}, {"signal": [0, 0], "A": [0, 0]}
    )
    assert not write_fit_figures(tmp_path, expected_results(build_workspace(templates, "signal")))


# --- workspaces ---------------------------------------------------------------------------------------------


def broken(workspace: Any, change: Any) -> Any:
    content = json.loads(json.dumps(workspace))
    change(content)
    return content


def _lumi(content):
    modifiers = content["channels"][0]["samples"][2]["modifiers"]
    modifiers.append({"name": "lumi", "type": "lumi", "data": None})


def _no_background(content):
    for sample in content["channels"][0]["samples"][2:]:
        sample["data"][3] = 0.0


WORKSPACES = {
    "channel twice": (
        lambda w: w["channels"].append(w["channels"][0]),
        r"channels of .* must have distinct names, got 'SR' more than once",
    ),
    "sample twice": (
        lambda w: w["channels"][0]["samples"].append(w["channels"][0]["samples"][0]),
        r"samples of channel 'SR' of .* must have distinct names",
    ),
    "observation twice": (
        lambda w: w["observations"].append(w["observations"][0]),
        "observations of .* must have distinct names",
    ),
    "observations too short": (
        lambda w: w["observations"][0]["data"].pop(),
        "the observations of channel 'SR' of .* must have 4 bins, got 3",
    ),
    "no observations": (lambda w: w["observations"].clear(), "holds no workspace|must have observations"),
    "sample too long": (
        lambda w: w["channels"][0]["samples"][0]["data"].append(1.0),
        r"samples of channel 'SR' of .* must have as many bins, got \[4, 5\]",
    ),
    "lumi": (_lumi, "must configure 'lumi' with auxdata and sigmas"),
    "observations of no channel": (
        lambda w: w["observations"].append({"name": "CR", "data": [1.0]}),
        r"observations of .* must be of its channels \['SR'\], got those of 'CR'",
    ),
    "infinite observation": (
        lambda w: w["observations"][0]["data"].__setitem__(1, float("inf")),
        "observations of channel 'SR' of .* must be finite and not negative, got inf",
    ),
    "negative observation": (
        lambda w: w["observations"][0]["data"].__setitem__(1, -1.0),
        "observations of channel 'SR' of .* must be finite and not negative, got -1",
    ),
    "a modifier that is no number": (
        lambda w: w["channels"][0]["samples"][0]["modifiers"][-1]["data"].__setitem__(0, float("nan")),
        "what 'staterror_SR' does in channel 'SR' of .* must be finite, got nan",
    ),
    "version": (lambda w: w.update(version="2.0.0"), "its version must be '1.0.0', got '2.0.0'"),
    "a summary": (
        lambda w: w.update(version=1),
        "holds no workspace of pyhf: its version must be .*, got 1$",
    ),
    "no measurement": (lambda w: w["measurements"].clear(), "holds no workspace of pyhf"),
    "no channels": (lambda w: w.pop("channels"), "holds no workspace of pyhf"),
}


@pytest.mark.parametrize(("change", "message"), WORKSPACES.values(), ids=WORKSPACES)
def test_workspaces_that_pyhf_takes_silently_are_refused(workspace, tmp_path, change, message):
    path = tmp_path / "workspace.json"
    path.write_text(json.dumps(broken(workspace, change)))
    with pytest.raises(InputError, match=message):
        load_workspace(path)


def _modifiers(content):
    return content["channels"][0]["samples"][0]["modifiers"]


MODELS = {
    "length of a modifier": lambda w: _modifiers(w)[-1].update(data=[0.1]),
    "one name, two kinds": lambda w: _modifiers(w).append(
        {"name": "lumi", "type": "shapefactor", "data": None}
    ),
    "unknown parameter of interest": lambda w: w["measurements"][0]["config"].update(poi="strength"),
    "parameter configured twice": lambda w: w["measurements"][0]["config"]["parameters"].append(
        w["measurements"][0]["config"]["parameters"][0]
    ),
}


@pytest.mark.parametrize("change", MODELS.values(), ids=MODELS)
def test_what_makes_no_model_is_refused_in_a_sentence(workspace, tmp_path, change):
    path = tmp_path / "workspace.json"
    path.write_text(json.dumps(broken(workspace, change)))
    with pytest.raises(InputError, match=r"the workspace makes no model of pyhf: .") as error:
        Likelihood.of(load_workspace(path))
    assert "\n" not in str(error.value)


FIT: Any = best_fit
LOAD: Any = load_workspace
CALLS = {
    "no workspace": (lambda _: Likelihood.of({}), "workspace must be of the type pyhf.Workspace, got {}"),
    "no list": (lambda _: expected_results({}, "mu"), "strengths must be a list of names, got 'mu'"),
    "no likelihood": (lambda _: FIT("x", [1]), "likelihood must be of the type Likelihood, got 'x'"),
    "strength": (lambda it: discovery(it, "mu"), "strength must be one of mu_signal1, mu_signal2, got 'mu'"),
    "strength of a limit": (lambda it: upper_limit(it, "lumi"), "strength must be one of .* got 'lumi'"),
    "level": (lambda it: upper_limit(it, "mu_signal1", 95), "level must be between 0 and 1, .* got 95"),
    "data": (lambda it: FIT(it, [1.0]), r"data must be finite, those of the .* got the shape \(1,\)"),
    "path": (lambda _: LOAD(3), "path must be the path of a file, got 3"),
}


@pytest.mark.parametrize(("call", "message"), CALLS.values(), ids=CALLS)
def test_arguments_that_are_none_are_refused_in_a_sentence(likelihood, call, message):
    with pytest.raises(ConfigError, match=message):
        call(likelihood)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not valid JSON"), ("[]", "holds no workspace"), (None, "cannot read")]
)
def test_files_that_are_no_workspaces_are_refused(tmp_path, content, message):
    path = tmp_path / "workspace.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        load_workspace(path)


def test_a_bin_without_background_is_refused(workspace):
    import pyhf

    empty = pyhf.Workspace(broken(workspace, _no_background))
    with pytest.raises(
        InputError, match="channel 'SR' must have expected events in every bin, got 0 in bin 3"
    ):
        Likelihood.of(empty)


def test_a_background_may_have_a_strength_of_its_own(workspace):
    """If signals are named, what else has a normfactor is a background."""

    def scale(content):
        for sample in content["channels"][0]["samples"][2:]:
            sample["modifiers"].append({"name": "size", "type": "normfactor", "data": None})

    import pyhf

    scaled = pyhf.Workspace(broken(workspace, scale))
    with pytest.raises(InputError, match="name the strengths of signals"):
        Likelihood.of(scaled)
    assert Likelihood.of(scaled, SIGNALS_IN_FITS).strengths == SIGNALS_IN_FITS


# --- the command --------------------------------------------------------------------------------------------


def command(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["fit", *map(str, arguments)], env={"COLUMNS": "80"})


def test_results_of_a_job_are_fitted_one_after_the_other(workspace, tmp_path):
    for place in ("K10", "K5"):
        (tmp_path / "results" / place).mkdir(parents=True)
        (tmp_path / "results" / place / "workspace.json").write_text(json.dumps(workspace))
    done = command(tmp_path / "results", "-o", tmp_path / "fits", "--strength", "mu_signal1")
    assert done.exit_code == 0, done.output
    assert done.output.index("K5") < done.output.index("K10")
    five, ten = (json.loads((tmp_path / "fits" / k / "fit.json").read_text()) for k in ("K5", "K10"))
    assert five == ten
    assert set(five["signals"]) == {"mu_signal1"}
    assert (tmp_path / "fits" / "K5" / "ranking_mu_signal1.png").is_file()


def test_a_folder_in_use_is_left_alone_unless_forced(workspace, tmp_path):
    (tmp_path / "workspace.json").write_text(json.dumps(workspace))
    done = command(tmp_path, "-o", tmp_path)
    assert done.exit_code == OutputError.exit_status
    assert "exists and is not empty" in done.stderr.replace("\n", " ")
    assert [path.name for path in tmp_path.iterdir()] == ["workspace.json"]
    done = command(tmp_path, "-o", tmp_path, "--force", "--strength", "mu_signal1")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "fit.json").is_file()


@pytest.mark.parametrize("broken_one", ["K5", "K10"])
def test_nothing_is_written_where_one_workspace_is_refused(workspace, tmp_path, broken_one):
    for place in ("K5", "K10"):
        content = broken(workspace, _no_background if place == broken_one else lambda _: None)
        (tmp_path / "results" / place).mkdir(parents=True)
        (tmp_path / "results" / place / "workspace.json").write_text(json.dumps(content))
    done = command(tmp_path / "results", "-o", tmp_path / "fits")
    assert done.exit_code == InputError.exit_status
    assert not (tmp_path / "fits").exists()


def test_a_folder_without_workspaces_is_refused(tmp_path):
    done = command(tmp_path, "-o", tmp_path / "fits")
    assert done.exit_code == InputError.exit_status
    assert "there is no workspace.json in" in done.stderr


@pytest.mark.parametrize("package", ["cabinetry", "iminuit"])
def test_without_the_extra_the_error_says_which(package, monkeypatch, workspace, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"cabinetry and iminuit: pip install 'cortado-hep\[fit\]'"):
        require_extra()
    (tmp_path / "workspace.json").write_text(json.dumps(workspace))
    done = command(tmp_path / "workspace.json", "-o", tmp_path / "fits")
    assert done.exit_code == ConfigError.exit_status
    assert "pip install 'cortado-hep[fit]'" in done.stderr


def test_exports_work_without_the_extra(tmp_path):
    code = f"""
import sys
sys.modules["cabinetry"] = sys.modules["iminuit"] = None
import cortado as ct
from cortado.templates import templates_from_arrays
templates = templates_from_arrays({{"s": [1.0, 2.0], "b": [9.0, 5.0]}})
ct.export.pyhf(templates, signals="s", path={str(tmp_path / "workspace.json")!r})
ct.export.combine(templates, signals="s", path={str(tmp_path / "card.txt")!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert {path.name for path in Path(tmp_path).iterdir()} == {"workspace.json", "card.txt", "card.root"}
