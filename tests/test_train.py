"""The loop against loops written anew in plain torch, and what each kind of stream leaves alone."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from modules import as_module
from torch import nn
from torch.nn import functional as F
from training import PROTOCOL, trained

from alasso import run as runner
from alasso.errors import BadInput
from alasso.experiments import experiment
from alasso.networks import CNN, MLP, MeanFieldMLP, accuracy, pixels, table_c, table_d
from alasso.presets import METHODS
from alasso.protocol import INITIALISATIONS
from alasso.rivals import EWC, VCL
from alasso.run import build_network, build_stream
from alasso.surrogates import ALASSO, SI, NoSurrogate
from alasso.tasks import batches, generator, permuted_stream, split_stream
from alasso.train import Learner, train_stream

SINGLE = replace(PROTOCOL, fresh_network=True)
SPLIT = replace(PROTOCOL, dataset="cifar110", network="table-c", classes_per_task=2, reset_optimizer=True)
SMALL_CNN = CNN(8, ((4,), (4,)), 16, 6)
SPLIT_METHODS = [name for name in METHODS if name not in ("multi", "vcl", "dropout")]  # these are for permuted pixels


def trained_in_plain_torch(network, parts, reset):
    """Adam on images and labels, one task after the other; θ after each."""
    module = as_module(network, network.init(generator(0, "initialisation", 0)))
    optimizer, thetas = torch.optim.Adam(module.parameters(), lr=0.01), []
    for k, (images, labels) in enumerate(parts):
        if reset:
            optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
        for epoch in range(3):
            for index in batches(len(labels), 16, 0, k, epoch, epoch_size=96):
                optimizer.zero_grad()
                nn.functional.cross_entropy(module(images[index] / 255), labels[index]).backward()
                optimizer.step()
        thetas.append(nn.utils.parameters_to_vector(module.parameters()).detach())
    return thetas


@pytest.mark.parametrize("reset", [False, True])
def test_plain_training_is_that_of_a_loop_in_plain_torch(network, stream, reset):
    rows, thetas, _ = trained(network, NoSurrogate(), stream, replace(PROTOCOL, reset_optimizer=reset))
    expected = trained_in_plain_torch(network, [task.train() for task in stream], reset)
    other = trained_in_plain_torch(network, [task.train() for task in stream], not reset)
    torch.testing.assert_close(thetas, expected, rtol=0, atol=1e-5)
    assert (thetas[-1] - other[-1]).abs().max() > 1e-3, "whether Adam is reset shows"
    assert rows == [
        [accuracy(network, theta, *old.test()) for old in stream[: k + 1]] for k, theta in enumerate(thetas)
    ]


def test_multi_task_is_plain_training_on_all_images_so_far(network, dataset):
    alone = [task.train() for task in permuted_stream(dataset, 3, seed=0, permute_first=True)]
    mixed = [[torch.cat(part) for part in zip(*alone[: k + 1], strict=True)] for k in range(3)]
    stream = permuted_stream(dataset, 3, seed=0, permute_first=True, joint=True)
    _, thetas, _ = trained(network, NoSurrogate(), stream, replace(PROTOCOL, joint=True))
    torch.testing.assert_close(thetas, trained_in_plain_torch(network, mixed, reset=False), rtol=0, atol=1e-5)


@pytest.mark.parametrize("surrogate", [NoSurrogate(), ALASSO.published(), VCL()], ids=["none", "alasso", "vcl"])
def test_a_single_tasks_network_is_the_same_whatever_came_before(surrogate, stream):
    network = MeanFieldMLP((9, 8, 3)) if isinstance(surrogate, VCL) else MLP((9, 8, 3))
    rows, thetas, _ = trained(network, surrogate, stream, SINGLE)
    for k, task in enumerate(stream):
        alone, (theta,), _ = trained(network, surrogate, [task], SINGLE)
        assert torch.equal(thetas[k], theta)
        assert alone == [[rows[k][k]]]
    assert not torch.equal(thetas[0], thetas[1])


def test_a_part_of_a_stream_is_a_stream(network, stream):
    """And its tasks keep the random numbers of their own index."""
    rows, thetas, _ = trained(network, ALASSO.published(), stream[1:], PROTOCOL)
    assert [len(row) for row in rows] == [1, 2]
    assert rows[-1] == [accuracy(network, thetas[-1], *task.test()) for task in stream[1:]]
    _, alone, _ = trained(network, ALASSO.published(), stream, SINGLE)
    assert torch.equal(thetas[0], alone[1])


@pytest.mark.parametrize("name", INITIALISATIONS)
def test_every_single_task_starts_from_weights_of_its_own(network, stream, name):
    """Steps too small to see: what is left is where each task began."""
    protocol = replace(SINGLE, learning_rate=1e-12, initialisation=name)
    _, thetas, _ = trained(network, NoSurrogate(), stream, protocol)
    torch.testing.assert_close(thetas, [network.init(generator(0, "initialisation", k), name) for k in range(3)])


def test_a_column_of_single_tasks_is_constant_from_its_diagonal_on(network, stream):
    rows, _, _ = trained(network, NoSurrogate(), stream, SINGLE)
    assert [len(row) for row in rows] == [1, 2, 3]
    assert all(row == later[:-1] for row, later in pairwise(rows))
    forgetting, _, _ = trained(network, NoSurrogate(), stream, PROTOCOL)
    assert any(row != later[:-1] for row, later in pairwise(forgetting)), "one network for all tasks does forget"


def read_out(theta):
    """The weight and bias of each output of the small network, (6, 17)."""
    weight, bias = SMALL_CNN.layers(theta)[-1]
    return torch.cat([weight, bias[:, None]], 1)


def moves(pictures, surrogate):
    """Of each split task: its outputs, θ before and after it, and the State after it."""
    stream = split_stream(pictures, 3, 2, seed=0)
    start = SMALL_CNN.init(generator(0, "initialisation", 0))
    _, thetas, states = trained(SMALL_CNN, surrogate, stream, SPLIT)
    return zip([task.outputs for task in stream], [start, *thetas], thetas, states, strict=False)


@pytest.mark.parametrize(
    "surrogate",
    [NoSurrogate(), SI(), ALASSO.published(), ALASSO(), EWC()],
    ids=["none", "si", "published", "paper", "ewc"],
)
def test_a_split_task_moves_its_own_outputs_and_the_shared_layers_only(pictures, surrogate):
    for outputs, before, after, _ in moves(pictures, surrogate):
        own = torch.zeros(6, dtype=torch.bool)
        own[outputs] = True
        moved = (read_out(after) != read_out(before)).any(1)
        assert torch.equal(moved, own)
        shared = [weight for weight, _ in SMALL_CNN.layers(after - before)[:-1]]
        assert all(weight.any() for weight in shared)


@pytest.mark.parametrize("surrogate", [SI(), ALASSO.published(), ALASSO()], ids=["si", "published", "paper"])
def test_outputs_of_tasks_to_come_have_no_importance_and_those_of_the_past_keep_theirs(pictures, surrogate):
    last = torch.zeros(6, 17)
    for outputs, _, _, state in moves(pictures, surrogate):
        importance = read_out(state.importance)
        assert not importance[outputs.stop :].any()
        assert importance[outputs].any(1).all()
        assert torch.equal(importance[: outputs.start], last[: outputs.start])
        last = importance


def test_an_optimiser_that_is_kept_goes_on_moving_the_outputs_of_the_last_task(pictures):
    """Why split streams reset it: Adam's moments outlive the task."""
    stream = split_stream(pictures, 2, 2, seed=0)
    network = replace(SMALL_CNN, classes=4)
    _, (first, second), _ = trained(network, NoSurrogate(), stream, replace(SPLIT, reset_optimizer=False))
    weight = network.layers(second - first)[-1][0]
    assert weight[stream[0].outputs].any()


