"""One run, from an experiment and a seed to a record: found, or trained and written, and surviving what happens."""

import hashlib
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from math import ceil, isfinite
from pathlib import Path
from time import monotonic

import torch
from tqdm import tqdm

from alasso import checkpoint, datasets, fast, results
from alasso.errors import BadInput, Diverged, Interrupted
from alasso.experiments import Experiment
from alasso.networks import MLP, MeanFieldMLP, table_c, table_d
from alasso.presets import METHODS
from alasso.protocol import Protocol
from alasso.results import Run
from alasso.tasks import held_out, permuted_stream, split_stream
from alasso.train import Learner, Place, train_stream

SECONDS_BETWEEN_CHECKPOINTS = 120
LARGEST_LOSS = 1e6  # a mean cross-entropy; chance is at log(classes)
NUMBERS = (
    "formulas", "surrogates", "rivals", "importance", "networks", "tasks", "protocol", "train", "gradients", "fast",
    "run",
)  # fmt: skip
"""The modules that decide the numbers of a run."""
# Taken now, when they are imported: the files may change while this process runs.
CODE = hashlib.sha256(b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in NUMBERS)).hexdigest()


def run(
    experiment: Experiment,
    seed: int,
    folder: Path,
    device: str | None = None,
    progress: bool = True,
    reference: bool = False,
    precision: str | None = None,
) -> Run:
    """The record of this experiment and seed: read from the folder if it is there, else trained and written to it.

    The fast path trains, on the processor and in the precision that suits it, unless `device`, `reference` or
    `precision` say otherwise. A run that was killed goes on from its last checkpoint, if the same code made it, with as
    many threads as before.

    Raises BadInput, before anything is trained, for a record or a checkpoint that is there of another device, loop or
    precision than these say, for reference and precision at once, for data that cannot be had or a folder that cannot
    be written; Interrupted after SIGINT or SIGTERM; Diverged if the loss explodes, and again without training whenever
    the run is asked for.
    """
    if reference and precision:
        raise BadInput(f"precision {precision} of the reference loop: it has float32; leave one of the two out")
    path = experiment.path(folder, seed)
    device = device and str(torch.ones(1, device=device).device)  # one name for a device that has several
    found = partial(_found, experiment, seed, folder, device, reference, precision)
    if path.exists():
        record = found()
        checkpoint.tidy(path)
        return record
    device = device or "cpu"
    started, protocol, provenance = _now(), experiment.protocol, results.provenance()  # of the code that is loaded
    dataset = _on(device, datasets.load(protocol.dataset))
    stream = build_stream(protocol, dataset, seed)
    command = experiment.command(seed) + " --reference" * reference + f" --precision {precision}" * bool(precision)
    network = build_network(protocol, dataset, METHODS[experiment.method].mean_field)
    precision = "float32" if reference else precision or fast.native_precision(device)
    loop = "reference" if reference else "fast" if fast.can_compile() else "fast, uncompiled"
    make = Learner if reference else partial(fast.FastLearner, precision=precision)
    identity = {"run": experiment.command(seed), "data": dataset.sha256, "loop": loop, "precision": precision}
    identity |= {"device": device, "torch": str(torch.__version__), "code": CODE[:12]}
    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        stack.enter_context(checkpoint.alone(path))
        if path.exists():  # another process has just finished it
            checkpoint.remove(path)
            return found()
        _refuse_diverged(path)
        if not reference:
            stack.enter_context(fast.quick_float32(device))
        saved = checkpoint.load(path, identity)
        if saved:
            started = saved[1]["started"]
            torch.set_num_threads(saved[1]["threads"])  # sums of other parts would round otherwise
        bar = stack.enter_context(_progress_bar(protocol, stream, progress, saved))
        again = command + f" --device {device}" * (device != "cpu")
        if folder.resolve() != results.folder().resolve():
            again += f" --results {shlex.quote(str(folder))}"
        watch = stack.enter_context(_watch(path, identity, started, again, experiment.surrogate, bar))
        done = train_stream(network, experiment.surrogate, stream, protocol, seed, device, watch, make, saved)
        record = Run(
            schema=results.SCHEMA,
            preset=experiment.preset,
            method=experiment.method,
            seed=seed,
            command=command,
            protocol=asdict(protocol),
            hyperparameters=asdict(experiment.surrogate),
            accuracy=[seen + [None] * (len(done) - len(seen)) for seen, _, _ in done],
            loss=[loss for _, loss, _ in done],
            seconds=[round(seconds, 3) for _, _, seconds in done],
            parameters=network.size,
            dataset_sha256=dataset.sha256,
            device=device,
            precision=precision,
            threads=torch.get_num_threads(),
            **provenance,
            started=started,
            finished=_now(),
            loop=loop,
        )
        results.save(record, path)
        checkpoint.remove(path)
        return results.load(path)


