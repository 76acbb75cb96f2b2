"""A run that is asked for in another way than its record was made, and which code may go on from a checkpoint."""

import ast
import io
import os
import signal
from dataclasses import replace

import pytest
import torch
from small_runs import SETTINGS, forked, start, stop_after

from alasso import checkpoint, cli, results
from alasso import run as runner
from alasso.errors import BadInput
from alasso.experiments import experiment
from alasso.networks import MLP
from alasso.tasks import held_out, permuted_stream
from alasso.train import Place, train_stream

pytestmark = pytest.mark.usefixtures("small_runs")

PATH = experiment("pmnist-tiny", "alasso-published", SETTINGS).path


@pytest.mark.parametrize(
    ("method", "settings", "stream"),
    [
        ("none", {}, lambda d: permuted_stream(d, 3, 1, permute_first=False)),
        ("multi", {}, lambda d: permuted_stream(d, 3, 1, permute_first=False, joint=True)),
        ("alasso-paper", {}, lambda d: permuted_stream(d, 3, 1, permute_first=True)),
        ("si", {"validation": "true"}, lambda d: permuted_stream(held_out(d), 3, 1, permute_first=False)),
    ],
)
def test_a_record_is_of_the_stream_and_the_seed_that_it_names(tmp_path, dataset, method, settings, stream):
    chosen = experiment("pmnist-tiny", method, SETTINGS | settings)
    record = runner.run(chosen, 1, tmp_path, progress=False, reference=True)
    done = train_stream(MLP((9, 8, 3)), chosen.surrogate, stream(dataset), chosen.protocol, 1, "cpu", lambda *_: None)
    assert record.loss == [loss for _, loss, _ in done]
    assert [row[: n + 1] for n, row in enumerate(record.accuracy)] == [seen for seen, _, _ in done]


def test_the_precision_of_a_record_is_that_of_its_products(tmp_path):
    reference = start(tmp_path / "reference", reference=True).loss
    assert start(tmp_path / "float32", precision="float32").loss == pytest.approx(reference, rel=1e-4)
    rounded = start(tmp_path / "bfloat16", precision="bfloat16").loss
    assert rounded == pytest.approx(reference, rel=0.1)
    assert rounded != pytest.approx(reference, rel=1e-4)


@pytest.mark.parametrize(
    ("made", "asked", "said"),
    [
        (
            {"precision": "bfloat16"},
            {"precision": "float32"},
            "fast, uncompiled loop in bfloat16 on cpu, not with --precision",
        ),
        ({"precision": "float32"}, {"precision": "bfloat16"}, "loop in float32 on cpu, not with --precision bfloat16"),
        (
            {"precision": "float32"},
            {"reference": True},
            "fast, uncompiled loop in float32 on cpu, not with --reference",
        ),
        (
            {"reference": True},
            {"precision": "bfloat16"},
            "reference loop in float32 on cpu, not with --precision bfloat16",
        ),
        (
            {"reference": True},
            {"precision": "float32"},
            "reference loop in float32 on cpu, not with --precision float32",
        ),
    ],
)
def test_a_record_of_another_loop_or_precision_than_asked_for_is_refused(tmp_path, made, asked, said):
    record = start(tmp_path, **made)
    with pytest.raises(BadInput, match=rf"s0\.json: made by the .*{said}.*another folder with --results, or delete it"):
        start(tmp_path, **asked)
    assert start(tmp_path, **made) == record
    assert start(tmp_path) == record, "nothing was asked for"


