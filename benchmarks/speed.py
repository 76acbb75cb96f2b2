"""What a step costs: against plain eager PyTorch, and against the machine's own limits, side by side in one run.

    python benchmarks/speed.py [--steps 200] [--out benchmarks/results]

Cases take turns, a block of steps each, so that a machine whose speed drifts slows all of them; medians are compared.
Each case is made several times, because copies of one code differ by some per cent with where their vectors happen to
lie in memory; a smaller difference between two cases says nothing. Run it on a quiet machine. The book's page *Speed*
is drawn from the file it writes.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from unittest import mock

import torch
from peers import EagerALASSO, Plain
from steps import (
    BATCH,
    BLOCK,
    COPIES,
    RandomImages,
    Step,
    as_it_comes,
    bandwidth,
    products,
    second_task,
    stepper,
    timed,
)

from alasso import datasets, fast, gradients, results
from alasso.fast import FastLearner
from alasso.networks import MLP, MeanFieldMLP, accuracy, table_c, table_d
from alasso.presets import METHODS, PRESETS
from alasso.protocol import Protocol
from alasso.surrogates import ALASSO, NoSurrogate
from alasso.tasks import batches, generator, permuted_stream
from alasso.train import Learner

THREADS = 2
TABLE_B = MLP((784, 2000, 2000, 10))


def undone(make, task, precision: str) -> dict[str, Callable[[], Step]]:
    """A fast step of ALASSO without one of the things that make it fast, for each of them."""

    def learner():
        return second_task(make, TABLE_B, ALASSO.published(), task)

    def patched(module, name: str, value) -> Step:
        step = stepper(learner(), task)

        def call() -> None:
            with mock.patch.object(module, name, value):
                step()

        return call

    def by_autograd() -> Step:
        mine, dtype = learner(), fast.PRECISIONS[precision]
        mine.low, mine.gradient = None, gradients.AutogradGradient(TABLE_B, mine.theta, BATCH, dtype)
        mine.gradient.network.logits = torch.compile(mine.gradient.network.logits)
        return stepper(mine, task)

    def four_bytes() -> Step:
        mine = learner()
        mine.state = mine.state._replace(side=mine.state.side.float())
        return stepper(mine, task)

    def two_calls(x, weight, bias):
        return torch.addmm(bias, x, weight.T).relu_()

    return {
        "one compiled walk": lambda: patched(fast, "_compiled_update", lambda: fast.update),
        "backward pass by hand": by_autograd,
        "observed side in one byte": four_bytes,
        "bias and rectifier in the product's call": lambda: patched(gradients, "_linear_relu", two_calls),
        "batches gathered by rows": lambda: stepper(learner(), task, gather=lambda images, index: images[index]),
    }


def whole_task(learner, task, step_seconds: float, protocol: Protocol) -> dict[str, float]:
    """Seconds of each part of one task, with as many tasks to evaluate as there are on average over the stream."""
    parts = {}

    def clock(name: str, call: Callable) -> object:
        began = perf_counter()
        value = call()
        parts[name] = perf_counter() - began
        return value

    _, labels = clock("permute training images", task.train)
    clock("shuffle, 20 epochs", lambda: [list(batches(len(labels), BATCH, 0, 0, e)) for e in range(protocol.epochs)])
    parts["training steps"] = protocol.epochs * -(-len(labels) // BATCH) * step_seconds
    clock("consolidate", lambda: learner.consolidate(task, generator(0, "consolidate")))
    clock("evaluate one task", lambda: accuracy(TABLE_B, learner.theta, *task.test()))
    parts["evaluate tasks so far, on average"] = parts.pop("evaluate one task") * (protocol.tasks + 1) / 2
    return parts


def peak_memory(code: str) -> int:
    """Largest resident set, bytes, of a process that runs this code."""
    code = f"{code}\nprint(open('/proc/self/status').read())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    # VmHWM is this process's own; getrusage would count what it was forked from
    return next(1024 * int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("VmHWM"))


def two_tasks() -> int:
    """Peak memory of a run of the paper's size, cut to two tasks of one epoch."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["run", "pmnist30", "alasso-published", "--set", "tasks=2", "epochs=1", "--results", folder]
        return peak_memory(f"from alasso.cli import main; assert main({arguments}) == 0")