def build_stream(protocol: Protocol, dataset: datasets.Dataset, seed: int) -> list:
    """The tasks of a protocol, for training and for testing, in order."""
    if protocol.validation:
        dataset = held_out(dataset)
    if protocol.classes_per_task:
        return split_stream(dataset, protocol.tasks, protocol.classes_per_task, seed)
    return permuted_stream(dataset, protocol.tasks, seed, protocol.permute_first, protocol.joint)


def build_network(protocol: Protocol, dataset: datasets.Dataset, mean_field: bool = False):
    """The network of a protocol, one output for each class of each task."""
    outputs = protocol.tasks * protocol.classes_per_task or len(dataset.classes)
    sizes = (dataset.train_images[0].numel(), *protocol.hidden, outputs)
    match protocol.network:
        case "mlp":
            return MeanFieldMLP(sizes) if mean_field else MLP(sizes, protocol.dropout)
        case "table-c":
            return table_c(outputs)
        case "table-d":
            return table_d(outputs, protocol.image_side)


def _found(
    experiment: Experiment, seed: int, folder: Path, device: str | None, reference: bool, precision: str | None
) -> Run:
    """The record that is there. Raises BadInput if another device, loop or precision was asked for than made it."""
    record = experiment.load(folder, seed)
    made_so = record.loop == "reference"
    others = {
        f"--device {device}": device and device != record.device,
        "--reference": reference and not made_so,
        f"--precision {precision}": precision and (made_so or precision != record.precision),
    }
    for asked in (asked for asked, other in others.items() if other):
        raise BadInput(
            f"{experiment.path(folder, seed)}: made by the {record.loop} loop in {record.precision} on "
            f"{record.device}, not with {asked}; name another folder with --results, or delete it and run again"
        )
    return record


@contextmanager
def _watch(path: Path, identity: dict, started: str, again: str, surrogate, bar: Callable) -> Iterator[Callable]:
    """What happens after every step: progress, the loss looked at, checkpoints now and then, signals heard.

    `started` is when the run first did, `again` the command that goes on from here.
    """
    asked: list[int] = []
    saved, threads = monotonic(), torch.get_num_threads()

    def watch(place: Place, learner: Learner | None, loss: float) -> None:
        nonlocal saved
        if not (isfinite(loss) and loss < LARGEST_LOSS):
            raise Diverged(_mark_diverged(path, again, surrogate, place, loss))
        if learner is None:
            if asked and place.step:  # in a fit, of which there are no checkpoints
                raise Interrupted(f"stopped in the fit before task {place.task + 1}; to go on: {again}", asked[0])
            return
        between_tasks = place.epoch == place.step == 0
        if asked or between_tasks or monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
            checkpoint.save(path, identity, place, learner.tensors() | {"started": started, "threads": threads})
            saved = monotonic()
        if not between_tasks:
            bar(place, loss)
        if asked:
            raise Interrupted(f"stopped at {place}; to go on: {again}", asked[0])

    with signals(lambda number, _frame: asked.append(number), signal.SIGINT, signal.SIGTERM):
        yield watch


@contextmanager
def signals(handler: Callable | int, *numbers: int) -> Iterator[None]:
    """Within, the handler hears these signals; only a process's main thread can be asked to."""
    heard = numbers if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _mark_diverged(path: Path, command: str, surrogate, place: Place, loss: float) -> str:
    """Leave a note in the place of the record, so that the run is not tried again unasked; returns what it says."""
    message = f"diverged: loss {loss} at {place} of `{command}` with {surrogate}"
    with results.whole(path.with_suffix(".diverged")) as file:
        file.write(f"{message}\n{results.provenance()}\n".encode())
    checkpoint.remove(path)
    return message


def _refuse_diverged(path: Path) -> None:
    note = path.with_suffix(".diverged")
    if note.exists():
        checkpoint.remove(path)  # it may have been killed before it did
        message, *_ = [*note.read_text(encoding="utf-8", errors="replace").splitlines(), "diverged"]
        raise Diverged(f"{message}; delete {note} to try again")


@contextmanager
def _progress_bar(protocol: Protocol, stream, show: bool, saved: tuple[Place, dict] | None) -> Iterator[Callable]:
    steps = [ceil(task.epoch_size / protocol.batch_size) for task in stream]
    place = saved[0] if saved else Place()
    behind = sum(steps[: place.task]) * protocol.epochs + place.step
    behind += place.epoch * steps[place.task] if place.task < len(steps) else 0
    with tqdm(total=sum(steps) * protocol.epochs, initial=behind, unit="step", disable=not show) as bar:

        def tick(place: Place, loss: float) -> None:
            text = f"task {place.task + 1}/{protocol.tasks} epoch {place.epoch + 1}/{protocol.epochs}"
            bar.set_description(text, refresh=False)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()

        yield tick


def _on(device: str, dataset: datasets.Dataset) -> datasets.Dataset:
    return replace(dataset, **{part: getattr(dataset, part).to(device) for part in datasets.PARTS})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
