"""From ROOT files through a processor of a user to events with their class."""

import textwrap
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoAODSchema

import cortado as ct
from cortado import toys
from cortado.classifiers import JetImages, Observables, jet_images
from cortado.columnar import (
    Dataset,
    FlatNtuple,
    ObservableCollector,
    ObservedEvents,
    open_executor,
    run_processor,
    take_inventory,
)
from cortado.columnar.loading import load_processor
from cortado.folds import assign_folds

# The files have fewer collections than NanoAOD.
pytestmark = pytest.mark.filterwarnings("ignore:Missing cross-reference:RuntimeWarning")

OBSERVABLES = Observables(
    ("jet0.pt", "jet0,jet1.mass", "jet0,jet1.delta_r", "jets.size", "met.pt", "muon0.charge", "jet1.b_tag"),
    missing={"jet0,jet1.mass": -1.0, "jet0,jet1.delta_r": -1.0, "jet1.b_tag": -1.0},
    fields={"b_tag": "btagDeepFlavB"},
)
CLASSES = {"background": ["DY", "W"], "signal": ["ggH"]}
CROSS_SECTIONS = {"ggH_125": 2.0, "DY_0J": 50.0, "DY_1J": 20.0, "W": 100.0}
PROCESSES = {"ggH_125": "ggH", "DY_0J": "DY", "DY_1J": "DY", "W": "W"}
LUMINOSITY = 10.0

PROCESSOR = """
    MIN_PT = 25.0


    class TwoCollections:
        def __init__(self, sink):
            self.sink = sink

        def process(self, events):
            import awkward as ak

            jets = events.Jet[events.Jet.pt > MIN_PT]
            found = ak.with_field(events, jets, "Jet")
            keep = (ak.num(jets) > 0) & (ak.num(events.Muon) > 0)
            selected = found[keep]
            weight = selected.genWeight if events.metadata["is_mc"] else ak.ones_like(selected.MET.pt)
            up = self.sink.fill(
                events.metadata["dataset"], selected, weight, event_id=selected.event, variation="jesUp"
            )
            nominal = {"nominal": weight, "pileupUp": weight * 2}
            return up + self.sink.fill(
                events.metadata["dataset"], selected, nominal, event_id=selected.event
            )
"""


def write_nanoaod(path, seed, first, n=300):
    random = np.random.default_rng(seed)

    def objects(mean, **more):
        counts = random.poisson(mean, n)
        m = counts.sum()
        columns = {
            "pt": random.exponential(40, m) + 10,
            "eta": random.normal(size=m),
            "phi": random.uniform(-3, 3, m),
            "mass": random.exponential(5, m),
            **{name: made(m) for name, made in more.items()},
        }
        return ak.unflatten(ak.zip({k: np.asarray(v, "f4") for k, v in columns.items()}), counts)

    jets = objects(2.0, btagDeepFlavB=random.random)
    muons = objects(1.0, charge=lambda m: random.choice([-1, 1], m))
    weight = np.where(random.random(n) < 0.1, -0.5, 1.5)
    columns = {
        "Jet": jets,
        "Muon": muons,
        "MET_pt": random.exponential(30, n).astype("f4"),
        "MET_phi": random.uniform(-3, 3, n).astype("f4"),
        "genWeight": weight,
        "event": np.arange(first, first + n, dtype=np.uint64),
        "run": np.ones(n, np.uint32),
        "luminosityBlock": np.ones(n, np.uint32),
    }
    with uproot.recreate(path) as file:
        types = {
            name: column.type if name in ("Jet", "Muon") else column.dtype for name, column in columns.items()
        }
        file.mktree("Events", types).extend(columns)
        file.mktree("Runs", {"genEventSumw": "f8"}).extend({"genEventSumw": np.array([weight.sum()])})


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nanoaod")
    found = []
    for number, (name, cross_section) in enumerate(CROSS_SECTIONS.items()):
        for part in range(2):
            write_nanoaod(folder / f"{name}_{part}.root", 10 * number + part, 1000 * part)
        files = tuple(str(folder / f"{name}_{part}.root") for part in range(2))
        found.append(
            Dataset(
                name,
                files,
                process=PROCESSES[name],
                xsec=cross_section,
                sum_of_weights=("Runs", "genEventSumw"),
            )
        )
    write_nanoaod(folder / "collisions.root", 99, 0)
    return (*found, Dataset("data", str(folder / "collisions.root"), is_data=True))


