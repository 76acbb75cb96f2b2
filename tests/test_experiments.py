"""Names that last, and commands that make the same experiment again."""

import json
import shlex
from dataclasses import asdict, dataclass, field, fields, make_dataclass, replace
from pathlib import Path

import pytest

from alasso import cli, results
from alasso.errors import BadInput
from alasso.experiments import experiment
from alasso.presets import METHODS
from alasso.protocol import Protocol
from alasso.surrogates import SI
from alasso.targets import TARGETS

RECORDS = results.records(Path(__file__).parent.parent / "results")

# every setting, changed, as typed
OTHER = {
    "dataset": "mnist",
    "tasks": "3",
    "permute_first": "true",
    "hidden": "16,16",
    "dropout": "0.2,0.5",
    "initialisation": "pytorch",
    "epochs": "2",
    "batch_size": "255",
    "learning_rate": "0.002",
    "reset_optimizer": "true",
    "fresh_network": "true",
    "validation": "true",
}
TOGETHER = {"dataset": "cifar10", "network": "table-d", "classes_per_task": "2"}


def other(name, value):
    """Another value for a hyper-parameter, as typed."""
    if isinstance(value, bool):
        return str(not value)
    return "exact" if name == "fisher" else str(value / 2 + 0.25)


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if not method.protocol])
def test_a_digest_is_another_for_every_setting_that_changes(method):
    usual = experiment("pmnist-tiny", method)
    assert {*OTHER, *TOGETHER, "joint", "image_side"} == {f.name for f in fields(Protocol)}, (
        "a new setting needs another value here"
    )
    refused = {"dropout"} if METHODS[method].mean_field or method.startswith("imm") else set()
    off = {"drop": "false"} if method.startswith("imm") else {}  # beside the dropout of Table C
    changes = [{}] + [{name: text} for name, text in OTHER.items() if name not in refused]
    if method == "none":
        changes.append({"joint": "true"})  # plain training alone can mix tasks
    if method != "vcl":
        more = ({}, {"network": "table-c"}, {"classes_per_task": "3"}, {"image_side": "64"})
        changes += [TOGETHER | changed | off for changed in more]
    unread = () if getattr(usual.surrogate, "perfect", True) else ("c_prime", "a_prime", "epsilon_prime")
    unread += ("floor",) * getattr(usual.surrogate, "keep_maximum", False)
    changes += [{n: other(n, value)} for n, value in asdict(usual.surrogate).items() if n not in unread]
    digests = [experiment("pmnist-tiny", method, change).digest for change in changes]
    digests += [replace(usual, preset="other").digest, replace(usual, method="other").digest]
    assert len(set(digests)) == len(digests)


def test_a_digest_is_the_same_for_equal_experiments_however_they_were_typed():
    usual = experiment("pmnist-tiny", "alasso-published")
    assert len(usual.digest) == 8
    for settings in ({"a": "1.8"}, {"a": "18e-1", "tasks": "2"}, {"tasks": "02", "hidden": " 16", "joint": "FALSE"}):
        again = experiment("pmnist-tiny", "alasso-published", settings)
        assert again == usual
        assert again.digest == usual.digest
    pairs = (({"c": "2", "epochs": "3"}, {"epochs": "3", "c": "2"}), ({"c": "0"}, {"c": "-0"}))
    for one, other in pairs:
        assert experiment("pmnist-tiny", "si", one).digest == experiment("pmnist-tiny", "si", other).digest


def test_a_field_that_is_added_later_leaves_the_names_of_results_as_they_are():
    """At its default it is what was done before; only another value makes another experiment."""

    @dataclass(frozen=True)
    class Later(Protocol):
        invented: float = 0.5

    later_si = make_dataclass("SI", [("invented_too", float, field(default=0.5))], bases=(SI,), frozen=True)
    usual = experiment("pmnist-demo", "si")
    later = replace(usual, protocol=Later(**asdict(usual.protocol)), surrogate=later_si())
    assert later.digest == usual.digest
    assert replace(later, protocol=replace(later.protocol, invented=0.6)).digest != usual.digest
    assert replace(later, surrogate=later_si(invented_too=0.6)).digest != usual.digest


def test_no_setting_of_a_method_hides_one_of_the_protocol():
    """Both are typed after --set and kept in one digest, by name."""
    protocol = {f.name for f in fields(Protocol)}
    assert all(protocol.isdisjoint(f.name for f in fields(method.surrogate)) for method in METHODS.values())


def parsed(command):
    """The experiment and seed of a command, as the command line understands it."""
    program, *arguments = shlex.split(command)
    assert program == "alasso"
    chosen = cli._parser().parse_args(arguments)
    return experiment(chosen.preset, chosen.method, cli._settings(chosen.set)), int(chosen.seed)


def test_committed_results_are_found_under_their_names():
    """A record's own settings, and its command, lead to the file that it is in.

    This fails when a default changes: results that were made with the old one keep the name, which then means the new.
    """
    assert RECORDS
    misnamed = []
    for path in RECORDS:
        record = json.loads(path.read_text())
        settings = {**record["protocol"], **record["hyperparameters"]}
        typed = {n: ",".join(map(str, v)) if isinstance(v, list) else str(v) for n, v in settings.items()}
        chosen = experiment(record["preset"], record["method"], typed)
        found = chosen.path(path.parent.parent, record["seed"])
        if found != path or parsed(record["command"]) != (chosen, record["seed"]):
            misnamed.append(f"{path.name} should be {found.name}: {record['command']}")
    assert not misnamed, "\n".join(misnamed)


