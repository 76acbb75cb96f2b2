"""The command line: what it prints, and one line with status 2 for whatever cannot be."""

import errno
import os
import signal
import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
import small_runs

from alasso import cli, datasets, results
from alasso.errors import Notice, notices
from alasso.experiments import experiment
from alasso.presets import METHODS, PRESETS
from alasso.targets import TARGETS


def refused(capsys, *arguments) -> str:
    """The one line that a bad command prints."""
    try:
        status = cli.main([*map(str, arguments)])
    except SystemExit as exit:
        status = exit.code
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err.count("\n") == 1, err
    return err


def test_run_prints_where_the_result_is_and_runs_once(capsys, tmp_path):
    arguments = ["run", "pmnist-tiny", "si", "--seed", "2", "--set", "c=0.5", "epochs=2", "--results", str(tmp_path)]
    assert cli.main(arguments) == 0
    path = experiment("pmnist-tiny", "si", {"c": "0.5", "epochs": "2"}).path(tmp_path, 2)
    out, err = capsys.readouterr()
    assert out.startswith(f"{path}: average accuracy 0.")
    assert "task 2/2 epoch 2/2" in err
    assert "loss=" in err
    run = results.load(path)
    assert run.command == "alasso run pmnist-tiny si --seed 2 --set epochs=2 c=0.5"
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.endswith("(already there)\n")
    assert cli.main([*run.command.split()[1:], "--results", str(tmp_path)]) == 0, "the command in the record finds it"
    assert capsys.readouterr().out.endswith("(already there)\n")
    results.save(replace(run, commit="0000000", dirty=True), path)  # of a method that was being written
    assert cli.main(arguments) == 0
    assert f"alasso: {path}: made by code that was not committed; delete it to train anew\n" in capsys.readouterr().err


def test_data_is_that_of_the_committed_records(capsys):
    assert cli.main(["data", "mnist5k"]) == 0
    record = results.load(next((results.folder() / "pmnist-demo").glob("*.json")))
    images = "4,000 training and 1,000 test images of 10 classes"
    assert capsys.readouterr().out == f"mnist5k: {images}, sha256 {record.dataset_sha256}\n"