@pytest.fixture(scope="module")
def local():
    with open_executor(progress=False) as executor:
        yield executor


@pytest.fixture(scope="module")
def inventory(datasets, local):
    return take_inventory(datasets, local)


@pytest.fixture(scope="module")
def two_collections(tmp_path_factory):
    """A processor in a file that workers cannot import."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "theirs.py").write_text(textwrap.dedent(PROCESSOR))
    return load_processor("theirs.py:TwoCollections", folder)[0]


@pytest.fixture(scope="module")
def collected(inventory, local, two_collections):
    """What is expected, in memory and in whole files."""
    return run_processor(
        two_collections(ObservableCollector(OBSERVABLES)),
        inventory.chunks(),
        local,
        schema=NanoAODSchema,
        returns=ObservedEvents,
    )


def labelled(collected, inventory):
    return collected.labelled(CLASSES, inventory.normalisation(LUMINOSITY))


def assert_equal(a, b):
    for name in ("x", "y", "weight", "event_id", "process", "fold"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def expected_of(path):
    """Observables of one file by uproot and numpy, event by event, and which events are selected."""
    rows, ids = [], []
    for event in uproot.open(path)["Events"].arrays().to_list():
        jets = [i for i in range(event["nJet"]) if event["Jet_pt"][i] > 25]
        if not jets or not event["nMuon"]:
            continue
        pt, eta, phi, mass = (
            np.array(event[f"Jet_{k}"], np.float64)[jets][:2] for k in ("pt", "eta", "phi", "mass")
        )
        invariant, distance, tag = -1.0, -1.0, -1.0
        if len(jets) > 1:
            p = np.array([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
            energy = np.sqrt((p**2).sum(axis=0) + mass**2)
            invariant = np.sqrt(energy.sum() ** 2 - (p.sum(axis=1) ** 2).sum())
            turned = (phi[0] - phi[1] + np.pi) % (2 * np.pi) - np.pi
            distance = np.hypot(eta[0] - eta[1], turned)
            tag = event["Jet_btagDeepFlavB"][jets[1]]
        rows.append([pt[0], invariant, distance, len(jets), event["MET_pt"], event["Muon_charge"][0], tag])
        ids.append(event["event"])
    return np.array(rows), ids


def test_observables_are_those_of_the_files(collected, inventory, datasets):
    events = labelled(collected, inventory)
    expected, ids = expected_of(datasets[0].files[0])
    assert len(ids) > 50
    found = events.select((events.process == "ggH") & (events.event_id < 1000))
    assert found.event_id.tolist() == ids
    np.testing.assert_allclose(found.x, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(events.fold, assign_folds(events.event_id, 5))


def test_weights_are_physical(collected, inventory, datasets):
    """Σw of the selected events × cross section × luminosity / Σw(generated), summed over datasets."""
    events = labelled(collected, inventory)
    assert (events.weight < 0).any()
    for process, names in {"ggH": ["ggH_125"], "DY": ["DY_0J", "DY_1J"], "W": ["W"]}.items():
        expected = 0.0
        for dataset in datasets:
            if dataset.name in names:
                trees = [uproot.open(f)["Events"].arrays(["event", "genWeight"]) for f in dataset.files]
                generated = sum(ak.sum(t.genWeight) for t in trees)
                selected = sum(
                    ak.sum(t.genWeight[np.isin(t.event, expected_of(f)[1])])
                    for t, f in zip(trees, dataset.files, strict=True)
                )
                expected += selected / generated * CROSS_SECTIONS[dataset.name] * LUMINOSITY
        assert events.weight[events.process == process].sum() == pytest.approx(expected)


def test_events_are_those_of_the_classes(collected, inventory):
    events = labelled(collected, inventory)
    assert events.classes == ("background", "signal")
    assert set(events.process) == {"ggH", "DY", "W"}
    assert collected.n_events > len(events)  # collision data
    np.testing.assert_array_equal(events.y, events.process == "ggH")


@pytest.mark.parametrize("chunk_size", [200, 10**6])
def test_files_and_chunks_change_nothing(collected, inventory, local, two_collections, chunk_size, tmp_path):
    sink = ObservableCollector(OBSERVABLES, tmp_path / "events")
    found = run_processor(
        two_collections(sink), inventory.chunks(chunk_size)[::-1], local, schema=NanoAODSchema
    )
    assert_equal(labelled(found, inventory), labelled(collected, inventory))
    assert {p.suffix for p in (tmp_path / "events").iterdir()} == {".parquet"}
    first, second, *_ = (tmp_path / "events").iterdir()
    second.replace(first)
    with pytest.raises(ct.InputError, match=r"does not hold the events that were|not a file of format"):
        labelled(found, inventory)


def test_a_processor_of_the_other_passes_fills_it(toy_folder, local):
    """Flat ntuples, with complete weights."""
    datasets = [Dataset(p, str(toy_folder / f"{p}_*.root")) for p in toys.PROCESSES]
    inventory = take_inventory(datasets, local)
    processor = FlatNtuple(ObservableCollector(toys.SCORES), event_id="event")
    found = run_processor(processor, inventory.chunks(), local)
    classes = {"background": toys.BACKGROUNDS, "signal": toys.SIGNALS}
    events = found.labelled(classes, inventory.normalisation())
    assert len(events) == 24_000
    for process in toys.PROCESSES:
        expected = toys.CROSS_SECTIONS[process] * toys.LUMINOSITY
        assert events.weight[events.process == process].sum() == pytest.approx(expected)


@pytest.mark.realdata
def test_real_events_through_the_processor_of_the_example(htautau, local):
    processor = load_processor("htautau.py:HTauTau", Path(__file__).parents[1] / "processors")[0]
    files = {"ggH": "GluGluToHToTauTauSkim", "qqH": "VBF_HToTauTauSkim", "TT": "TTbarSkim"}
    inventory = take_inventory([Dataset(p, str(htautau / f"{f}.root")) for p, f in files.items()], local)
    sink = ObservableCollector(["pt_1", "m_vis", "mjj"])
    found = run_processor(processor(sink), inventory.chunks(), local)
    events = found.labelled({"background": ["TT"], "ggH": ["ggH"], "qqH": ["qqH"]}, inventory.normalisation())
    for process, name in files.items():
        tree = uproot.open(htautau / f"{name}.root")["Events"].arrays(library="np")
        selected = (tree["q_1"] * tree["q_2"] < 0) & (tree["mt_1"] < 30) & (tree["iso_1"] < 0.1)
        rows = events.process == process
        assert sorted(events.x[rows, 1]) == sorted(tree["m_vis"][selected])
        assert events.weight[rows].sum() == pytest.approx(tree["weight"][selected].sum(dtype=float))


def small(**options):
    return ObservableCollector(["a"], **options)


def test_channels_are_told_apart():
    arguments = ("DY", {"a": np.ones(3)}, np.ones(3))
    ids = np.arange(3)
    assert small().fill(*arguments, event_id=ids, channel="CR").n_events == 3
    assert small(channel="SR").fill(*arguments, event_id=ids, channel="CR").n_events == 0
    assert small(channel="CR").fill(*arguments, event_id=ids, channel="CR").n_events == 3
    assert (small().empty + small().fill(*arguments, event_id=ids)).n_events == 3


def test_events_with_the_same_number_have_one_order():
    x, ids = np.arange(6.0), np.zeros(6, np.uint64)
    normalisation = ct.Normalisation({"a": "a", "b": "b"}, {"a": 1.0, "b": 1.0})
    classes = {"a": ["a"], "b": ["b"]}
    parts = [
        small().fill(d, {"a": x[i : i + 2]}, x[i : i + 2], event_id=ids[:2]) for d in "ab" for i in (0, 2, 4)
    ]
    whole = [small().fill(d, {"a": x[::-1]}, x[::-1], event_id=ids) for d in "ab"]
    one = (whole[0] + whole[1]).labelled(classes, normalisation)
    many = sum(parts[1:], parts[0]).labelled(classes, normalisation)
    assert_equal(one, many)
    np.testing.assert_array_equal(one.x[:, 0], one.weight)


@pytest.mark.parametrize("in_files", [False, True])
def test_images_are_kept_as_well(in_files, tmp_path):
    sink = ObservableCollector(JetImages("constituents", (9, 9)), tmp_path if in_files else None)
    jets = toys.boosted_jets(seed=1, n_resonance=30, n_parton=30)
    parts = [
        sink.fill(
            kind,
            ak.zip({"constituents": j.constituents[rows]}, depth_limit=1),
            np.ones(15),
            event_id=j.event[rows],
        )
        for kind, j in jets.items()
        for rows in (slice(0, 15), slice(15, 30))
    ]
    normalisation = ct.Normalisation({kind: kind for kind in jets}, dict.fromkeys(jets, 2.0))
    events = sum(parts, sink.empty).labelled({kind: [kind] for kind in jets}, normalisation)
    expected = np.concatenate([jet_images(j.constituents, (9, 9)) for j in jets.values()])
    np.testing.assert_array_equal(events.x, expected)
    np.testing.assert_array_equal(events.weight, 2)
    with pytest.raises(ct.InputError, match="no field 'constituents'"):
        sink.fill("parton", ak.Array([{"a": 1}]), np.ones(1), event_id=[1])


@pytest.mark.parametrize(
    ("changes", "error", "part"),
    [
        ({"features": {"b": np.ones(2)}}, ct.InputError, "observable 'a': there is no branch 'a'"),
        ({"weight": np.ones(3)}, ct.InputError, "weight must have one value an event, 2"),
        ({"weight": np.array([1, np.nan])}, ct.InputError, "weight must be finite"),
        ({"event_id": None}, ct.InputError, "event_id is needed"),
        ({"event_id": np.ones(2)}, ct.InputError, "event_id must be one integer an event"),
        ({"variation": "up"}, ct.InputError, "variation"),
    ],
)
def test_fills_are_checked(changes, error, part):
    arguments = {"features": {"a": np.ones(2)}, "weight": np.ones(2), "event_id": np.arange(2)} | changes
    with pytest.raises(error, match=part):
        small().fill("DY", arguments.pop("features"), arguments.pop("weight"), **arguments)


def test_what_a_classifier_must_not_see_is_refused():
    with pytest.raises(ct.ConfigError, match="'weight'"):
        ObservableCollector(["a", "weight"])


def test_classes_are_checked(collected, inventory):
    normalisation = inventory.normalisation(LUMINOSITY)
    with pytest.raises(ct.InputError, match=r"no events of \['ggh'\]; there are \['DY', 'W'\]"):
        collected.labelled({"background": ["DY", "W"], "signal": ["ggh"]}, normalisation)
    with pytest.raises(ct.ConfigError, match="in two"):
        collected.labelled({"background": ["DY"], "signal": ["DY"]}, normalisation)


def test_observables_that_do_not_exist_need_a_value(inventory, local, two_collections):
    sink = ObservableCollector(["jet0.pt", "jet1.pt"])
    found = run_processor(two_collections(sink), inventory.chunks(), local, schema=NanoAODSchema)
    with pytest.raises(
        ct.InputError, match=r"'jet1.pt' must be finite, \d+ values are not.* of 'DY'; declare"
    ):
        labelled(found, inventory)


def test_errors_in_names_are_those_of_the_job(inventory, local, two_collections):
    with pytest.raises(ct.InputError, match=r"TwoCollections failed on .*'jett0.pt': there is no collection"):
        run_processor(
            two_collections(ObservableCollector(["jett0.pt"])),
            inventory.chunks(),
            local,
            schema=NanoAODSchema,
        )