@pytest.mark.parametrize("name", SPLIT_METHODS)
def test_every_method_for_split_classes_gets_through_a_split_stream(pictures, name):
    protocol = replace(SPLIT, tasks=2, **{"epochs": 2, **METHODS[name].protocol})
    stream = split_stream(pictures, 2, 2, seed=0)
    rows, thetas, _ = trained(replace(SMALL_CNN, classes=4), METHODS[name].surrogate, stream, protocol)
    assert [len(row) for row in rows] == [1, 2]
    assert all(0 <= value <= 1 for row in rows for value in row)
    assert all(theta.isfinite().all() for theta in thetas)


def test_dropout_is_in_training_and_not_in_the_test(dataset, stream):
    network = MLP((9, 8, 3), (0.2, 0.5))
    rows, thetas, _ = trained(network, NoSurrogate(), stream, PROTOCOL)
    _, plain, _ = trained(MLP((9, 8, 3)), NoSurrogate(), stream, PROTOCOL)
    assert not torch.equal(thetas[0], plain[0])
    assert rows[-1] == [accuracy(MLP((9, 8, 3)), thetas[-1], *task.test()) for task in stream]


def test_the_network_is_the_one_that_the_protocol_names(dataset, pictures):
    assert build_network(PROTOCOL, dataset) == MLP((9, 8, 3))
    assert build_network(replace(PROTOCOL, hidden=(7, 5), dropout=(0.2, 0.5)), dataset) == MLP((9, 7, 5, 3), (0.2, 0.5))
    assert build_network(PROTOCOL, dataset, mean_field=True) == MeanFieldMLP((9, 8, 3))
    assert build_network(PROTOCOL, pictures) == MLP((3 * 8 * 8, 8, 9))
    assert build_network(SPLIT, pictures) == table_c(3 * 2)
    assert build_network(replace(SPLIT, network="table-d"), pictures) == table_d(3 * 2, 224)
    assert build_network(replace(SPLIT, network="table-d", image_side=64), pictures) == table_d(3 * 2, 64)


