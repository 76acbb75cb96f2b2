"""`alasso reproduce`: the missing runs of figures and tables, with a live table, and then their pages of the book."""

import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from alasso import pages, plan, results, workers
from alasso.errors import BadInput, Interrupted
from alasso.plan import Estimate, Job
from alasso.targets import TARGETS

NOTEBOOK = "notebooks/target.ipynb"


def run(
    targets: Sequence[str], scale: str, seeds: int, folder: Path, processes: int | None, dask: str | None, dry_run: bool
) -> int:
    """Compute what these targets miss, then write their pages to `folder/executed`.

    Returns the exit status: 0, or 1 if a run or a page failed.
    Raises BadInput, before anything is computed, for a target, scale, record or scheduler that cannot be used, and if
    pages cannot be made here.
    """
    names = plan.chosen(targets, scale)
    wanted = plan.jobs(names, scale, range(seeds))
    todo = plan.missing(wanted, folder)
    for job in set(wanted) - set(todo):
        job.experiment.load(folder, job.seed)
    of = f"{', '.join(targets)} at scale {scale}, {seeds} seed{'s' * (seeds > 1)}"
    print(f"{of}: {len(wanted)} runs, {len(wanted) - len(todo)} of them there, {len(todo)} to do")
    if not dry_run:
        pages.check(results.project() / NOTEBOOK)
    failed = {}
    if todo:
        at_once = min(processes or workers.cores(), len(todo))
        with workers.Processes(at_once) if dask is None else workers.Cluster(dask) as engine:
            costs = plan.Costs(results.folder(), folder)
            each = {experiment: costs.of(experiment) for experiment in {job.experiment for job in todo}}
            estimates = {job: each[job.experiment] for job in todo}
            print(_forecast(estimates, engine.slots()))
            if dry_run:
                _print_each(estimates)
            else:
                failed = _compute(estimates, folder, engine)
    if dry_run:
        return 0
    for job, error in failed.items():
        print(f"failed: {job.command}: {_line(error)}; its log is {workers.log_path(job, folder)}", file=sys.stderr)
    shown = [name for name in names if not TARGETS[name].search]  # what a search found is on its benchmark's page
    unmade = [name for name in shown if not _page(name, scale, seeds, folder, failed)]
    return 1 if failed or unmade else 0


def _page(name: str, scale: str, seeds: int, folder: Path, failed: dict[Job, Exception]) -> bool:
    """Execute the page of one target, unless one of its runs failed; returns whether all is well."""
    jobs = plan.jobs([name], scale, range(seeds))
    if lost := sum(job in failed for job in jobs):
        print(f"{name}: {lost} of its {len(jobs)} runs failed; its page is left as it was", file=sys.stderr)
        return False
    notebook, page = results.project() / NOTEBOOK, folder / "executed" / f"{name}-{scale}.ipynb"
    usual = folder.resolve() == results.folder().resolve()
    shown = "results" if usual else str(folder.resolve())
    parameters = {"target": name, "scale": scale, "seeds": seeds, "results": shown}
    title = f"{' '.join(word.upper() if len(word) == 1 else word for word in name.capitalize().split('-'))}, {scale}"
    try:
        if pages.execute(notebook, page, parameters, [job.path(folder) for job in jobs], title):
            print(f"{name}: {page}")
    except BadInput:
        raise
    except Exception as error:
        print(f"{name}: {_line(error)}; see {page.with_suffix('.partial.ipynb')}", file=sys.stderr)
        return False
    return True


def _compute(estimates: dict[Job, Estimate | None], folder: Path, engine) -> dict[Job, Exception]:
    """Run all; returns those that failed, with their errors. What has ended stays, however this ends."""
    progress = Progress(estimates, engine.slots)
    try:
        with progress.shown():
            for job, error in workers.compute(list(estimates), folder, engine):
                progress.end(job, error, folder)
    except KeyboardInterrupt:
        said = f"stopped: {progress.done} of {len(estimates)} runs are done; the same command goes on"
        raise Interrupted(said, signal.SIGINT) from None
    return progress.failed


class Progress:
    """A live table on a terminal, a line for each run that ends elsewhere."""

    def __init__(self, estimates: dict[Job, Estimate | None], slots):
        self.estimates, self.slots = estimates, slots
        self.waiting = list(estimates)
        self.failed: dict[Job, Exception] = {}
        self.started, self.expected, self.took = time.monotonic(), 0.0, 0.0
        self.live = sys.stdout.isatty()

    @property
    def done(self) -> int:
        return len(self.estimates) - len(self.waiting) - len(self.failed)

    def end(self, job: Job, error: Exception | None, folder: Path) -> None:
        """Take note of a run that has ended."""
        self.waiting.remove(job)
        if error:
            self.failed[job] = error
        elif self.estimates[job]:
            run = results.load(job.path(folder))
            self.expected += self.estimates[job].core_seconds
            self.took += run.core_seconds
        if not self.live:
            ended = len(self.estimates) - len(self.waiting)
            what = f"failed, {_line(error)}" if error else "done"
            print(f"[{ended}/{len(self.estimates)}] {job.command}: {what}; {self.left()}", flush=True)

    def left(self) -> str:
        """Time to the end: the plan's, corrected by how long the runs that have ended took."""
        known = [estimate.core_seconds for estimate in self.estimates.values() if estimate]
        slots = self.slots()
        if not slots or len(known) < len(self.estimates):
            return "time left unknown"
        pace = self.took / self.expected if self.expected else 1.0
        seconds = plan.wall_seconds(known, slots) * pace - (time.monotonic() - self.started)
        return f"about {plan.duration(max(seconds, 0))} left" if self.waiting else "all ended"

    def table(self):
        """One row a preset."""
        from rich.table import Table

        running = self.waiting[: self.slots()]
        counts = {
            "done": Counter(job.experiment.preset for job in self.estimates),
            "running": Counter(job.experiment.preset for job in running),
            "failed": Counter(job.experiment.preset for job in self.failed),
            "waiting": Counter(job.experiment.preset for job in self.waiting[len(running) :]),
        }
        for other in ("running", "failed", "waiting"):
            counts["done"].subtract(counts[other])
        table = Table("runs", *counts, caption=self.left(), caption_justify="left")
        for preset in dict.fromkeys(job.experiment.preset for job in self.estimates):
            table.add_row(preset, *(str(count[preset]) for count in counts.values()))
        return table

    @contextmanager
    def shown(self):
        """The table, redrawn every second, if someone can see it."""
        from rich.live import Live

        if self.live:
            with Live(get_renderable=self.table, refresh_per_second=1):
                yield
        else:
            yield


def _forecast(estimates: dict[Job, Estimate | None], slots: int) -> str:
    """How long all of it takes, and what that rests on."""
    known = [estimate for estimate in estimates.values() if estimate]
    if not known:
        return "how long they take is not known: no run like them has been measured"
    seconds = [estimate.core_seconds for estimate in known]
    line = f"{plan.duration(sum(seconds))} on one core"
    if slots:
        line += f", about {plan.duration(plan.wall_seconds(seconds, slots))} on {slots}"
    if len(known) < len(estimates):
        line += f", and {len(estimates) - len(known)} more, like which none has been measured"
    bases = dict.fromkeys(estimate.basis.split(":")[0] for estimate in known)
    return f"{line}; from {', '.join(bases)}"


def _print_each(estimates: dict[Job, Estimate | None]) -> None:
    for job, estimate in estimates.items():
        cost = f"{plan.duration(estimate.core_seconds)} ({estimate.basis})" if estimate else "not known"
        print(f"  {job.command}: {cost}")


def _line(error: Exception) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
