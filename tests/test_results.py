"""Result files: whole or not at all, and read back as they were written."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from records import made_up

from alasso import results, workers
from alasso import run as runner
from alasso.errors import BadInput
from alasso.experiments import experiment


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A finished run of the tiny preset and its file."""
    folder = tmp_path_factory.mktemp("results")
    chosen = experiment("pmnist-tiny", "si")
    return runner.run(chosen, 0, folder, progress=False), chosen.path(folder, 0), folder


def test_a_record_round_trips(tiny, tmp_path):
    run, path, _ = tiny
    assert results.load(path) == run
    results.save(run, tmp_path / "new" / "copy.json")
    assert (tmp_path / "new" / "copy.json").read_bytes() == path.read_bytes()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["copy.json"]


def test_a_record_says_how_to_make_it_again(tiny):
    run, path, _ = tiny
    assert run.command == "alasso run pmnist-tiny si --seed 0"
    assert run.protocol["hidden"] == [16]
    assert run.hyperparameters == {"c": 0.1, "damping": 0.1, "floor": True}
    assert run.parameters == 784 * 16 + 16 + 16 * 10 + 10
    assert len(run.dataset_sha256) == 64
    assert run.versions.keys() >= {"torch", "python", "alasso", "numpy", "processor"}
    assert run.started <= run.finished
    assert path.name.startswith("si-")
    assert path.name.endswith("-s0.json")


def test_the_matrix_is_null_where_nothing_was_seen(tiny):
    matrix = json.loads(tiny[1].read_text())["accuracy"]
    assert matrix[0][1] is None
    assert np.isnan(tiny[0].matrix[0, 1])
    assert all(0 <= value <= 1 for row in matrix for value in row if value is not None)


def test_a_run_that_is_there_is_not_trained_again(tiny, monkeypatch):
    run, _, folder = tiny
    monkeypatch.setattr(runner, "train_stream", None)
    assert runner.run(experiment("pmnist-tiny", "si"), 0, folder) == run


def test_runs_are_computed_where_missing_and_equal_a_run_on_its_own(tiny):
    """In processes of their own or in this one: the same numbers, experiment by experiment and seed by seed."""
    run, _, folder = tiny
    found = workers.runs([experiment("pmnist-tiny", m) for m in ("none", "si")], range(2), folder)
    assert [[(r.method, r.seed) for r in mine] for mine in found] == [
        [("none", 0), ("none", 1)],
        [("si", 0), ("si", 1)],
    ]
    assert found[1][0] == run
    alone = runner.run(experiment("pmnist-tiny", "none"), 1, folder / "alone", progress=False)
    np.testing.assert_allclose(found[0][1].matrix, alone.matrix, atol=0.005)


def test_what_is_asked_for_twice_is_trained_once(tmp_path, monkeypatch):
    handed, compute = [], workers.compute
    monkeypatch.setattr(workers, "compute", lambda todo, *rest: handed.extend(todo) or compute(todo, *rest))
    same = [experiment("pmnist-tiny", "none", settings) for settings in ({}, {"tasks": "2"})]
    first, second = workers.runs(same, [0], tmp_path)
    assert first == second
    assert len(handed) == 1


@pytest.mark.parametrize("content", [None, "[]", "{}", "\x00", "[" * 10**5], ids=str.split("torn list empty nul deep"))
def test_a_file_that_is_not_a_record_is_refused_by_name(tiny, tmp_path, content):
    path = tmp_path / "torn.json"
    path.write_text(content or tiny[1].read_text()[:100])
    with pytest.raises(BadInput, match=r"torn\.json: not a whole result record"):
        results.load(path)


def test_a_record_of_another_schema_is_refused(tiny, tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps({**json.loads(tiny[1].read_text()), "schema": 0}))
    with pytest.raises(BadInput, match="schema 0; this version of alasso reads schema 1"):
        results.load(path)


@pytest.mark.parametrize(
    ("loop", "precision", "command", "again"),
    [
        ("fast", "bfloat16", "run", "run --precision bfloat16"),
        ("fast, uncompiled", "float32", "run", "run --precision float32"),
        ("fast", "float32", "run --precision float32", "run --precision float32"),
        ("reference", "float32", "run", "run --reference"),
        ("reference", "float32", "run --reference", "run --reference"),
    ],
)
def test_the_command_that_makes_it_again_names_loop_precision_and_device(tiny, loop, precision, command, again):
    run = replace(tiny[0], loop=loop, precision=precision, command=command)
    assert run.again == again
    assert replace(run, device="cuda").again == f"{again} --device cuda"