def measure(steps: int) -> dict:
    """Everything, as one JSON-ready dictionary. Seconds unless a name says otherwise."""
    torch.set_num_threads(THREADS)
    mnist = datasets.load("mnist")
    task = permuted_stream(mnist, 2, 0, permute_first=False)[1]
    precision = fast.native_precision("cpu")
    with fast.quick_float32("cpu") as route:
        quick, published = partial(FastLearner, precision=precision), ALASSO.published()

        def fast_step(surrogate, network=TABLE_B, make=quick, tasks: int = 1) -> Callable[[], Step]:
            def copy() -> Step:
                learner = second_task(make, network, surrogate, task)
                for _ in range(tasks - 1):
                    learner.consolidate(task, None)
                return stepper(learner, task)

            return copy

        cases: dict[str, Callable[[], Step]] = {
            "plain, eager": lambda: as_it_comes(stepper(Plain(TABLE_B), task)),
            "plain, eager, quicker products": lambda: stepper(Plain(TABLE_B), task),
            "ALASSO, eager": lambda: as_it_comes(stepper(EagerALASSO(TABLE_B, published), task)),
            "ALASSO, reference": lambda: as_it_comes(fast_step(published, make=Learner)()),
            "plain, fast": fast_step(NoSurrogate()),
            "ALASSO, fast": fast_step(published),
            "ALASSO, fast, float32": fast_step(published, make=FastLearner),
        }
        for name in ("si", "ewc", "mas"):
            cases[f"{METHODS[name].label}, fast"] = fast_step(METHODS[name].surrogate)
        cases["VCL, fast"] = fast_step(METHODS["vcl"].surrogate, MeanFieldMLP(TABLE_B.sizes))
        cases["ALASSO, fast, task 100"] = fast_step(published, tasks=99)
        cases["products alone"] = partial(products, TABLE_B, fast.PRECISIONS[precision])
        cases["products alone, float32"] = partial(products, TABLE_B, torch.float32)
        without = undone(quick, task, precision)
        cases |= {f"without {what}": make for what, make in without.items()}
        seconds, copies = timed(cases, steps)
        without = {what: seconds.pop(f"without {what}") for what in without}
        best, rates = bandwidth(TABLE_B.size)
        learner = second_task(quick, TABLE_B, published, task)
        parts = whole_task(learner, task, seconds["ALASSO, fast"], PRESETS["pmnist30"].protocol)
        networks = convolutions(steps, precision)
    # read: θ, g, two moments, anchor, importance, path integral, and the side in one byte; written: θ, two moments,
    # path integral
    wide = TABLE_B.size * (4 * 11 + 1)
    floor = seconds["products alone"] + wide / best  # in bfloat16 g is half as long, and the weights' copy adds as much
    floor_float32 = seconds["products alone, float32"] + wide / best
    vectors, data = 12 * 4 * TABLE_B.size, sum(t.nbytes for t in (mnist.train_images, mnist.test_images))
    peak = two_tasks()
    library = peak_memory("import torch; torch.compile(lambda x: x + 1)(torch.rand(1000))")
    plain, ours = seconds["plain, eager"], seconds["ALASSO, fast"]
    plain_quicker = seconds["plain, eager, quicker products"]
    ratios = {
        "ALASSO fast / plain eager": (ours / plain, 0.30),
        "ALASSO fast in float32 / plain eager": (seconds["ALASSO, fast, float32"] / plain, 0.46),
        "plain eager with the quicker products / plain eager": (plain_quicker / plain, None),
        "ALASSO fast / floor": (ours / floor, 1.20),
        "ALASSO fast in float32 / its floor": (seconds["ALASSO, fast, float32"] / floor_float32, None),
        "ALASSO fast / plain fast": (ours / seconds["plain, fast"], 1.15),
        "ALASSO fast / ALASSO eager": (ours / seconds["ALASSO, eager"], 0.07),
        "ALASSO at task 100 / at task 2": (seconds["ALASSO, fast, task 100"] / ours, 1.03),
        "whole run / its training steps": (sum(parts.values()) / parts["training steps"], 1.10),
        "peak memory / (12 vectors + data + 600 MB)": (peak / (vectors + data + 600e6), 1.0),
        "peak memory / (12 vectors + data + PyTorch's own)": (peak / (vectors + data + library), None),
        **{f"{name} / plain fast": (seconds[f"{name}, fast"] / seconds["plain, fast"], None)
           for name in ("SI", "EWC", "MAS", "VCL")},
        **{f"{name}: ALASSO fast / plain eager": (pair["ALASSO, fast"] / pair["plain, eager"], 0.6)
           for name, pair in networks.items()},
    }  # fmt: skip
    return {
        "command": "python benchmarks/speed.py" + f" --steps {steps}" * (steps != 200),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": torch.cpu.get_capabilities()["cpu_name"], "cores": os.cpu_count(),
                    "instructions": torch.backends.cpu.get_cpu_capability(), "system": platform.platform()},
        "threads": THREADS, "steps": steps, "precision": precision, "float32 route": route,
        **results.provenance(),
        "ratios": {name: {"is": value, "reach": reach} for name, (value, reach) in ratios.items()},
        "parameters": TABLE_B.size, "seconds": seconds, "copies": copies, "without": without,
        "networks": networks, "task": parts, "floor": floor, "floor_float32": floor_float32,
        "bytes": wide, "bandwidth": rates, "flop": 2 * sum(
            BATCH * i * o * (3 if layer else 2) for layer, (i, o) in enumerate(pairwise(TABLE_B.sizes))
        ),
        "peak_memory": peak, "peak_memory_of_pytorch": library,
    }  # fmt: skip


