"""Output folders: never overwritten by accident, resumed after an interrupt, cleared of their own alone."""

import json
from pathlib import Path

import pytest

from cortado.errors import OutputError
from cortado.files import write_text, write_whole
from cortado.jobfolder import JobFolder, fingerprint

JOB = {"config": {"categories": [5], "fit": {"seed": 1}}, "files": {"DY": [["dy.root", 1, 2]]}}
OTHER = {**JOB, "config": {"categories": [6]}}


def tree(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def finished(path: Path, job=JOB) -> JobFolder:
    """A finished job that left a stage and two outputs."""
    outputs = ["summary.json", "K5/figures/stack.png"]
    folder = JobFolder.claim(path, job, outputs)
    write_text(folder.stage_file("sample.npz"), "sample")
    for output in outputs:
        write_text(path / output, "output")
    folder.finish(job, outputs)
    return folder


def interrupted(path: Path, job=JOB) -> JobFolder:
    folder = JobFolder.claim(path, job)
    write_text(folder.stage_file("sample.npz"), "sample")
    return folder


# --- who may have the folder --------------------------------------------------------------------------------


@pytest.mark.parametrize("exists", [False, True], ids=["absent", "empty"])
def test_a_new_folder_is_claimed(tmp_path, exists):
    if exists:
        (tmp_path / "out").mkdir()
    JobFolder.claim(tmp_path / "out", JOB)
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["finished"] is False
    assert record["job"] == JOB
    assert record["fingerprint"] == fingerprint(JOB)


def test_an_interrupted_job_goes_on(tmp_path):
    interrupted(tmp_path / "out")
    before = tree(tmp_path)
    folder = JobFolder.claim(tmp_path / "out", JOB)
    assert folder.stage_file("sample.npz").read_text() == "sample"
    assert tree(tmp_path) == before


def foreign(path: Path) -> None:
    write_text(path / "thesis.tex", "years of work")


def foreign_record(path: Path) -> None:
    write_text(path / "run.json", '{"speed": 3}')


REFUSED = {
    "finished": (finished, "holds this very run, finished; use --force to repeat it"),
    "finished with another configuration": (lambda p: finished(p, OTHER), "run of another configuration"),
    "interrupted with another configuration": (
        lambda p: interrupted(p, OTHER),
        "run of another configuration",
    ),
    "foreign": (foreign, "is not the folder of a cortado run"),
    "another program's record": (foreign_record, "is not the folder of a cortado run"),
    "a record of no job": (
        lambda p: write_text(p / "run.json", '{"fingerprint": "", "finished": true, "files": [], "job": 3}'),
        "is not the folder of a cortado run",
    ),
    "broken record": (lambda p: write_text(p / "run.json", "{"), "is not the folder of a cortado run"),
    "a number": (lambda p: write_text(p / "run.json", "3"), "is not the folder of a cortado run"),
    "a list": (
        lambda p: write_text(p / "run.json", '["finished", "files"]'),
        "is not the folder of a cortado",
    ),
    "a file": (lambda p: write_text(p, "text"), "is not the folder of a cortado run"),
}


@pytest.mark.parametrize(("prepare", "message"), REFUSED.values(), ids=REFUSED)
def test_a_folder_in_use_is_refused_and_left_as_it_is(tmp_path, prepare, message):
    prepare(tmp_path / "out")
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=message):
        JobFolder.claim(tmp_path / "out", JOB)
    assert tree(tmp_path) == before


# --- what not all stages depend on --------------------------------------------------------------------------

LATE = {"filling": ("sums.npz",), "output": ()}
CHANGES = {"output": {"sample.npz", "sums.npz"}, "filling": {"sample.npz"}}


def with_sums(prepare, path: Path) -> Path:
    write_text(prepare(path).stage_file("sums.npz"), "sums")
    write_text(path / "notes.txt", "mine")
    return path


@pytest.mark.parametrize("prepare", [finished, interrupted])
@pytest.mark.parametrize(("key", "kept"), CHANGES.items(), ids=CHANGES)
def test_stages_that_do_not_depend_on_a_change_are_kept(tmp_path, prepare, key, kept):
    path, changed = with_sums(prepare, tmp_path / "out"), {**JOB, key: {"bins": 3}}
    folder = JobFolder.claim(path, changed, late=LATE)
    left = tree(path)
    record = json.loads(left.pop("run.json"))
    assert {*left} == {f"stages/{name}" for name in kept} | {"notes.txt"}
    assert record["finished"] is False
    assert record["job"] == changed
    folder.finish(changed, [])
    with pytest.raises(OutputError, match="holds this very run, finished"):
        JobFolder.claim(path, changed, late=LATE)


@pytest.mark.parametrize("other", [{**OTHER, "output": 1}, {"config": JOB["config"]}], ids=["other", "fewer"])
def test_a_change_of_what_all_stages_depend_on_is_another_job(tmp_path, other):
    path = with_sums(interrupted, tmp_path / "out")
    with pytest.raises(OutputError, match="run of another configuration"):
        JobFolder.claim(path, other, late=LATE)


def test_a_finished_run_without_its_stages_is_left_alone(tmp_path):
    path = tmp_path / "out"
    finished(path).stage_file("sample.npz").unlink()
    before = tree(tmp_path)
    with pytest.raises(OutputError, match="finished; use --force to repeat it"):
        JobFolder.claim(path, {**JOB, "output": 1}, late=LATE)
    assert tree(tmp_path) == before