@pytest.mark.parametrize(
    ("preset", "method", "settings"),
    [
        ("pmnist-tiny", "none", {}),
        (
            "pmnist30",
            "alasso-published",
            {"epsilon": "1.1e-06", "epsilon_prime": "1e-300", "damping": "0.30000000000000004"},
        ),
        (
            "pmnist30",
            "alasso-paper",
            {"permute_first": "false", "keep_maximum": "True", "fixed_side": "true", "a": "1e22"},
        ),
        ("pmnist-tiny", "si", {"hidden": "7", "dropout": "0.1,0.3333333333333333", "learning_rate": "1e-06"}),
        ("pmnist-tiny", "si", {"hidden": "2000,30,4", "dropout": "0,0.5", "c": "0", "reset_optimizer": "true"}),
        ("pmnist-tiny", "dropout", {"dropout": "0,0"}),
        ("pmnist-tiny", "multi", {"joint": "false"}),
        ("pmnist-tiny", "online-ewc", {"online": "false", "fisher": "exact", "decay": "0.1"}),
        ("pmnist-tiny", "imm-mode", {"drop": "False", "c": "0.0"}),
        ("split-tiny", "none", {"dataset": "cifar10", "tasks": "5", "classes_per_task": "2", "image_side": "64"}),
        ("split-cifar", "si", {"damping": "0.1"}),
        ("split-tiny", "single", {"fresh_network": "false", "dataset": "cifar100", "tasks": "16"}),
    ],
)
def test_a_command_makes_the_same_experiment_again(preset, method, settings):
    chosen = experiment(preset, method, settings)
    command = chosen.command(seed=3)
    assert parsed(command) == (chosen, 3)
    assert all(f"{name}=" in command for name in settings), "all of these are unusual"


def test_targets_commands_make_the_same_experiments_again():
    for chosen in (e for target in TARGETS.values() for e in target.experiments()):
        assert parsed(chosen.command(0)) == (chosen, 0)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"dataset": "mnits"}, "dataset=mnits: unknown; did you mean mnist"),
        ({"tasks": 0}, "tasks=0: tasks must be a whole number ≥ 1"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": -1}, "batch_size=-1"),
        ({"hidden": ()}, "hidden=: hidden must be one or more widths"),
        ({"hidden": (8, 0)}, "hidden=8,0"),
        ({"dropout": (0.5,)}, "dropout=0.5: dropout must be two shares below 1"),
        ({"dropout": (0.5, 1.0)}, "dropout=0.5,1.0"),
        ({"dropout": (-0.1, 0.0)}, "dropout=-0.1,0.0"),
        ({"dropout": (float("nan"), 0.0)}, "dropout=nan,0.0"),
        ({"network": "table-b"}, "network=table-b: unknown; did you mean table-"),
        ({"network": "table-c"}, "network=table-c, classes_per_task=0: the mlp goes with permuted pixels"),
        ({"classes_per_task": 3}, "network=mlp, classes_per_task=3"),
        ({"classes_per_task": -3}, "classes_per_task=-3: classes_per_task must be 0 or at least 2"),
        ({"classes_per_task": 1, "network": "table-c"}, "classes_per_task=1: classes_per_task must be 0 or at least 2"),
        ({"image_side": 100}, "image_side=100: image_side must be a multiple of 32"),
        ({"image_side": 0}, "image_side=0"),
        ({"initialisation": "glorit"}, "initialisation=glorit: unknown; did you mean glorot"),
        ({"network": "table-c", "classes_per_task": 3, "joint": True}, "joint=true: mixed batches"),
        ({"learning_rate": 0.0}, "learning_rate=0.0: learning_rate must be a finite number > 0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"learning_rate": 1e39}, r"learning_rate=1e\+39: learning_rate must be a finite number > 0, 1e\+37 at most"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused_by_name(settings, named):
    with pytest.raises(BadInput, match=named):
        Protocol(**settings)


def test_an_experiment_of_values_that_are_out_of_range_is_refused_as_typed():
    for method, settings in (("si", {"c": "-1"}), ("ewc", {"decay": "2"}), ("alasso-paper", {"a": "inf"})):
        ((name, text),) = settings.items()
        with pytest.raises(BadInput, match=f"{name}={text}"):
            experiment("pmnist-tiny", method, settings)


def test_without_imms_drop_transfer_networks_may_have_their_own_dropout():
    for preset, settings in (("pmnist-demo", {"dropout": "0.2,0.5"}), ("split-cifar", {})):
        with pytest.raises(BadInput, match=r"^imm-mean with .* set drop=false$"):
            experiment(preset, "imm-mean", settings)
        made = experiment(preset, "imm-mean", {**settings, "drop": "false"})
        words = made.command(0).partition(" --set ")[2].split()
        assert experiment(preset, "imm-mean", dict(word.split("=") for word in words)) == made


def test_settings_may_be_values_instead_of_text():
    typed = experiment("pmnist-tiny", "si", {"tasks": "3", "hidden": "64,64", "reset_optimizer": "true", "c": "2"})
    given = experiment("pmnist-tiny", "si", {"tasks": 3, "hidden": (64, 64), "reset_optimizer": True, "c": 2})
    assert given == typed
    with pytest.raises(BadInput, match=r"tasks=2\.7"):
        experiment("pmnist-tiny", "none", {"tasks": 2.7})


def test_equal_settings_have_one_name():
    whole, broken = (replace(experiment("pmnist-tiny", "si"), surrogate=SI(c=c)) for c in (2, 2.0))
    assert whole == broken
    assert whole.digest == broken.digest
