"""Archives of hep-ml-lab, made by hand in their layout."""

import io
import json
import zipfile

import numpy as np
import pytest

import cortado as ct
from cortado.classifiers import read_hml_archive

SET = {
    "observable_configs": {
        "0": {"class_name": "Pt", "config": {"physics_object": "jet0", "class_name": "pt"}},
        "1": {"class_name": "TauMN", "config": {"physics_object": "fatjet0", "class_name": "tau21", "m": 2}},
        "2": {"class_name": "AngularDistance", "config": {"physics_object": "jet0,jet1", "class_name": None}},
    },
    "class_name": "SetDataset",
    "been_split": False,
    "seed": None,
}
IMAGES = {
    "height_config": {"class_name": "Phi", "config": {"physics_object": "jet0.constituents"}},
    "width_config": {"class_name": "Eta", "config": {"physics_object": "jet0.constituents"}},
    "channel_config": None,
    "registered_methods": [["pixelate", {"size": [4, 5], "range": [[-1, 1], [-1, 1]]}]],
    "been_pixelated": True,
    "w_bins": [-1.0, 0.0, 1.0],
    "h_bins": [-1.0, 0.0, 1.0],
    "class_name": "ImageDataset",
    "been_split": False,
    "seed": None,
}
NAMES = ("jet0.pt", "fatjet0.tau21", "jet0,jet1.AngularDistance")
TARGETS = np.array([0, 1, 1, 0], np.int32)
SAMPLES = np.arange(12, dtype=np.float32).reshape(4, 3)
PIXELS = np.random.default_rng(1).random((4, 5, 4))


def arrays(samples=SAMPLES, targets=TARGETS, **others):
    file = io.BytesIO()
    np.savez(file, samples=samples, targets=targets, **others)
    return file.getvalue()


def archive(described=SET, data=None, **members):
    """The bytes of an archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("configs.json", described if isinstance(described, str) else json.dumps(described))
        made.writestr("data.npz", arrays() if data is None else data)
        for name, content in members.items():
            made.writestr(name.replace("__", "."), content)
    return file.getvalue()


@pytest.fixture
def read(tmp_path):
    """A function that reads an archive given by its bytes."""

    def function(content, *args, **options):
        path = tmp_path / "dataset.ds"
        path.write_bytes(content)
        return read_hml_archive(path, *args, **options)

    return function


def test_observables_and_targets(read):
    found = read(archive(), ["background", "signal"])
    assert found.events.classes == ("background", "signal")
    assert found.events.observables == NAMES
    np.testing.assert_array_equal(found.events.x, SAMPLES)
    np.testing.assert_array_equal(found.events.y, TARGETS)
    np.testing.assert_array_equal(found.events.weight, 1)
    assert (found.train, found.validation, found.test) == (None, None, None)


def test_classes_are_numbers_where_they_have_no_names(read):
    found = read(archive(data=arrays(targets=TARGETS[:, None].astype(float))))
    assert found.events.classes == ("0", "1")


def test_images_have_rows_of_the_height(read):
    found = read(archive(IMAGES, arrays(PIXELS)))
    assert found.events.is_images
    assert found.events.x.shape == (4, 4, 5)
    np.testing.assert_array_equal(found.events.x, PIXELS.transpose(0, 2, 1).astype(np.float32))


def test_parts_of_a_split(read):
    train = archive(data=arrays(SAMPLES[:2], TARGETS[:2]))
    test = archive(data=arrays(SAMPLES[2:], TARGETS[2:]))
    found = read(archive(SET | {"been_split": True}, train__ds=train, test__ds=test))
    np.testing.assert_array_equal(found.train.x, SAMPLES[:2])
    np.testing.assert_array_equal(found.test.x, SAMPLES[2:])
    assert found.validation is None
    in_train = np.isin(found.events.event_id, found.train.event_id)
    np.testing.assert_array_equal(in_train, [True, True, False, False])


def test_what_does_not_exist_has_its_value_or_is_refused(read):
    samples = np.where(SAMPLES == 4, np.nan, SAMPLES)
    with pytest.raises(ct.InputError, match=r"'fatjet0.tau21' must be finite, 1"):
        read(archive(data=arrays(samples)))
    found = read(archive(data=arrays(samples)), missing=-99.0)
    assert found.events.x[1, 1] == -99
    with pytest.raises(ct.InputError, match=r"'fatjet0.tau21': the missing value 5 lies among"):
        read(archive(data=arrays(samples)), missing=5.0)


def object_array():
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    return file.getvalue()


def array_with_header(header):
    """An array whose header says something else than its content."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, **header})
    return file.getvalue() + SAMPLES.tobytes()


