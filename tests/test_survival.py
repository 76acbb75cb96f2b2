"""What a run survives: SIGKILL at any moment, signals, torn and foreign checkpoints, company, NaN."""

import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from archives import cut, flip
from small_runs import SETTINGS, forked, start, stop_after

from alasso import checkpoint, cli, fast, results
from alasso import run as runner
from alasso.errors import Diverged, Interrupted
from alasso.experiments import experiment
from alasso.presets import METHODS
from alasso.train import Learner, Place

pytestmark = pytest.mark.usefixtures("small_runs")

STEPS = 3 * 2 * 3  # tasks × epochs × batches of 96 images


@pytest.fixture
def kept(monkeypatch):
    """Leave the last checkpoint, with every tensor of the end, where it is."""
    monkeypatch.setattr(checkpoint, "remove", lambda record: None)


def path_of(folder: Path, method="alasso-published") -> Path:
    return experiment("pmnist-tiny", method, SETTINGS).path(folder, 0)


def end_of(folder: Path, method: str) -> tuple:
    """Everything that a run of this method has computed, as bytes that can be compared."""
    content = checkpoint.beside(path_of(folder, method), "checkpoint").read_bytes()[checkpoint.DIGEST :]
    (folder / "last").write_bytes(content)
    loaded = torch.load(folder / "last", weights_only=True)["tensors"]
    tensors = [loaded["theta"], *loaded["state"], *loaded["moments"]]
    record = json.loads(path_of(folder, method).read_text())
    return [t.numpy().tobytes() for t in tensors], loaded["steps"], record["accuracy"], record["loss"]


def killed_at(event: int, function) -> int:
    """As forked, but SIGKILL comes at the nth event: a step, or a file opened, renamed or removed."""

    def doomed():
        left = event

        def count(name, _arguments):
            nonlocal left
            if name in ("open", "os.rename", "os.remove", "alasso.step"):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        step = fast.FastLearner.step
        fast.FastLearner.step = lambda *arguments: (sys.audit("alasso.step"), step(*arguments))[1]
        sys.addaudithook(count)
        function()

    return forked(doomed)


@pytest.mark.parametrize("between", [0, 1e9], ids=["every step", "every task"])
@pytest.mark.parametrize("method", ["alasso-published", "dropout"])
def test_killed_at_twenty_random_moments_it_ends_with_the_same_bits(tmp_path, kept, monkeypatch, method, between):
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_CHECKPOINTS", between)
    start(tmp_path / "straight", method)
    dice, kills, folder = random.Random(0), 0, tmp_path / "killed"
    while kills < 20 or not path_of(folder, method).exists():
        end = killed_at(dice.randint(1, 40), lambda: start(folder, method))
        assert end in (0, -signal.SIGKILL)
        kills += end != 0
        if end == 0:
            assert end_of(folder, method) == end_of(tmp_path / "straight", method)
            assert list(path_of(folder, method).parent.glob("*.json")) == [path_of(folder, method)]
            if kills < 20:
                shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("number", "status", "way", "learner"),
    [
        (signal.SIGINT, 130, "", fast.FastLearner),
        (signal.SIGTERM, 143, "--reference", Learner),
        (signal.SIGTERM, 143, "--precision bfloat16", fast.FastLearner),
    ],
)
def test_a_signal_saves_says_how_to_go_on_and_sets_the_status(
    tmp_path, kept, monkeypatch, capfd, number, status, way, learner
):
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_CHECKPOINTS", 1e9)
    tmp_path = tmp_path / "with space"
    arguments = ["run", "pmnist-tiny", "alasso-published", *way.split(), "--results", str(tmp_path), "--set"]
    arguments += [f"{name}={value}" for name, value in SETTINGS.items()]

    step, calls = learner.step, []

    def signalled(*given):
        calls.append(given)
        if len(calls) == 8:
            os.kill(os.getpid(), number)
        return step(*given)

    monkeypatch.setattr(learner, "step", signalled)
    assert cli.main(arguments) == status
    said = capfd.readouterr().err.strip().splitlines()[-1]
    assert "stopped at task 2, epoch 1, step 2; to go on: alasso run pmnist-tiny alasso-published --seed 0 " in said
    assert way in said
    steps = []
    monkeypatch.setattr(learner, "step", _counting(step, steps))
    assert cli.main(shlex.split(said.partition("to go on: alasso ")[2])) == 0
    assert len(steps) == STEPS - 8


