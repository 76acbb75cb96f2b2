"""From experiments to their runs: load what is there, compute what is missing, here or on a Dask cluster."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch
from tqdm import tqdm

from alasso import datasets, fast, results, run
from alasso.errors import BadInput, Interrupted, notices
from alasso.experiments import Experiment
from alasso.plan import Job, missing
from alasso.results import Run

ATTEMPTS = 3  # for a run whose process is killed; Dask's own number is one more


def runs(experiments: Iterable[Experiment], seeds: Iterable[int], folder: Path) -> list[list[Run]]:
    """For every experiment its records, seed by seed; missing ones are computed first.

    A run that fails does not stop the others; then the first failure is raised. Raises what `compute` does, too.
    """
    experiments, seeds = list(experiments), list(seeds)
    wanted = [Job(experiment, seed) for experiment in experiments for seed in seeds]
    todo = missing(dict.fromkeys(wanted), folder)
    if todo:
        with Processes(min(cores(), len(todo))) as engine:
            ended = tqdm(compute(todo, folder, engine), total=len(todo), desc=f"training, {engine.slots()} at a time")
            failures = [error for _, error in ended if error]
        if failures:
            raise failures[0]
    return [[experiment.load(folder, seed) for seed in seeds] for experiment in experiments]


def compute(todo: Sequence[Job], folder: Path, engine: "Processes | Cluster") -> Iterator[tuple[Job, Exception | None]]:
    """Train these runs, in this order, and keep their records; yields each run as it ends, with its error if it failed.

    The traceback of a failed run is beside the place of its record, in a file `….log`.
    Raises BadInput, before anything is trained, for a folder that cannot be written, data that cannot be had here, or
    a surrogate that other processes cannot import; and KeyboardInterrupt if a signal has stopped a run.
    """
    results.check_writable(folder)
    engine.prepare(todo)
    waiting, killed, under_way = deque(todo), Counter(), {}
    while waiting or under_way:
        while waiting and engine.free():
            job = waiting.popleft()
            under_way[engine.submit(_train, *job, folder, run.CODE)] = job
        for future in wait(under_way, return_when=FIRST_COMPLETED).done:
            job = under_way.pop(future)
            engine.ended(future)
            error = _keep(future, job.path(folder))
            if isinstance(error, BrokenProcessPool):
                killed[job] += 1
                if killed[job] < ATTEMPTS:
                    waiting.appendleft(job)
                    continue
                error = RuntimeError(f"its process was killed {ATTEMPTS} times; is there memory enough?")
            elif isinstance(error, Interrupted):
                raise KeyboardInterrupt from error
            _write_log(job, folder, error)
            yield job, error


def _keep(future: Future, path: Path) -> Exception | None:
    """Save the record that a run sent, unless it is there already; returns why there is none."""
    try:
        record = future.result()
        if not path.exists():
            results.save(record, path)
    except CancelledError:  # by nobody here
        return RuntimeError("the scheduler is gone; the same command goes on")
    except Exception as error:
        return error
    return None


def log_path(job: Job, folder: Path) -> Path:
    """Where the traceback of this run is, if it failed."""
    return job.path(folder).with_suffix(".log")


def _write_log(job: Job, folder: Path, error: Exception | None) -> None:
    log = log_path(job, folder)
    with contextlib.suppress(OSError):  # such as a full disk, which `error` then says
        log.unlink(missing_ok=True)
        if error:
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("".join([f"{job.command}\n\n", *traceback.format_exception(error)]), encoding="utf-8")


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes:
    """Processes on this machine, one run and one thread each: runs are independent, threads wait for each other.

    Each is a pool of one, so that a process that is killed takes no other run with it.
    Raises BadInput, here or in `submit`, if that is more than the system lets one process have.
    """

    def __init__(self, count: int):
        with _within_limits(count):
            self._idle = [_pool() for _ in range(count)]
        self._busy: dict[Future, ProcessPoolExecutor] = {}
        self._count = count
        self._others = multiprocessing.active_children()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, kind, *_) -> None:
        # A run that is interrupted saves what it has, and is given a moment for that.
        if wait(self._busy, timeout=0 if kind is None else 10).not_done:
            for child in multiprocessing.active_children():
                if child not in self._others:
                    child.terminate()
        for pool in [*self._idle, *self._busy.values()]:
            pool.shutdown(cancel_futures=True)

    def prepare(self, todo: Sequence[Job]) -> None:
        """Load the data once: one clear error and one download, rather than one for each process."""
        for kind in {type(job.experiment.surrogate) for job in todo}:
            if kind.__module__ == "__main__":
                raise BadInput(f"{kind.__name__} is defined in this notebook or script: processes need it in a module")
        for name in {job.experiment.protocol.dataset for job in todo}:
            datasets.load(name)

    def slots(self) -> int:
        """How many runs there can be at a time."""
        return self._count

    def free(self) -> bool:
        """Whether one more can be submitted."""
        return bool(self._idle)

    def submit(self, function, *arguments) -> Future:
        # A process inherits that it ignores Ctrl-C, which is its parent's to hear, until its run listens itself.
        with _within_limits(self._count), run.signals(signal.SIG_IGN, signal.SIGINT):
            try:
                future = self._idle[-1].submit(function, *arguments)
            except BrokenProcessPool:  # it was killed while it had nothing to do
                self._idle[-1] = _pool()
                future = self._idle[-1].submit(function, *arguments)
        self._busy[future] = self._idle.pop()
        return future

    def ended(self, future: Future) -> None:
        """Free its process for the next run; a new one if it was killed."""
        pool = self._busy.pop(future)
        if isinstance(future.exception(), BrokenProcessPool):
            pool.shutdown(wait=False)
            pool = _pool()
        self._idle.append(pool)


class Cluster:
    """The workers of a Dask scheduler that is already there. Dask starts the runs of a killed worker on another one.

    Nothing is assumed to be shared but the code: workers find the data as every run does, and records travel back.
    Raises BadInput if no scheduler answers.
    """

    def __init__(self, address: str):
        try:
            from distributed import Client
        except ImportError:
            raise BadInput("--dask needs the package distributed: pip install 'alasso[dask]'") from None
        if "://" not in address:
            raise BadInput(f"--dask {address}: must be an address such as tcp://host:8786")
        for name in ("distributed", "distributed.client"):  # they log what is raised here
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            self._client = Client(address, timeout=10)
        except (OSError, ValueError, TypeError) as error:
            raise BadInput(f"--dask {address}: no scheduler answers there ({error})") from None
        self._executor = self._client.get_executor(pure=False)

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_) -> None:
        self._executor.shutdown(wait=False)
        self._client.close()

    def prepare(self, todo: Sequence[Job]) -> None:
        """Nothing: the data is needed where the workers are."""

    def slots(self) -> int:
        """As `Processes.slots`; 0 if the scheduler is gone, too."""
        try:
            return sum(self._client.nthreads().values())
        except OSError:
            return 0

    def free(self) -> bool:
        """Always: the scheduler holds what waits, and workers may come and go."""
        return True

    def submit(self, function, experiment: Experiment, seed: int, folder: Path, code: str) -> Future:
        return self._executor.submit(function, experiment, seed, None, code)

    def ended(self, future: Future) -> None:
        """Nothing to give back."""


def _train(experiment: Experiment, seed: int, folder: Path | None, code: str) -> Run:
    """One run in a process of its own.

    Without a folder it is on another machine: its record stays under the home there, for who asks again after a lost
    connection. It leaves no note behind, and raises BadInput if its process has threads for other runs; here and there
    if its `run.CODE` is another.
    """
    torch.set_num_threads(1)
    if folder is not None:
        if code != run.CODE:  # its process was started anew
            raise BadInput(
                "the code of alasso has changed since this batch began: give the command again, from a "
                "notebook after a restart of its kernel"
            )
        with notices():
            return run.run(experiment, seed, folder, progress=False)
    from distributed import get_worker

    if get_worker().state.nthreads > 1:  # they would share the precision of float32 products, which a run sets
        raise BadInput("this worker has several threads, and a run needs a process to itself: give it --nthreads 1")
    if code != run.CODE:
        commit = results.provenance()["commit"]
        raise BadInput(f"this worker has other code of alasso, of commit {commit}; give it what the others have")
    # A home is shared by the machines of most clusters: then a run that was killed on one goes on from its checkpoint
    # on another of the same precision. Where it is not, the run begins again.
    folder = Path("~/.cache/alasso/runs").expanduser() / code[:12] / fast.native_precision("cpu")
    try:
        return run.run(experiment, seed, folder, progress=False)
    finally:
        experiment.path(folder, seed).with_suffix(".diverged").unlink(missing_ok=True)


@contextlib.contextmanager
def _within_limits(count: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # each process takes some open files of this one
        raise BadInput(f"{count} runs at a time: {error.strerror}; take fewer --workers") from None


def _pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _start)  # threads do not survive a fork


def _start() -> None:
    """A process leaves with its parent, however that went."""
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