def members(**content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in content.items():
            made.writestr(name + ".npy", data)
    return file.getvalue()


def saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"no zip at all", "not a zip file"),
        (archive()[:-30], "not an archive"),
        (members(a=b"", b=b""), "must hold"),
        (archive(run__py=b"print(1)"), "nothing unknown, .*'run.py'"),
        (archive(**{"../train__ds": archive()}), "nothing unknown"),
        (archive("[1, 2]"), "must describe a dataset"),
        (archive("{"), "is not JSON"),
        (archive("[" * 100_000), "not an archive"),
        (archive(SET | {"class_name": "os.system"}), "SetDataset or ImageDataset, got 'os.system'"),
        (archive({"class_name": "SetDataset"}), "not described: 'observable_configs'"),
        (archive(IMAGES | {"been_pixelated": None}), "not made into images"),
        (archive(IMAGES), "not made into images"),
        (archive(data=b"no zip"), "not a zip file"),
        (archive(data=arrays(extra=SAMPLES)), "nothing unknown"),
        (archive(data=arrays(SAMPLES[:3])), "do not fit"),
        (archive(data=arrays(SAMPLES[:, :2])), "do not fit"),
        (archive(data=arrays(SAMPLES[0, 0])), "do not fit"),
        (archive(data=arrays(targets=TARGETS - 1)), "integers from 0"),
        (archive(data=arrays(targets=TARGETS * 10**8)), "integers from 0 to 999"),
        (archive(data=arrays(targets=TARGETS + 0.5)), "integers from 0"),
        (archive(data=arrays(targets=TARGETS * np.nan)), "integers from 0"),
        (archive(data=arrays(targets=TARGETS * 0)), r"every class needs events, .* none of \['1'\]"),
        (archive(data=arrays(SAMPLES.astype(str))), "must hold numbers"),
        (archive(data=members(samples=object_array(), targets=saved(TARGETS))), "numbers, got object"),
        (archive(data=members(samples=b"abc", targets=saved(TARGETS))), "is no array"),
        (archive(data=members(samples=array_with_header({"shape": (10**12, 3)}), targets=b"")), "says shape"),
        (archive(data=members(samples=array_with_header({"shape": (-4, -3)}), targets=b"")), "says shape"),
        (archive(train__ds=archive(train__ds=archive())), "nothing unknown"),
    ],
)
def test_other_files_are_refused(read, content, part):
    with pytest.raises(ct.InputError, match=part):
        read(content)


def test_archives_do_not_take_more_memory_than_allowed(read):
    zeros = saved(np.zeros((2_000_000, 3), np.float32))
    bomb = members(samples=zeros, targets=saved(TARGETS))
    assert len(archive(data=bomb)) < 100_000
    with pytest.raises(ct.InputError, match=r"samples.npy would take 24000128 bytes, more than max_bytes"):
        read(archive(data=bomb), max_bytes=1_000_000)


def test_absent_files_are_said(tmp_path):
    with pytest.raises(ct.InputError, match="No such file"):
        read_hml_archive(tmp_path / "absent.ds")


def test_classes_are_as_many_as_targets(read):
    with pytest.raises(ct.ConfigError, match="names of targets 0 to 1"):
        read(archive(), ["signal"])