def test_a_signal_in_a_fit_is_heard_at_its_next_step(tmp_path, monkeypatch):
    step, calls = fast.FastLearner.step, []

    def signalled(*arguments):
        calls.append(None)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(*arguments)

    monkeypatch.setattr(fast.FastLearner, "step", signalled)
    with pytest.raises(Interrupted, match=r"stopped in the fit before task 1; to go on: alasso run .* vcl"):
        start(tmp_path, "vcl")
    assert len(calls) == 2


def _counting(step, calls):
    def counted(*arguments):
        calls.append(None)
        return step(*arguments)

    return counted


@pytest.mark.parametrize("way", [{"reference": True}, *({"precision": name} for name in fast.PRECISIONS)], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_interrupted_and_continued_is_straight_through(tmp_path, kept, monkeypatch, method, way):
    start(tmp_path / "straight", method, **way)
    learner = Learner if way.get("reference") else fast.FastLearner
    calls, step = [], learner.step
    fit = STEPS // 3 if METHODS[method].mean_field else 0  # of the means; stopped, it begins again

    def signalled(*arguments):
        calls.append(None)
        if len(calls) > fit and len(calls) % 5 == 0:
            signal.raise_signal(signal.SIGINT)
        return step(*arguments)

    monkeypatch.setattr(learner, "step", signalled)
    before = signal.getsignal(signal.SIGINT)
    while not path_of(tmp_path / "stopped", method).exists():
        with contextlib.suppress(Interrupted):
            start(tmp_path / "stopped", method, **way)
        assert signal.getsignal(signal.SIGINT) is before
    assert len(calls) == STEPS + fit, "nothing is trained twice"
    assert end_of(tmp_path / "stopped", method) == end_of(tmp_path / "straight", method)


def make_foreign(path):
    """A whole checkpoint, but of a run with other data."""
    record = path.parent.parent / f"{path.stem}.json"
    keep = path.with_suffix(".keep")
    shutil.copy(path, keep)
    checkpoint.save(record, {"run": "another"}, Place(task=1), {"theta": torch.zeros(3)})
    shutil.copy(keep, checkpoint.beside(record, "checkpoint.before"))


@pytest.mark.parametrize(("damage", "said"), [(cut, "torn"), (flip, "torn"), (make_foreign, "of another run")])
def test_a_bad_checkpoint_is_refused_by_name_and_the_one_before_is_used(tmp_path, kept, monkeypatch, damage, said):
    start(tmp_path / "straight")
    stop_after(7, tmp_path / "killed")
    damaged = checkpoint.beside(path_of(tmp_path / "killed"), "checkpoint")
    damage(damaged)
    steps = []
    monkeypatch.setattr(fast.FastLearner, "step", _counting(fast.FastLearner.step, steps))
    with pytest.warns(UserWarning, match=f"{damaged.name} is not used: it is {said}"):
        start(tmp_path / "killed")
    assert len(steps) == STEPS - (7 if damage is make_foreign else 6)
    assert end_of(tmp_path / "killed", "alasso-published") == end_of(tmp_path / "straight", "alasso-published")


def test_without_a_good_checkpoint_it_starts_anew(tmp_path, kept):
    start(tmp_path / "straight")
    stop_after(7, tmp_path / "killed")
    for suffix in ("checkpoint", "checkpoint.before"):
        cut(checkpoint.beside(path_of(tmp_path / "killed"), suffix))
    with pytest.warns(UserWarning, match="is not used"):
        start(tmp_path / "killed")
    assert end_of(tmp_path / "killed", "alasso-published") == end_of(tmp_path / "straight", "alasso-published")


def test_a_checkpoint_runs_no_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    record = tmp_path / "run.json"
    checkpoint.save(record, {}, Place(), {"theta": torch.zeros(3)})
    path = checkpoint.beside(record, "checkpoint")
    with results.whole(path) as file:  # as `save` writes, with a true checksum
        file.write(b"-" * checkpoint.DIGEST)
        digest = checkpoint._Digest(file)
        torch.save(Trap(), digest)
        file.seek(0)
        file.write(digest.sha256.hexdigest().encode())
    with pytest.warns(UserWarning, match="not used: it holds more than tensors"):
        assert checkpoint.load(record, {}) is None
    assert not (tmp_path / "sprung").exists()


def test_the_second_of_two_processes_waits_for_the_first_and_says_so(tmp_path, monkeypatch):
    owner = checkpoint.beside(path_of(tmp_path), "owner")
    pid = os.fork()
    if pid == 0:
        try:
            step = fast.FastLearner.step
            fast.FastLearner.step = lambda *arguments: (time.sleep(0.2), step(*arguments))[1]
            start(tmp_path)
        finally:  # or the child would go on with the tests
            os._exit(0)
    while not (owner.exists() and owner.read_text()):
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), "the first process has ended"
        time.sleep(0.01)
    monkeypatch.setattr(runner, "train_stream", None)  # whatever is trained is trained by the first
    with pytest.warns(UserWarning, match=f"is being run by process {pid} on .*; waiting for it"):
        record = start(tmp_path)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert record == results.load(path_of(tmp_path))


