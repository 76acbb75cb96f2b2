"""Runs on the processes of a machine and on a cluster: none lost, none doubled, whoever is killed."""

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from distributed import LocalCluster
from small_runs import SETTINGS

from alasso import fast, results, workers
from alasso import run as runner
from alasso.errors import BadInput, Interrupted
from alasso.experiments import experiment
from alasso.plan import Job
from alasso.surrogates import NoSurrogate

LONG = {"epochs": "30"}  # long enough to be killed in


def wanted(*methods, **settings) -> list[Job]:
    return [Job(experiment("pmnist-tiny", m, settings), seed) for m in methods for seed in (0, 1)]


def killer(started: Path, pids) -> threading.Thread:
    """Kills the first of the processes, a moment after a run has begun to train."""

    def kill():
        for _ in range(6000):
            if started.exists():
                break
            time.sleep(0.02)
        time.sleep(0.3)
        thread.killed = pids()[0]
        os.kill(thread.killed, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def check_all(todo, outcomes, folder, tmp_path):
    """Every run ended once, well, and as it does on its own."""
    assert Counter(job for job, _ in outcomes) == Counter(todo)
    assert [error for _, error in outcomes if error] == []
    assert sorted(folder.rglob("*.json")) == sorted(job.path(folder) for job in todo)
    ((alone,),) = workers.runs([todo[-1].experiment], [todo[-1].seed], tmp_path / "alone")
    assert alone.matrix.tolist()[-1] == results.load(todo[-1].path(folder)).matrix.tolist()[-1]


def test_a_process_that_started_after_the_code_changed_trains_nothing(tmp_path):
    with pytest.raises(BadInput, match="the code of alasso has changed since this batch began"):
        workers._train(experiment("pmnist-tiny", "none"), 0, tmp_path, "f" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_loses_no_run(tmp_path):
    folder, todo = tmp_path / "results", wanted("none", "si", **LONG)
    with workers.Processes(2) as engine:
        thread = killer(folder / "pmnist-tiny", lambda: [child.pid for child in multiprocessing.active_children()])
        outcomes = list(workers.compute(todo, folder, engine))
        thread.join()
        assert not psutil.pid_exists(thread.killed)
    check_all(todo, outcomes, folder, tmp_path)


def test_a_process_killed_while_it_has_nothing_to_do_is_replaced(tmp_path):
    with workers.Processes(1) as engine:
        first, second = wanted("none")
        assert [error for _, error in workers.compute([first], tmp_path, engine)] == [None]
        (idle,) = multiprocessing.active_children()
        idle.kill()
        idle.join()
        assert [error for _, error in workers.compute([second], tmp_path, engine)] == [None]


def stopped(chosen, seed, folder, code):
    raise Interrupted("saved; to go on: the command", signal.SIGTERM)


def test_a_run_that_a_signal_has_stopped_stops_the_batch_and_has_not_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_train", stopped)
    with pytest.raises(KeyboardInterrupt), workers.Processes(1) as engine:
        list(workers.compute(wanted("si"), tmp_path, engine))
    assert list(tmp_path.rglob("*.log")) == []


def test_a_run_whose_process_always_dies_is_given_up_and_the_others_end(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_train", deadly)
    todo = wanted("none", "si")
    with workers.Processes(2) as engine:
        outcomes = dict(workers.compute(todo, tmp_path, engine))
    assert outcomes.keys() == {*todo}
    assert {job.seed: str(error) for job, error in outcomes.items() if error} == {
        1: "its process was killed 3 times; is there memory enough?"
    }
    assert sum(error is None for error in outcomes.values()) == 2
    assert "killed 3 times" in workers.log_path(todo[1], tmp_path).read_text()


def deadly(chosen, seed, folder, code):
    if seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return runner.run(chosen, seed, folder, progress=False)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A scheduler and two worker processes on the loopback, whose home is empty."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", protocol="tcp://", dashboard_address=None
    ) as running:
        yield running


def test_dask_runs_all_once_though_a_worker_is_killed(cluster, tmp_path):
    folder, todo = tmp_path / "results", wanted("none", "si", **LONG)
    scratch = tmp_path / "home" / ".cache" / "alasso" / "runs"
    with workers.Cluster(cluster.scheduler_address) as engine:
        assert engine.slots() == 2
        started = scratch / runner.CODE[:12] / fast.native_precision("cpu") / "pmnist-tiny"
        thread = killer(started, lambda: [worker.pid for worker in cluster.workers.values()])
        outcomes = list(workers.compute(todo, folder, engine))
        thread.join()
        assert not psutil.pid_exists(thread.killed)
    check_all(todo, outcomes, folder, tmp_path)
    again = tmp_path / "again"
    before = {path: path.stat().st_mtime_ns for path in scratch.rglob("*.json")}
    with workers.Cluster(cluster.scheduler_address) as engine:
        assert [error for _, error in workers.compute(todo, again, engine)] == [None] * len(todo)
    assert before == {path: path.stat().st_mtime_ns for path in scratch.rglob("*.json")}, "trained twice"
    for job in todo:
        assert job.path(again).read_bytes() == job.path(folder).read_bytes()


def test_dask_reports_a_failure_and_refuses_other_code(cluster, tmp_path, monkeypatch):
    wild = Job(experiment("pmnist-tiny", "si", {"learning_rate": "1e30"}), 0)
    tame = Job(experiment("pmnist-tiny", "none"), 0)
    with workers.Cluster(cluster.scheduler_address) as engine:
        errors = dict(workers.compute([wild, tame], tmp_path, engine))
        assert "diverged: loss" in str(errors[wild])
        assert not list(tmp_path.rglob("*.diverged")), "which would refuse the run on this worker for ever"
        assert errors[tame] is None
        monkeypatch.setattr(runner, "CODE", "f" * 64)
        ((_, refused),) = workers.compute([tame], tmp_path / "again", engine)
    assert "this worker has other code of alasso, of commit" in str(refused)


def test_a_batch_whose_scheduler_is_gone_says_so(cluster, tmp_path):
    with workers.Cluster(cluster.scheduler_address) as engine:
        cluster.close()
        assert engine.slots() == 0
    lost = Future()
    lost.cancel()
    assert str(workers._keep(lost, tmp_path / "none.json")) == "the scheduler is gone; the same command goes on"


def test_a_surrogate_that_processes_cannot_import_is_refused(tmp_path):
    class Mine(NoSurrogate):
        __module__ = "__main__"

    with pytest.raises(BadInput, match="Mine is defined in this notebook or script: processes need it in a module"):
        workers.runs([replace(experiment("pmnist-tiny", "none"), surrogate=Mine())], [0], tmp_path)


def test_a_worker_of_another_precision_begins_a_run_anew(small_runs, tmp_path, monkeypatch):
    """Where machines share a home, the checkpoint of a killed one is there, of products that this one does not make."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("distributed.get_worker", lambda: SimpleNamespace(state=SimpleNamespace(nthreads=1)))
    step, steps = fast.FastLearner.step, []

    def killed(*arguments):
        steps.append(None)
        if len(steps) > 10:
            raise MemoryError
        return step(*arguments)

    def train(precision):
        monkeypatch.setattr(fast, "native_precision", lambda device: precision)
        return workers._train(experiment("pmnist-tiny", "si", SETTINGS), 0, None, runner.CODE)

    with monkeypatch.context() as first:
        first.setattr(fast.FastLearner, "step", killed)
        with pytest.raises(MemoryError):
            train("bfloat16")
    assert len(list(tmp_path.rglob("*.checkpoint"))) == 1
    assert train("float32").precision == "float32"


def test_a_run_of_a_batch_has_one_thread(tmp_path):
    usual = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        made = workers._train(experiment("pmnist-tiny", "si", SETTINGS), 0, tmp_path, runner.CODE)
    finally:
        torch.set_num_threads(usual)
    assert made.threads == 1


def test_where_nothing_can_be_written_nothing_is_trained(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="cannot write results here"):
        list(workers.compute(wanted("si"), tmp_path / "file" / "results", None))


def test_what_is_typed_to_stop_a_batch_does_not_reach_its_processes():
    with workers.Processes(1) as engine:
        assert engine.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