def test_list_names_every_preset_and_method_with_cost_and_source(capsys):
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    for name in (*PRESETS, *METHODS):
        assert f"  {name}" in out
    for preset in PRESETS.values():
        assert preset.cost in out
        assert preset.expect in out
    found = [line.split() for line in out.splitlines() if line.startswith("    found   ")]
    assert ["found", "si", "--set", "c=10", "damping=0.1"] in found
    assert len(found) == 2 * len([name for name in PRESETS if name.startswith("split")])
    listed = " ".join(out.split())
    for name, target in TARGETS.items():
        assert f" {name} {target.about}: " in listed
        about = listed.partition(f" {name} {target.about}: ")[2].partition(" runs ")[2].replace(",", " ").split()
        for setting in {f"{key}={value}" for changes in target.variations for key, value in changes.items()}:
            assert setting in about
    assert max(len(line) for line in out[out.index("figures and tables") :].splitlines()) <= 110


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "pmnist", "si"], "preset 'pmnist': unknown; did you mean pmnist"),
        (["run", "imagenet", "si"], "choose from pmnist-tiny"),
        (["data", "imagenet"], "data set 'imagenet': unknown; did you mean tiny-imagenet?"),
        (["run", "pmnist-tiny", "ewcc"], "method 'ewcc': unknown"),
        (["run", "pmnist-tiny", "si", "--set", "damp=1"], "setting 'damp' of si: unknown; did you mean damping?"),
        (["run", "pmnist-tiny", "si", "--set", "a=2"], "setting 'a' of si: unknown"),
        (["run", "pmnist-tiny", "si", "--set", "c"], "--set c: must be name=value"),
        (["run", "pmnist-tiny", "si", "--set", "c=much"], "c=much: c must be a number"),
        (["run", "pmnist-tiny", "alasso-paper", "--set", "a=0"], "a=0.0: a must be a finite number > 0"),
        (["run", "pmnist-tiny", "alasso-paper", "--set", "a=nan"], "a=nan: a must be a finite number > 0"),
        (["run", "pmnist-tiny", "alasso-paper", "--set", "keep_maximum=maybe"], "must be true or false"),
        (["run", "pmnist-tiny", "si", "--set", "tasks=0"], "tasks=0: tasks must be a whole number ≥ 1"),
        (["run", "pmnist-tiny", "si", "--set", "tasks=2.5"], "tasks=2.5: tasks must be a whole number"),
        (["run", "pmnist-tiny", "si", "--set", "hidden="], "hidden=: hidden must be numbers"),
        (["run", "pmnist-tiny", "si", "--set", "hidden=0"], "hidden=0: hidden must be one or more widths"),
        (["run", "pmnist-tiny", "si", "--set", "c=1e39"], "c=1e+39: c must be a number of float32, 3.4e+38 at most"),
        (["run", "pmnist-tiny", "si", "--set", "c=1", "epochs=1", "c=2"], "--set c=1 epochs=1 c=2: c must be set once"),
        (
            ["run", "split-cifar", "si", "--set", "hidden=7"],
            "si with hidden=7: table-c has widths of its own",
        ),
        (
            ["run", "split-cifar", "si", "--set", "permute_first=true"],
            "si with permute_first=true: split classes are not permuted",
        ),
        (
            ["run", "pmnist-tiny", "si", "--set", "image_side=64"],
            "si with image_side=64: mlp takes images as",
        ),
        (
            ["run", "pmnist-tiny", "alasso-si-importance", "--set", "a_prime=7"],
            "alasso-si-importance with a_prime=7.0: (7) reads it, which perfect=false leaves out",
        ),
        (["run", "pmnist-tiny", "alasso-published", "--set", "floor=false"], "keep_maximum=true keeps Ω̂ from falling"),
        (
            ["run", "pmnist-tiny", "si", "--set", "dataset=tiny-imagenet", "hidden=100000"],
            "hidden=100000: more than 1000000000 weights",
        ),
        (["run", "split-cifar", "multi"], "joint=true: mixed batches are for permuted pixels"),
        (["run", "pmnist-tiny", "ewc", "--set", "joint=true"], "ewc with joint=true: batches that mix all tasks"),
        (["run", "split-cifar", "vcl"], "vcl with network=table-c: the mean field is for the mlp"),
        (
            ["run", "pmnist-tiny", "vcl", "--set", "dropout=0.2,0.5"],
            "vcl with dropout=0.2,0.5: the mean field has noise",
        ),
        (
            ["run", "pmnist-tiny", "imm-mean", "--set", "dropout=0.2,0.5"],
            "imm-mean with dropout=0.2,0.5: drop-transfer",
        ),
        (["run", "split-cifar", "imm-mode"], "imm-mode with network=table-c, which has dropout: drop-transfer too"),
        (
            ["run", "split-cifar", "si", "--set", "dataset=mnist5k", "tasks=2"],
            "network=table-c: it takes colour images",
        ),
        (
            ["run", "split-cifar", "si", "--set", "dataset=cifar10"],
            "tasks=30: cifar10 has 10 classes, enough for 3 tasks of 3",
        ),
        (["run", "pmnist-tiny", "ewc", "--set", "fisher=true"], "fisher=true: fisher must be one of"),
        (["run", "pmnist-tiny", "si", "--seed", "-1"], "--seed -1: must be a whole number ≥ 0"),
        (["run", "pmnist-tiny", "si", "--seed", "1.5"], "--seed 1.5"),
        (["run", "pmnist-tiny", "si", "--device", "abacus"], "--device abacus: PyTorch cannot use it here"),
        (["run", "pmnist-tiny", "si", "--device", "meta"], "--device meta: PyTorch cannot use it here"),
        (["run", "pmnist-tiny", "si", "--device", "hpu"], "--device hpu: PyTorch cannot use it here"),
        (["run", "pmnist-tiny", "si", "--two\nlines"], "unrecognized arguments: --two lines"),
        (["reproduce", "all", "--scale", "papers"], "scale 'papers': unknown; did you mean paper"),
        (["reproduce", "figure-4", "--seeds", "1001"], "--seeds 1001: must be a whole number ≥ 1, 1000 at most"),
        (["reproduce", "figure-4", "--workers", "1001"], "--workers 1001: must be a whole number ≥ 1, 1000 at most"),
        (
            ["reproduce", "figure-4", "--workers", "2", "--dask", "tcp://host:1"],
            "argument --dask: not allowed with argument --workers",
        ),
        (["run", "pmnist-tiny"], "required: method"),
        (["walk"], "invalid choice: 'walk'"),
        ([], "see alasso --help"),
    ],
)
def test_bad_input_gets_one_line_and_status_2_and_writes_nothing(capsys, tmp_path, monkeypatch, arguments, named):
    monkeypatch.chdir(tmp_path)
    if arguments[:1] == ["run"]:
        arguments = [*arguments, "--results", "results"]
    assert named in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_only_those_who_load_data_wait_for_torchvision():
    code = "from alasso import cli; import sys; cli.main(['list']); assert 'torchvision' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_a_reader_that_leaves_early_gets_no_traceback():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*small_runs.ALASSO, "list"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_the_largest_learning_rate_diverges_in_one_line(capsys, tmp_path):
    for loop in ([], ["--reference"]):
        folder = str(tmp_path / f"results{len(loop)}")
        changed = ["--set", "learning_rate=1e37", "--results", folder, *loop]
        assert cli.main(["run", "pmnist-tiny", "none", *changed]) == 1
        assert "alasso: diverged: loss" in capsys.readouterr().err