@pytest.fixture
def run(tmp_path, pictures, monkeypatch):
    """Run an experiment, on the pictures above whatever its data set."""
    monkeypatch.setattr(runner.datasets, "load", lambda name: pictures)
    return lambda *chosen: runner.run(experiment(*chosen), 0, tmp_path, progress=False)


def test_a_split_preset_runs_from_its_name_to_its_record(run, tmp_path):
    done = run("split-cifar", "alasso-published", {"tasks": "3", "epochs": "1"})
    assert done.parameters == table_c(9).size
    assert [[value is None for value in row] for row in done.accuracy] == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]
    assert done.protocol["classes_per_task"] == 3
    single = run("split-cifar", "single", {"tasks": "3", "epochs": "1"})
    assert single.accuracy[2][:2] == [single.accuracy[0][0], single.accuracy[1][1]]


def test_a_record_of_other_settings_is_not_taken_for_this_experiments(run, tmp_path):
    """As it is under this name when a default has changed since."""
    run("pmnist-tiny", "si")
    path = experiment("pmnist-tiny", "si").path(tmp_path, 0)
    path.write_text(path.read_text().replace('"c": 0.1', '"c": 0.2'))
    with pytest.raises(BadInput, match=r"c=0\.2, not 0\.1"):
        run("pmnist-tiny", "si")


def test_no_two_steps_share_their_noise(stream, monkeypatch):
    seen, noise = [], MLP.noise

    def watched(*given):
        seen.append(noise(*given))
        return seen[-1]

    monkeypatch.setattr(MLP, "noise", watched)
    network = MLP((9, 8, 3), (0.2, 0.5))
    train_stream(network, NoSurrogate(), stream, PROTOCOL, 0, "cpu", lambda *_: None)
    assert len({tuple(noise[0].flatten().tolist()) for noise in seen}) == len(seen) > 50