def test_a_holder_that_was_killed_holds_nothing(tmp_path):
    stop_after(2, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        start(tmp_path)


@pytest.mark.parametrize("method", ["none", "ewc", "imm-mode", "vcl", "dropout"])
def test_a_last_step_that_explodes_is_noticed_though_no_other_follows(tmp_path, method):
    once = SETTINGS | {"learning_rate": "1e30", "batch_size": "100000", "epochs": "1", "tasks": "1"}
    with pytest.raises(Diverged, match=r"diverged: loss .* at task 1, (the end of epoch 1|epoch 1, step 1) of"):
        start(tmp_path, method, settings=once)
    assert not list(tmp_path.rglob("*.json"))


def test_a_loss_that_explodes_ends_the_run_once_and_for_all(tmp_path, monkeypatch, capsys):
    hot = SETTINGS | {"learning_rate": "1e30"}
    with pytest.raises(Diverged, match=r"diverged: loss .* at task 1, epoch 1, step 2 of `alasso run .*a=1\.8"):
        start(tmp_path, settings=hot)
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*.checkpoint*"))
    monkeypatch.setattr(runner, "train_stream", None)
    with pytest.raises(Diverged, match=r"delete .*\.diverged to try again"):
        start(tmp_path, settings=hot)
    chosen = [f"{name}={value}" for name, value in hot.items()]
    assert cli.main(["run", "pmnist-tiny", "alasso-published", "--results", str(tmp_path), "--set", *chosen]) == 1
    assert "diverged" in capsys.readouterr().err
    (note,) = tmp_path.rglob("*.diverged")
    for torn in (b"", b"\xff\x00"):
        note.write_bytes(torn)
        with pytest.raises(Diverged, match=r"delete .*\.diverged to try again"):
            start(tmp_path, settings=hot)


def test_checkpoints_are_as_far_apart_as_asked(tmp_path, monkeypatch):
    now, saved, step, save = [0], [], fast.FastLearner.step, checkpoint.save

    def timed(*given):
        now[0] += 1
        return step(*given)

    monkeypatch.setattr(fast.FastLearner, "step", timed)
    monkeypatch.setattr(runner, "monotonic", lambda: now[0])
    monkeypatch.setattr(runner, "SECONDS_BETWEEN_CHECKPOINTS", 2)
    monkeypatch.setattr(checkpoint, "save", lambda *given: (saved.append(now[0]), save(*given)))
    start(tmp_path)
    assert saved == [3, 6, 6, 9, 12, 12, 15, 18, 18]  # six steps a task, and one at its end


def test_the_bar_of_a_run_that_goes_on_starts_where_it_was(tmp_path, kept, monkeypatch):
    stop_after(7, tmp_path)
    seen, bar = [], runner.tqdm
    monkeypatch.setattr(runner, "tqdm", lambda **given: seen.append((given["initial"], given["total"])) or bar(**given))
    start(tmp_path)
    assert seen == [(7, STEPS)]