def test_the_reference_loop_has_one_precision(tmp_path):
    with pytest.raises(BadInput, match="precision bfloat16 of the reference loop: it has float32"):
        start(tmp_path, reference=True, precision="bfloat16")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_says_so_in_one_line(tmp_path, capsys):
    start(tmp_path, precision="bfloat16")
    chosen = [f"{name}={value}" for name, value in SETTINGS.items()]
    words = ["run", "pmnist-tiny", "alasso-published", "--results", str(tmp_path), "--precision", "float32", "--set"]
    assert cli.main([*words, *chosen]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_record_of_another_precision_that_another_process_has_just_finished_is_refused(tmp_path, monkeypatch):
    def finish_first(record):
        monkeypatch.undo()
        start(tmp_path, precision="bfloat16")
        return alone(record)

    alone = checkpoint.alone
    monkeypatch.setattr(checkpoint, "alone", finish_first)
    with pytest.raises(BadInput, match="not with --precision float32"):
        start(tmp_path, precision="float32")


@pytest.mark.parametrize("changed", ["CODE", "torch", "data"])
def test_a_checkpoint_of_other_code_is_not_used(tmp_path, monkeypatch, changed):
    straight = start(tmp_path / "straight")
    stop_after(7, tmp_path / "killed")
    if changed == "CODE":
        monkeypatch.setattr(runner, "CODE", "0" * 64)
    elif changed == "torch":
        monkeypatch.setattr(torch, "__version__", "1.0")
    else:
        pretend(PATH(tmp_path / "killed", 0), data="1" * 64)
    named = changed.lower()
    with pytest.warns(UserWarning, match=f"is not used: it is of another run or other code: {named} .*, not ") as said:
        record = start(tmp_path / "killed")
    assert all("\n" not in str(warning.message) for warning in said)
    assert (record.accuracy, record.loss) == (straight.accuracy, straight.loss)


def test_a_checkpoint_of_a_loop_that_only_a_compiler_tells_apart_is_not_used(tmp_path):
    stop_after(7, tmp_path)
    record = PATH(tmp_path, 0)
    pretend(record, loop="fast")  # the fixture's is uncompiled
    with pytest.warns(UserWarning, match="is not used: it is of another run or other code: loop fast"):
        start(tmp_path)


@pytest.mark.parametrize(("asked", "begun"), [("loop", "reference"), ("precision", "float16"), ("device", "cuda")])
def test_a_checkpoint_of_another_loop_precision_or_device_is_refused_and_kept(tmp_path, asked, begun):
    stop_after(7, tmp_path)
    record = PATH(tmp_path, 0)
    pretend(record, **{asked: begun})
    kept = checkpoint.beside(record, "checkpoint").read_bytes()
    with pytest.raises(BadInput, match=rf"\.checkpoint: this run was begun with {asked} {begun}, not .*go on so"):
        start(tmp_path)
    assert checkpoint.beside(record, "checkpoint").read_bytes() == kept
    assert not record.exists()


@pytest.mark.parametrize("kind", [{"seed": 5}, {"method": "si"}, {"preset": "pmnist-demo"}])
def test_a_record_under_the_name_of_another_is_refused(tmp_path, kind):
    record = start(tmp_path)
    results.save(replace(record, **kind), PATH(tmp_path, 0))
    with pytest.raises(BadInput, match=r"s0\.json: the record of `alasso run .*` under another's name"):
        start(tmp_path)


def pretend(record, **changes) -> None:
    """Leave the same checkpoint with another identity, and none before it."""
    content = checkpoint.beside(record, "checkpoint").read_bytes()[checkpoint.DIGEST :]
    old = torch.load(io.BytesIO(content), weights_only=True)
    checkpoint.save(record, old["identity"] | changes, Place(**old["place"]), old["tensors"])
    checkpoint.beside(record, "checkpoint.before").unlink()


def test_the_code_that_counts_is_all_that_the_loops_import():
    todo, found = ["train", "fast", "rivals", "protocol"], set()
    while todo:
        found.add(name := todo.pop())
        tree = ast.parse((results.ROOT / "alasso" / f"{name}.py").read_text("utf-8"))
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
        names = [f"{node.module}.{alias.name}".split(".") for node in imports for alias in node.names]
        todo += {parts[1] for parts in names if parts[0] == "alasso"} - found
    assert found - {"errors", "datasets", "readers"} <= set(runner.NUMBERS), "the data has a digest of its own"


def test_a_run_that_goes_on_started_when_it_first_did(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_now", lambda: "first")
    stop_after(7, tmp_path)
    monkeypatch.setattr(runner, "_now", lambda: "second")
    record = start(tmp_path)
    assert (record.started, record.finished) == ("first", "second")


def test_a_run_goes_on_with_as_many_threads_as_it_had(tmp_path):
    usual = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        stop_after(7, tmp_path)
        torch.set_num_threads(1)
        assert start(tmp_path).threads == 2
        assert torch.get_num_threads() == 1, "the next run may have its own"
    finally:
        torch.set_num_threads(usual)


def test_what_was_killed_between_record_and_cleaning_up_is_cleaned_up_when_asked_for(tmp_path, monkeypatch):
    def killed_first():
        monkeypatch.setattr(checkpoint, "remove", lambda record: os.kill(os.getpid(), signal.SIGKILL))
        start(tmp_path)

    path = PATH(tmp_path, 0)
    assert forked(killed_first) == -signal.SIGKILL
    assert path.exists()
    assert checkpoint.beside(path, "checkpoint").exists()
    start(tmp_path)
    assert {p.name for p in path.parent.rglob("*") if p.is_file()} == {path.name, f"{path.stem}.lock"}