def test_a_record_older_than_the_field_was_made_by_the_reference_loop(tiny, tmp_path):
    content = json.loads(tiny[1].read_text())
    del content["loop"]
    (tmp_path / "old.json").write_text(json.dumps(content))
    assert results.load(tmp_path / "old.json").again == f"{tiny[0].command} --reference"


@pytest.mark.parametrize("accuracy", [[], [[0.5, None]], [[0.5], [0.5, 0.5]], [[0.5] * 3] * 3])
def test_a_matrix_of_another_size_than_the_protocols_is_refused(tiny, tmp_path, accuracy):
    path = tmp_path / "short.json"
    path.write_text(json.dumps({**json.loads(tiny[1].read_text()), "accuracy": accuracy}))
    with pytest.raises(BadInput, match=r"short\.json: accuracy is not a matrix of 2 × 2 tasks; delete it"):
        results.load(path)


@pytest.mark.parametrize("row", [[None, 0.8], [9.0, 0.8], [0.3, -0.1]])
def test_a_record_with_holes_or_impossible_accuracies_is_refused(tiny, tmp_path, row):
    path = tmp_path / "odd.json"
    path.write_text(json.dumps({**json.loads(tiny[1].read_text()), "accuracy": [[0.9, None], row]}))
    with pytest.raises(BadInput, match=r"odd\.json: not a share from 0 to 1 for every task seen; delete it"):
        results.load(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hyperparameters": None},
        {"protocol": [1]},
        {"accuracy": [["a", None], ["b", "c"]]},
        {"accuracy": [[[0.5], None], [0.5, 0.5]]},
        {"accuracy": 3},
        {"seconds": None},
        {"seconds": ["a", 1.0]},
        {"seconds": [None, 1.0]},
        {"loss": [0.1]},
        {"loss": [0.1, 10**400]},
        {"accuracy": [[10**400, None], [0.5, 0.5]]},
        {"command": 'alasso run "'},
        {"commit": 5},
        {"preset": ["pmnist-tiny"]},
    ],
)
def test_a_record_with_values_of_another_type_is_refused(tiny, tmp_path, wrong):
    path = tmp_path / "strange.json"
    path.write_text(json.dumps(json.loads(tiny[1].read_text()) | wrong))
    with pytest.raises(BadInput, match=r"strange\.json: not a whole result record"):
        results.load(path)


def test_a_folder_in_the_place_of_a_record_is_refused_by_name(tmp_path):
    with pytest.raises(BadInput, match=r"cannot be read \(Is a directory\); a record is a file"):
        results.load(tmp_path)


def test_records_are_found_in_any_depth_and_nothing_else(tmp_path):
    names = ("preset/si-0-s0.json", "precision/float32/preset/si-0-s10.json")
    others = ("landscape/preset/s0.json", "preset/.unfinished/si-0-s1.json", "preset/si-0-s0.log")
    for name in names + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert results.records(tmp_path) == sorted(tmp_path / name for name in names)


def test_code_that_differs_from_its_commit_is_dirty(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", tmp_path)
    provenance, code = results.provenance.__wrapped__, tmp_path / "alasso" / "formulas.py"
    assert provenance()["dirty"] is provenance()["commit"] is None, "no checkout"
    code.parent.mkdir()
    code.write_text("1")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    (tmp_path / "LOG.md").write_text("not code")
    assert provenance()["dirty"] is False
    assert provenance()["commit"] == results.git("rev-parse", "HEAD")
    code.write_text("2")
    assert provenance()["dirty"] is True


def test_a_commit_that_is_made_while_a_process_runs_is_not_that_of_its_code(tmp_path):
    shutil.copytree(results.ROOT / "alasso", tmp_path / "alasso", ignore=shutil.ignore_patterns("__pycache__"))
    code = """
import subprocess
from pathlib import Path
def commit():
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], check=True)
    print(subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip())
commit()
from alasso import results
Path("alasso", "formulas.py").write_text("")
commit()
print(results.provenance()["commit"], results.provenance()["dirty"])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    first, second, *said = done.stdout.split()
    assert first != second
    assert said == [first, "False"]


def test_every_image_right_is_a_share_too(tmp_path):
    made = experiment("pmnist-tiny", "si")
    results.save(made_up(made, 0, [[1.0, None], [0.0, 1.0]]), tmp_path / "a.json")
    assert results.load(tmp_path / "a.json").accuracy == [[1.0, None], [0.0, 1.0]]


def test_a_record_can_be_read_by_others(tmp_path):
    results.save(made_up(experiment("pmnist-tiny", "si"), 0, [[0.5, None], [0.5, 0.5]]), tmp_path / "a.json")
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == 0o644


def test_outside_a_checkout_results_are_where_one_works_and_git_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "ROOT", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    assert results.folder() == tmp_path / "results"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert results.git("status") is None
