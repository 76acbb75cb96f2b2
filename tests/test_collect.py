"""Where results come from, and whether the code here would still make them."""

import ast
import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from records import made_up

from alasso import cli, collect, results
from alasso.experiments import experiment

HEAD = results.provenance()["commit"]


@pytest.fixture
def folder(tmp_path):
    """One clean record of this very code."""
    chosen = experiment("pmnist-tiny", "si", {"c": "0.5"})
    here = results.provenance() | {"dirty": False}
    results.save(replace(made_up(chosen, 3, [[0.5, None], [0.4, 0.5]]), **here), chosen.path(tmp_path, 3))
    return tmp_path


def test_the_committed_records_are_of_the_settings_and_formulas_here():
    """In a copy without its history, of the settings alone."""
    folder = results.folder()
    paths = results.records(folder)
    found = [what for path in paths for what in collect.problems(results.load(path), path)]
    unknown = [what for what in found if what.endswith("is not in this checkout: its formulas are unknown")]
    assert [what for what in found if what not in unknown] == []
    assert list(collect.other_data({str(path): results.load(path) for path in paths})) == []
    if results.git("rev-parse", "--is-shallow-repository") == "false":
        assert len(unknown) in (0, len(paths)), "some commits are here, so all should be"


def only(folder):
    (path,) = folder.glob("*/*.json")
    return path


def change(folder, **changes):
    path = only(folder)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def check(folder, capsys) -> str:
    """What `alasso collect --check` complains of."""
    status = cli.main(["collect", "--check", "--results", str(folder)])
    complaints = [line for line in capsys.readouterr().out.splitlines() if ".json: " in line]
    assert status == (1 if complaints else 0)
    return "\n".join(complaints)