def test_the_loss_of_a_task_is_the_mean_over_its_images(network, stream):
    """Whatever the size of the last batch: θ hardly moves here, so the mean can be taken of all at once."""
    still = replace(PROTOCOL, batch_size=60, learning_rate=1e-12)
    (_, loss, _), *_ = train_stream(network, NoSurrogate(), stream, still, 0, "cpu", lambda *_: None)
    images, labels = stream[0].train()
    assert len(labels) % 60
    theta = network.init(generator(0, "initialisation", 0))
    expected = nn.functional.cross_entropy(network.logits(theta, pixels(images)), labels).item()
    assert loss == pytest.approx(expected, rel=1e-6)


def test_rows_of_a_split_stream_choose_among_the_tasks_own_classes(pictures):
    stream = split_stream(pictures, 3, 2, seed=0)
    rows, thetas, _ = trained(SMALL_CNN, NoSurrogate(), stream, SPLIT)

    def by_hand(theta, k):
        images, labels = stream[k].test()
        own = SMALL_CNN.logits(theta, pixels(images))[:, 2 * k : 2 * k + 2]
        return (own.argmax(1) == labels).double().mean().item()

    assert rows == [[pytest.approx(by_hand(theta, k)) for k in range(n + 1)] for n, theta in enumerate(thetas)]


def test_every_kind_of_chance_in_a_run_has_the_runs_seed_and_a_key_of_its_own(network, stream, monkeypatch):
    keys = []
    monkeypatch.setattr("alasso.train.generator", lambda *key: keys.append(key) or generator(*key))
    train_stream(network, EWC(), stream, PROTOCOL, 3, "cpu", lambda *_: None)
    assert {key[0] for key in keys} == {3}
    assert {key[1] for key in keys} >= {"initialisation", "noise", "consolidate"}
    assert len(set(keys)) == len(keys)


def test_the_loss_of_mixed_tasks_is_the_mean_over_the_images_of_an_epoch(network, dataset):
    still = replace(PROTOCOL, joint=True, epochs=1, learning_rate=1e-12)
    stream = permuted_stream(dataset, 3, seed=0, permute_first=True, joint=True)
    *_, (_, loss, _) = train_stream(network, NoSurrogate(), stream, still, 0, "cpu", lambda *_: None)
    images, labels = stream[2].train()
    drawn = torch.cat(batches(len(labels), 16, 0, 2, 0, epoch_size=96))
    theta = network.init(generator(0, "initialisation", 0))
    expected = F.cross_entropy(network.logits(theta, pixels(images.index_select(0, drawn))), labels[drawn]).item()
    assert loss == pytest.approx(expected, rel=1e-6)


def test_the_end_of_a_task_is_in_its_seconds(network, stream, monkeypatch):
    clock, consolidate = [0], Learner.consolidate

    def slow(seconds, function):
        def slowly(*given):
            clock[0] += seconds
            return function(*given)

        return slowly

    monkeypatch.setattr("alasso.train.perf_counter", lambda: clock[0])
    monkeypatch.setattr(Learner, "consolidate", slow(1, consolidate))
    monkeypatch.setattr("alasso.train.accuracy", slow(10, accuracy))
    done = train_stream(network, NoSurrogate(), stream, PROTOCOL, 0, "cpu", lambda *_: None)
    assert [seconds for *_, seconds in done] == [11, 21, 31]


def test_a_split_stream_is_of_its_seed_and_a_search_sees_no_test_image(pictures):
    def rows(images):
        return {tuple(image.flatten().tolist()) for image in images}

    protocol = replace(experiment("split-cifar", "si").protocol, tasks=3, classes_per_task=2, validation=True)
    drawn = []
    for seed in (0, 1):
        stream = build_stream(protocol, pictures, seed)
        drawn.append([task.classes for task in stream])
        assert drawn[-1] == [task.classes for task in split_stream(pictures, 3, 2, seed)]
        tested = set().union(*(rows(task.test()[0]) for task in stream))
        trained_on = set().union(*(rows(task.train()[0]) for task in stream))
        assert tested
        assert tested <= rows(pictures.train_images)
        assert tested.isdisjoint(trained_on)
    assert drawn[0] != drawn[1]
