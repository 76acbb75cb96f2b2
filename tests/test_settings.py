"""Whatever is typed after --set: it runs, or it gets one line. Hypothesis thinks of what nobody would type."""

import io
from contextlib import redirect_stderr
from dataclasses import asdict, fields

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alasso import cli, datasets, tasks
from alasso.presets import METHODS, PRESETS
from alasso.protocol import Protocol
from alasso.run import build_network

NAMES = sorted({f.name for f in fields(Protocol)}.union(*(asdict(method.surrogate) for method in METHODS.values())))
ODD = (
    "",
    " ",
    "nan",
    "-inf",
    "1e999",
    "1e-400",
    "-0.0",
    "9" * 5000,
    "0x10",
    "1_000",
    "١٢",
    "½",
    "²",
    "true",
    "1,,2",
    "\n",
)
NUMBERS = st.one_of(st.integers(), st.integers(-2, 3), st.integers(2**31, 2**80), st.floats()).map(str)
VALUES = st.one_of(
    st.sampled_from(ODD),
    NUMBERS,
    st.lists(NUMBERS, max_size=4).map(",".join),
    st.sampled_from([*datasets.NAMES, "table-c", "table-d", "exact", "False"]),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30),
)
PAIRS = st.one_of(
    st.tuples(st.one_of(st.sampled_from(NAMES), st.text(max_size=8)), VALUES).map("=".join), st.text(max_size=8)
)


class NotTrained(Exception):
    """Everything was accepted."""


@pytest.fixture(scope="module")
def prepared():
    """`alasso run` up to the first step, on ten images of each data set: most are not on every machine."""
    small = datasets.load("mnist5k")

    def few(name):
        images = small.train_images[:10].repeat(1, datasets.SIZES[name].channels, 1, 1)
        classes = range(datasets.SIZES[name].classes)
        return datasets.Dataset(
            name, images, small.train_labels[:10], images, small.test_labels[:10], classes, "0" * 64
        )

    def run(experiment, seed, folder, *_, **__):
        assert not experiment.path(folder, seed).exists()
        protocol, dataset = experiment.protocol, few(experiment.protocol.dataset)
        if protocol.classes_per_task:
            tasks.split_stream(dataset, protocol.tasks, protocol.classes_per_task, seed)
        network = build_network(protocol, dataset, METHODS[experiment.method].mean_field)
        assert 0 < network.size < 3 * 10**9
        raise NotTrained

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli, "run", run)
        yield


def typed(*arguments) -> str:
    """What became of the command: "accepted", or "refused" with status 2 and one line."""
    complaint = io.StringIO()
    with redirect_stderr(complaint):
        try:
            status = cli.main([*arguments])
        except NotTrained:
            return "accepted"
        except SystemExit as exit:
            status = exit.code
    assert status == 2
    assert complaint.getvalue().count("\n") == 1, complaint.getvalue()
    return "refused"


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(PRESETS)), st.sampled_from(sorted(METHODS)), st.lists(PAIRS, min_size=1, max_size=4))
@example("pmnist-tiny", "vcl", ["hidden=1000000"])
@example("split-cifar", "si", ["classes_per_task=99999999999999"])
@example("split-tiny", "si", ["image_side=320000000"])
@example("pmnist-tiny", "ewc", ["fisher="])
@example("pmnist-tiny", "ewc", ["c=1e308", "decay=1"])
def test_no_setting_ends_in_a_traceback(prepared, preset, method, pairs):
    typed("run", preset, method, "--results", "/nowhere", *(f"--set={pair}" for pair in pairs))


@pytest.mark.parametrize(
    "setting",
    ["tasks=" + "9" * 30, "epochs=99999999999", "batch_size=" + "9" * 30, "hidden=" + "9" * 30, "hidden=100000,100000"],
)
def test_sizes_beyond_all_measure_are_refused(prepared, setting):
    assert typed("run", "pmnist-tiny", "si", "--results", "/nowhere", "--set", setting) == "refused"


def test_usual_settings_are_accepted(prepared):
    assert (
        typed("run", "pmnist30", "alasso-paper", "--results", "/nowhere", "--set", "a=2", "hidden=4000") == "accepted"
    )


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30))
@example("9" * 400)
@example("٣")
@example("")
def test_no_option_ends_in_a_traceback(prepared, text):
    dry = ["--dry-run", "--results", "/nowhere"]
    typed("run", "pmnist-tiny", "si", f"--seed={text}", "--results", "/nowhere")
    assert typed("reproduce", f"figure-{text}x", *dry) == "refused"
    for option in ("seeds", "workers", "scale", "dask"):
        if text not in ("demo", "short", "paper") and not (text.isascii() and text.isdigit() and len(text) < 10):
            assert typed("reproduce", "figure-4", f"--{option}={text}", *dry) == "refused"
