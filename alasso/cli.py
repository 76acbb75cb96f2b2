"""The command line: `alasso run`, `reproduce`, `collect`, `data` and `list`."""

import argparse
import os
import signal
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import torch

from alasso import collect, datasets, fast, metrics, reproduce, results
from alasso.errors import BadInput, Diverged, Interrupted, notices
from alasso.experiments import experiment
from alasso.presets import METHODS, PRESETS, WHOLE
from alasso.protocol import LARGEST_SEED, whole_number
from alasso.run import run, signals
from alasso.search import FOUND
from alasso.targets import TARGETS, Target

MOST = 1000  # seeds, or runs at a time
TOGETHER = "\xa0"  # stands for a space at which no line breaks


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0; after one line that says why, 2 for bad input, 1 for a run that diverged, and 128
    plus the number of the signal that stopped one, or 130 where several or none were under way; 141, as after SIGPIPE,
    if nobody reads on."""
    with suppress(AttributeError):  # not every stream that stands in for it has this
        sys.stdout.reconfigure(errors="backslashreplace")  # a redirected one may know no Ω
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        # Whoever is killed cleans up as after Ctrl-C; a run under way hears both itself.
        with notices(), signals(signal.default_int_handler, signal.SIGTERM):
            status = chosen.function(chosen)
        print(end="", flush=True)  # even if it is closed
        return status
    except (BadInput, Diverged, Interrupted) as error:
        print("alasso:", *str(error).splitlines(), file=sys.stderr)
        return 128 + error.signal if isinstance(error, Interrupted) else 2 if isinstance(error, BadInput) else 1
    except KeyboardInterrupt:  # where no run is under way, which hears it itself
        print("alasso: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again when it ends
        return 141
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "allocate" not in str(error):  # PyTorch has no class for it
            raise
        print("alasso: not enough memory here; take a smaller batch_size, or fewer or narrower layers", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"alasso: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(prog="alasso", description="Continual learning by asymmetric loss approximation.")
    commands = parser.add_subparsers(title="commands", required=True)
    place = argparse.ArgumentParser(add_help=False)
    kept = "where results are kept (default: results/)"
    place.add_argument("--results", type=_folder, default=results.folder(), metavar="DIR", help=kept)

    one = commands.add_parser("run", parents=[place], help="train one method with one seed, and keep its result")
    one.add_argument("preset", help="what is trained on what: " + ", ".join(PRESETS))
    one.add_argument("method", help="the method: " + ", ".join(METHODS))
    one.add_argument("--seed", default="0", help="a whole number ≥ 0 (default 0)")
    one.add_argument("--set", nargs="+", default=[], action="extend", metavar="NAME=VALUE", help="change a setting")
    one.add_argument("--device", help="a PyTorch device (default cpu)")
    path = one.add_mutually_exclusive_group()
    path.add_argument("--reference", action="store_true", help="train by the reference loop: eager float32, slower")
    path.add_argument(
        "--precision", choices=fast.PRECISIONS, help="of matrix products (default: what suits the hardware)"
    )
    one.set_defaults(function=_run)

    again = commands.add_parser(
        "reproduce", parents=[place], help="compute what a figure or table misses, and make its page"
    )
    again.add_argument("targets", nargs="+", metavar="target", help="all, or: " + ", ".join(TARGETS))
    scales = "demo (default), short or paper: the small stream, the paper's at a quarter of the epochs, the paper's"
    again.add_argument("--scale", default="demo", help=scales)
    again.add_argument("--seeds", default="1", help="how many seeds, 0 first (default 1)")
    where = again.add_mutually_exclusive_group()
    where.add_argument("--workers", help="how many runs at a time on this machine (default: one a core)")
    where.add_argument(
        "--dask", metavar="ADDRESS", help="send the runs to this Dask scheduler, such as tcp://host:8786"
    )
    again.add_argument("--dry-run", action="store_true", help="say what there is to do, and how long it takes")
    again.set_defaults(function=_reproduce)

    collecting = commands.add_parser(
        "collect", parents=[place], help="list the results: seed, settings, commit, duration"
    )
    way = collecting.add_mutually_exclusive_group()
    way.add_argument("--csv", action="store_true", help="as CSV: every setting, what is kept, learned and forgotten")
    way.add_argument(
        "--check", action="store_true", help="say which are of other formulas, settings or data than the rest"
    )
    collecting.set_defaults(function=_collect)

    getting = commands.add_parser("data", help="find data sets, download what is missing, and prepare them")
    getting.add_argument("datasets", nargs="+", metavar="dataset", help=", ".join(datasets.NAMES))
    getting.set_defaults(function=_data)

    listing = commands.add_parser("list", help="show presets, methods and targets, what they cost and what to expect")
    listing.set_defaults(function=_list)
    return parser


class _OneLineParser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        print(f"{self.prog}: {' '.join(message.split())}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def _folder(typed: str) -> Path:
    if not typed:
        raise argparse.ArgumentTypeError("it is empty; name a folder")
    return Path(typed).expanduser()  # no shell does in --results=~/here


def _run(chosen: argparse.Namespace) -> int:
    todo = experiment(chosen.preset, chosen.method, _settings(chosen.set))
    number = whole_number("--seed", chosen.seed, 0, LARGEST_SEED)
    path = todo.path(chosen.results, number)
    known = path.exists()
    _check_device(chosen.device or "cpu")
    record = run(todo, number, chosen.results, chosen.device, reference=chosen.reference, precision=chosen.precision)
    final = metrics.final_accuracy(record.matrix)
    print(f"{path}: average accuracy {final:.4f} after {len(record.accuracy)} tasks" + " (already there)" * known)
    for problem in collect.problems(record, path) if known else ():
        if record.dirty or problem.startswith("formulas changed"):  # else nobody here knows of what formulas it is
            print(f"alasso: {path}: {problem}; delete it to train anew", file=sys.stderr)
    return 0


def _reproduce(chosen: argparse.Namespace) -> int:
    return reproduce.run(
        chosen.targets,
        chosen.scale,
        whole_number("--seeds", chosen.seeds, 1, MOST),
        chosen.results,
        None if chosen.workers is None else whole_number("--workers", chosen.workers, 1, MOST),
        chosen.dask,
        chosen.dry_run,
    )


def _collect(chosen: argparse.Namespace) -> int:
    return collect.run(chosen.results, "check" if chosen.check else "csv" if chosen.csv else "list")


def _data(chosen: argparse.Namespace) -> int:
    for name in chosen.datasets:
        found = datasets.load(name)
        images = f"{len(found.train_images):,} training and {len(found.test_images):,} test images"
        print(f"{name}: {images} of {len(found.classes)} classes, sha256 {found.sha256}")
    return 0


def _settings(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise BadInput(f"--set {pair}: must be name=value, such as a=2.5")
    names = [pair.split("=", 1)[0] for pair in pairs]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"--set {' '.join(pairs)}: {name} must be set once")
    return dict(pair.split("=", 1) for pair in pairs)


def _check_device(name: str) -> None:
    try:
        probe = torch.ones(2, 2, device=name)
        (probe @ probe).cpu()  # some devices have tensors and nothing in them
    except (RuntimeError, AssertionError, ImportError):
        raise BadInput(f"--device {name}: PyTorch cannot use it here; cpu always works") from None


def _list(chosen: argparse.Namespace) -> int:
    print("presets: what is trained on what; the cost is that of one method and one seed")
    print("  (What a search found `alasso reproduce` takes by itself, `alasso run` if it is told so.)")
    for name, preset in PRESETS.items():
        print(f"  {name}\n    {preset.about}\n    cost    {preset.cost}\n    expect  {preset.expect}")
        for method, settings in FOUND.get(WHOLE.get(name, name), {}).items():
            print(f"    found   {method} --set {' '.join(f'{key}={value}' for key, value in settings.items())}")
    print("\nmethods")
    for name, method in METHODS.items():
        print(f"  {name:22}{method.label}: {method.surrogate}")
    print("\nfigures and tables of the paper, and searches for settings, with the runs that each needs for one seed")
    print("  (Figure 2 is measured rather than run: python -m alasso.landscape pmnist30 0)")
    for name, target in TARGETS.items():
        print(f"  {name}\n    {target.about}: {target.preset}, {len(target.experiments())} runs")
        indents = {"initial_indent": " " * 4, "subsequent_indent": " " * 6}
        lines = textwrap.fill(_needed(target), 110, break_on_hyphens=False, **indents)
        print(lines.replace(TOGETHER, " "))
    return 0


def _needed(target: Target) -> str:
    """Its methods and settings; those that all its variations share are said once."""
    shared = set.intersection(*(set(changes.items()) for changes in target.variations))
    parts = [", ".join(target.methods), *(f"{name}={value}" for name, value in sorted(shared))]
    own = [
        TOGETHER.join(f"{name}={value}" for name, value in changes.items() if (name, value) not in shared)
        for changes in target.variations
    ]
    return " ".join(parts) + (f" with {', '.join(own)}" if any(own) else "")