def test_a_results_folder_that_cannot_be_written_is_named(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    line = refused(capsys, "run", "pmnist-tiny", "si", "--results", tmp_path / "file" / "results")
    assert "cannot write results here" in line
    assert str(tmp_path / "file" / "results") in line


def test_a_path_that_no_system_has_is_named(capsys, tmp_path):
    path = tmp_path / ("a" * 300)
    for command in (["run", "pmnist-tiny", "si"], ["reproduce", "figure-4", "--dry-run"], ["collect"]):
        assert str(path) in refused(capsys, *command, "--results", path)


def test_a_record_of_another_device_than_asked_for_is_refused(capsys, tmp_path):
    arguments = ["run", "pmnist-tiny", "none", "--results", tmp_path]
    assert cli.main([*map(str, arguments), "--device", "cpu:1"]) == 0  # another name of the same
    assert cli.main([*map(str, arguments), "--device", "cpu"]) == 0
    capsys.readouterr()
    path = experiment("pmnist-tiny", "none").path(tmp_path, 0)
    results.save(replace(results.load(path), device="cuda:0"), path)
    line = refused(capsys, *arguments, "--device", "cpu")
    assert "made by the fast loop in" in line
    assert "on cuda:0, not with --device cpu; name another folder" in line


@pytest.mark.parametrize("lack", [MemoryError(), RuntimeError("can't allocate memory: you tried to allocate 9 bytes")])
def test_too_little_memory_gets_one_line(capsys, monkeypatch, tmp_path, lack):
    def run(*arguments, **named):
        raise lack

    monkeypatch.setattr(cli, "run", run)
    assert "not enough memory" in refused(capsys, "run", "pmnist-tiny", "none", "--results", tmp_path)


@pytest.mark.parametrize("command", [["list"], ["run", "--help"]])
def test_output_that_knows_few_letters_is_printed_all_the_same(command):
    narrow = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    printed = subprocess.run([*small_runs.ALASSO, *command], env=narrow, capture_output=True, check=True)
    assert b"pmnist-tiny" in printed.stdout


def test_output_that_takes_nothing_gets_one_line():
    with open(os.devnull) as for_reading:
        command = [*small_runs.ALASSO, "list"]
        done = subprocess.run(command, stdout=for_reading, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == f"alasso: output: {os.strerror(errno.EBADF)}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_outside_a_run_gets_one_line(capsys, monkeypatch, tmp_path, number):
    def interrupted(name):
        signal.raise_signal(number)

    monkeypatch.setattr(datasets, "load", interrupted)
    assert cli.main(["run", "pmnist-tiny", "si", "--results", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "alasso: stopped\n"


def test_a_truncated_data_file_is_named_and_nothing_is_written(capsys, tmp_path, monkeypatch):
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"\x00\x00\x08\x01\x00")
    monkeypatch.setenv("ALASSO_DATA", str(tmp_path / "data"))
    line = refused(capsys, "run", "pmnist10", "none", "--results", tmp_path / "results")
    assert "-ubyte" in line
    assert not (tmp_path / "results").exists()


def test_a_notice_is_one_line_and_other_warnings_are_as_ever():
    usual = warnings.formatwarning
    with notices():
        assert warnings.formatwarning("of note", Notice, "run.py", 81) == "alasso: of note\n"
        assert warnings.formatwarning("odd", UserWarning, "x.py", 3, "") == usual("odd", UserWarning, "x.py", 3, "")
    assert warnings.formatwarning is usual


def test_a_folder_without_a_name_is_refused(capsys):
    """As an unset variable of a shell leaves it; the working directory was meant by nobody."""
    with pytest.raises(SystemExit, match="2"):
        cli.main(["collect", "--results", ""])
    assert "argument --results: it is empty; name a folder" in capsys.readouterr().err


def test_a_folder_of_the_home_is_found_where_no_shell_looks(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(["run", "pmnist-tiny", "none", "--results=~/here"]) == 0
    assert list(tmp_path.glob("here/pmnist-tiny/none-*.json"))