def convolutions(steps: int, precision: str) -> dict[str, dict[str, float]]:
    """Plain eager and fast ALASSO steps of Tables C and D, on random images: only their number matters here."""
    found = {}
    for name, network, side, count, copies in (
        ("Table C", table_c(90), 32, steps, COPIES),
        ("Table D, 64 × 64", table_d(180, 64), 64, max(5, steps // 20), 1),
        ("Table D, 224 × 224", table_d(180, 224), 64, max(1, steps // 70), 1),
    ):
        images = torch.randint(0, 256, (4 * BATCH, 3, side, side), dtype=torch.uint8)
        task = RandomImages(images, torch.arange(4 * BATCH) % 3)

        def alasso(precision=precision, at_once=None, network=network, task=task) -> Step:
            learner = second_task(partial(FastLearner, precision=precision), network, ALASSO.published(), task)
            learner.gradient.images = at_once or learner.gradient.images
            return stepper(learner, task)

        def plain(network=network, side=side, task=task) -> Step:
            return as_it_comes(stepper(Plain(network, side), task))

        cases = {"plain, eager": plain, "ALASSO, fast": alasso}
        if precision != "float32":
            cases["ALASSO, fast, float32"] = partial(alasso, "float32")
        if network.side == side:
            cases["ALASSO, fast, whole batches"] = partial(alasso, at_once=BATCH)
        found[name], _ = timed(cases, count, min(BLOCK, count), copies)
    return found


def table(found: dict) -> str:
    """The ratios, and what each should reach."""
    lines = [f"{found['machine']}, PyTorch {found['versions']['torch']}, {found['threads']} threads, {found['date']}"]
    lines += [f"{name:28}{1e3 * value:9.2f} ms" for name, value in found["seconds"].items()]
    lines += [f"{'floor of an ALASSO step':28}{1e3 * found['floor']:9.2f} ms"]
    lines += [f"ALASSO, fast, without {name}: {1e3 * value:.2f} ms" for name, value in found["without"].items()]
    for name, ratio in found["ratios"].items():
        reach = f"reach ≤ {ratio['reach']:.2f}" if ratio["reach"] else ""
        lines.append(f"{name:46}{ratio['is']:7.3f}   {reach}")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200, help="timed steps of each case (default 200)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results", help="where the JSON file goes")
    chosen = parser.parse_args()
    if chosen.steps < 1:
        parser.error(f"--steps {chosen.steps}: must be a whole number ≥ 1")
    chosen.out.mkdir(parents=True, exist_ok=True)
    found = measure(chosen.steps)
    name = f"speed-{found['machine']['instructions'].lower()}-{found['date'][:16].replace(':', '')}.json"
    (chosen.out / name).write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))