def test_a_line_says_seed_settings_commit_and_duration(folder, capsys):
    change(folder, seconds=[100.0, 80.0], dirty=True)
    assert cli.main(["collect", "--results", str(folder)]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split()[:3] == [f"pmnist-tiny/{only(folder).name}", "3", "c=0.5"]
    assert line.endswith(f"3.0 min  {HEAD[:7]} dirty")


def test_an_empty_folder_is_named(tmp_path, capsys):
    assert cli.main(["collect", "--results", str(tmp_path)]) == 2
    assert f"{tmp_path}: no results here" in capsys.readouterr().err


def forget():
    """What commits and files had."""
    collect._definitions.cache_clear()
    collect._changed_since.cache_clear()


@pytest.fixture
def committed(monkeypatch):
    """The formulas as they are in the files count as those of HEAD."""
    now = {name: (results.ROOT / "alasso" / f"{name}.py").read_text("utf-8") for name in collect.FORMULAS}
    forget()

    def git(_, what):
        commit, path = what.split(":")
        return now.get(path.removeprefix("alasso/").removesuffix(".py")) if commit == HEAD else None

    monkeypatch.setattr(results, "git", git)
    yield now
    forget()


def test_a_record_of_this_code_is_all_right(folder, capsys, committed):
    assert check(folder, capsys) == ""


def test_another_docstring_comment_or_layout_is_no_change(folder, capsys, committed):
    text = committed["formulas"]
    committed["formulas"] = "# A remark.\n" + re.sub(r'"""(?=[A-Z])', '"""Other words: ', ast.unparse(ast.parse(text)))
    assert committed["formulas"] != text
    assert check(folder, capsys) == ""


def test_a_changed_formula_is_found_by_name_if_the_method_uses_it(folder, capsys, committed):
    used = committed["formulas"].replace("def si_importance(", "def si_importance(nothing=None, *, ")
    other = committed["formulas"].replace("def perfect_importance(", "def perfect_importance(nothing=None, *, ")
    assert used != committed["formulas"] != other
    committed["formulas"] = other
    assert check(folder, capsys) == "", "SI has no perfect importance"
    forget()
    committed["formulas"] = used
    assert check(folder, capsys).endswith(f"formulas changed since {HEAD[:7]}: si_importance")


def test_a_changed_default_is_no_changed_formula(folder, capsys, committed):
    committed["surrogates"] = committed["surrogates"].replace("damping: float = 0.1", "damping: float = 0.2")
    assert check(folder, capsys) == ""


def test_what_cannot_be_known_is_said(folder, capsys, committed):
    change(folder, commit="0" * 40)
    assert "commit 0000000 is not in this checkout: its formulas are unknown" in check(folder, capsys)
    change(folder, commit=None, dirty=None)
    assert "made outside a git checkout: its formulas are unknown" in check(folder, capsys)


def test_disagreement_with_the_preset_is_found(folder, capsys, committed):
    change(folder, hyperparameters={"c": 0.5, "damping": 0.2})
    assert "disagrees with its preset" in check(folder, capsys)
    assert "damping=0.2, not 0.1" in check(folder, capsys)
    change(folder, hyperparameters={"c": 0.5, "damping": 0.1}, preset="pmnist-gone")
    assert "preset 'pmnist-gone': unknown" in check(folder, capsys)


def test_dirty_torn_and_misnamed_records_are_found(folder, capsys, committed):
    change(folder, dirty=True)
    assert "made by code that was not committed" in check(folder, capsys)
    change(folder, dirty=False)
    path = only(folder)
    moved = path.rename(path.with_name("si-00000000-s3.json"))
    assert f"its settings belong to {path.name}" in check(folder, capsys)
    moved.write_text("{")
    assert "not a whole result record" in check(folder, capsys)
    assert cli.main(["collect", "--results", str(folder)]) == 0
    assert capsys.readouterr().err == f"alasso: {moved}: not a whole result record; delete it and run again\n"
    moved.unlink()
    moved.mkdir()
    assert "cannot be read (Is a directory)" in check(folder, capsys)


def test_a_record_without_accuracies_is_one_line(folder, capsys, committed):
    change(folder, accuracy=[])
    said = check(folder, capsys)
    assert said.count("\n") == 0
    assert "accuracy is not a matrix of 2 × 2 tasks" in said
    assert cli.main(["collect", "--results", str(folder)]) == 0


def test_records_in_any_depth_are_checked_and_only_what_was_compared_is_said(folder, capsys, committed):
    deep = folder / "precision" / "float32" / "pmnist-tiny" / only(folder).name
    deep.parent.mkdir(parents=True)
    deep.write_text(only(folder).read_text())
    assert cli.main(["collect", "--check", "--results", str(folder)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith(f"pmnist-tiny/{deep.name} ")
    assert said[2].startswith(f"precision/float32/pmnist-tiny/{deep.name} ")
    assert said[3] == "2 results, all with formulas and settings as here, and one content of each data set"


def test_a_folder_may_be_named_from_within(folder, capsys, committed, monkeypatch):
    monkeypatch.chdir(only(folder).parent)
    assert check(Path("."), capsys) == ""


def test_records_of_one_data_set_with_other_contents_are_found(folder, capsys, committed):
    record = results.load(only(folder))
    later = folder / "pmnist-tiny" / only(folder).name.replace("-s3", "-s4")
    results.save(replace(record, seed=4, command=record.command.replace("--seed 3", "--seed 4")), later)
    assert check(folder, capsys) == ""
    results.save(replace(results.load(later), dataset_sha256="1" * 64), later)
    assert check(folder, capsys) == (
        f"pmnist-tiny/{later.name}: its mnist5k is not that of pmnist-tiny/{later.name.replace('-s4', '-s3')}: "
        "they cannot be compared"
    )


def test_git_itself_is_asked_for_the_formulas_of_a_commit():
    forget()
    first = results.git("log", "--format=%H", "-1", "--", "alasso/formulas.py")
    assert first
    then, now = collect._definitions(first), collect._definitions(None)
    assert {"ALASSO", "SI", "perfect_importance"} <= then.keys() & now.keys()
    assert collect._definitions("0" * 40) is None


def test_a_definition_written_anew_is_the_same_on_both_sides_of_its_commit_only(monkeypatch):
    """One statement has three texts; the second and the third are called the same."""
    texts = {"first": "x = 1", "second": "x = 2", "third": "x = 3"}
    states = {commit: ast.parse(text).body[0] for commit, text in texts.items()}
    monkeypatch.setattr(collect, "SAME", {"SI": "third"})
    sides = {"third~": {"SI": states["second"]}, "third": {"SI": states["third"]}}
    monkeypatch.setattr(collect, "_definitions", sides.get)
    for then, complaints in {"first": ["SI"], "second": [], "third": []}.items():
        assert collect.changed_formulas("SI", {"SI": states[then]}, {"SI": states["third"]}) == complaints
    assert collect.changed_formulas("SI", {"SI": states["second"]}, {"SI": states["first"]}) == ["SI"]


@pytest.mark.parametrize(
    ("method", "deep"),
    [("EWC", "_mean_power"), ("MAS", "BATCH"), ("IMM", "joint_anchor"), ("ALASSO", "_fixed_side"),
     ("ALASSO", "observed_side"), ("SI", "initial_state"), ("VCL", "gaussian_kl_gradient")],
)  # fmt: skip
def test_a_change_in_any_depth_and_module_is_found(method, deep):
    now = collect._definitions(None)
    assert collect.changed_formulas(method, now, now) == []
    assert collect.changed_formulas(method, now | {deep: ast.parse("x = 1").body[0]}, now) == [deep]
    assert collect.changed_formulas(method, {k: v for k, v in now.items() if k != deep}, now) == [deep]


def test_what_is_kept_is_the_average_at_the_end():
    made = experiment("pmnist-tiny", "si")
    assert collect._row(made_up(made, 0, [[0.9, None], [0.5, 0.7]]))[1] == "0.6000"


def test_csv_has_every_setting_and_summary_in_a_column(tmp_path, capsys):
    for method, shares in (("si", [[0.9, None], [0.5, 0.7]]), ("none", [[0.8, None], [0.2, 0.9]])):
        made = experiment("pmnist-tiny", method)
        results.save(made_up(made, 3, shares), made.path(tmp_path, 3))
    assert cli.main(["collect", "--csv", "--results", str(tmp_path)]) == 0
    none, si = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (si["method"], si["seed"], si["c"], si["epochs"]) == ("si", "3", "0.1", "1")
    assert [float(si[name]) for name in ("kept", "learned", "forgetting", "spread")] == pytest.approx(
        [0.6, 0.8, 0.4, 0.1]
    )
    assert (none["c"], none["method"]) == ("", "none")