# --- force --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("job", [JOB, OTHER], ids=["same", "other"])
@pytest.mark.parametrize("prepare", [finished, interrupted])
def test_force_removes_exactly_what_the_earlier_run_wrote(tmp_path, prepare, job):
    path = tmp_path / "out"
    prepare(path)
    mine = {"K5/notes.txt": "mine", "readme.txt": "mine", "other/summary.json": "mine"}
    for name, text in mine.items():
        write_text(path / name, text)
    JobFolder.claim(path, job, force=True)
    left = tree(path)
    record = json.loads(left.pop("run.json"))
    assert left == mine
    assert record["finished"] is False
    assert record["job"] == job


def test_force_removes_folders_that_are_empty_then(tmp_path):
    finished(tmp_path / "out")
    (tmp_path / "out" / "kept").mkdir()
    JobFolder.claim(tmp_path / "out", OTHER, force=True)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["kept", "run.json"]


def test_force_takes_a_folder_with_other_files(tmp_path):
    foreign(tmp_path / "out")
    JobFolder.claim(tmp_path / "out", JOB, force=True)
    assert set(tree(tmp_path / "out")) == {"run.json", "thesis.tex"}


def test_a_removal_that_is_interrupted_leaves_an_unfinished_run(tmp_path, monkeypatch):
    finished(tmp_path / "out")

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", interrupt)
        with pytest.raises(KeyboardInterrupt):
            JobFolder.claim(tmp_path / "out", OTHER, force=True)
    with pytest.raises(OutputError, match="run of another configuration"):
        JobFolder.claim(tmp_path / "out", OTHER)
    JobFolder.claim(tmp_path / "out", JOB)


def test_stages_of_nobody_are_not_taken_for_ours(tmp_path):
    interrupted(tmp_path / "out", OTHER)
    (tmp_path / "out" / "run.json").unlink()
    before = tree(tmp_path)
    with pytest.raises(OutputError, match=r"stages is there, but no run\.json says whose it is"):
        JobFolder.claim(tmp_path / "out", JOB, force=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["../precious.txt", "/precious.txt", "deep/../../precious.txt"])
def test_nothing_outside_of_the_folder_is_removed(tmp_path, name):
    write_text(tmp_path / "precious.txt", "mine")
    path = tmp_path / "out"
    finished(path)
    record = json.loads((path / "run.json").read_text())
    outside = str(tmp_path / "precious.txt") if name.startswith("/") else name
    write_text(path / "run.json", json.dumps({**record, "files": [outside]}))
    with pytest.raises(OutputError, match="names a file outside of its folder"):
        JobFolder.claim(path, JOB, force=True)
    assert (tmp_path / "precious.txt").exists()


def test_what_cannot_be_removed_is_said(tmp_path):
    path = tmp_path / "out"
    finished(path)
    (path / "summary.json").unlink()
    (path / "summary.json").mkdir()
    with pytest.raises(OutputError, match="cannot remove the earlier run from"):
        JobFolder.claim(path, JOB, force=True)


def test_force_does_not_make_a_folder_of_a_file(tmp_path):
    write_text(tmp_path / "out", "text")
    with pytest.raises(OutputError, match="cannot write"):
        JobFolder.claim(tmp_path / "out", JOB, force=True)
    assert (tmp_path / "out").read_text() == "text"


# --- records ------------------------------------------------------------------------------------------------


def test_a_finished_job_lists_its_files(tmp_path):
    finished(tmp_path / "out")
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["finished"] is True
    assert record["files"] == ["K5/figures/stack.png", "summary.json"]


def test_the_fingerprint_is_of_the_content():
    reordered = dict(reversed(list(JOB.items())))
    assert fingerprint(reordered) == fingerprint(JOB)
    assert fingerprint(OTHER) != fingerprint(JOB)
    assert fingerprint({"a": 1.0}) != fingerprint({"a": 1.0 + 1e-15})


# --- whole or not at all ------------------------------------------------------------------------------------


def test_a_file_is_written_whole(tmp_path):
    path = tmp_path / "new" / "folder" / "text.json"
    write_text(path, "first")
    write_text(path, "μ = 1")
    assert path.read_bytes() == "μ = 1".encode()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "text.json"
    write_text(path, "old")

    def fail():
        with write_whole(path) as partial:
            partial.write_text("half")
            assert partial.suffix == ".json"
            raise error

    with pytest.raises(error):
        fail()
    assert tree(tmp_path) == {"text.json": "old"}


def test_a_full_disk_is_an_output_error(tmp_path):
    path = tmp_path / "text.json"

    def fail():
        with write_whole(path) as partial:
            partial.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match=r"cannot write .*text\.json: No space left on device"):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file/text.json", "file/deep/text.json", "folder"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=f"cannot write .*{name}: "):
        write_text(tmp_path / name, "text")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_processes_that_write_the_same_file_do_not_meet(tmp_path, monkeypatch):
    path = tmp_path / "text.json"
    with write_whole(path) as mine:
        monkeypatch.setattr("os.getpid", lambda: 1)
        with write_whole(path) as other:
            assert other != mine
            other.write_text("theirs")
        mine.write_text("mine")
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]
