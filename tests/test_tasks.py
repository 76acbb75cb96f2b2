"""Streams: permuted pixels, mixed tasks and split classes, the same for training and test, and the same for ever."""

import hashlib
from itertools import pairwise

import pytest
import torch

from alasso.datasets import Dataset
from alasso.errors import BadInput
from alasso.experiments import experiment
from alasso.tasks import batches, generator, held_out, permutation, permuted_stream, split_stream


@pytest.fixture
def classes_110() -> Dataset:
    """As many classes as cifar110, three training images and one test image each; every pixel says which class."""
    labels = torch.arange(110).repeat(4)[torch.randperm(440, generator=generator(0, "test order"))]
    images = labels.to(torch.uint8)[:, None, None, None].expand(440, 3, 2, 2).contiguous()
    names = tuple(map(str, range(110)))
    return Dataset("many", images[:330], labels[:330], images[330:], labels[330:], names, "0" * 64)


def test_every_order_is_a_bijection_and_no_two_are_alike():
    orders = [permutation(0, task, permute_first=True) for task in range(100)]
    assert all(torch.equal(order.sort().values, torch.arange(784)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 100


def test_only_the_first_task_depends_on_whether_it_is_permuted():
    assert torch.equal(permutation(5, 0), torch.arange(784))
    assert not torch.equal(permutation(5, 0, permute_first=True), torch.arange(784))
    assert torch.equal(permutation(5, 1), permutation(5, 1, permute_first=True))


def test_golden_hashes():
    """These orders and shuffles belong to the committed results: if they change, so does every number."""
    orders = torch.stack([permutation(seed, task) for seed in range(3) for task in range(10)])
    shuffles = torch.cat([index for epoch in range(3) for index in batches(1000, 256, 0, 1, epoch)])
    digests = [hashlib.sha256(t.numpy().astype("<i8").tobytes()).hexdigest()[:16] for t in (orders, shuffles)]
    assert digests == ["79bb35bee0574f76", "e16cbf0f88ffbb8c"]


def test_golden_hash_of_what_is_held_out(dataset):
    """As above: searches have chosen on these images."""
    digest = hashlib.sha256(held_out(dataset).test_images.numpy().tobytes()).hexdigest()[:16]
    assert digest == "2fcdf3731c791efb"


def test_training_and_test_images_share_the_order_of_their_task(dataset):
    for task in permuted_stream(dataset, 4, seed=1, permute_first=True):
        for images, original in ((task.train()[0], dataset.train_images), (task.test()[0], dataset.test_images)):
            undone = torch.empty_like(images)
            undone[:, task.order] = images
            assert torch.equal(undone, original.flatten(1))


def test_a_permuted_stream_of_any_length_holds_one_copy_of_the_images(dataset):
    for task in permuted_stream(dataset, 5, seed=0, permute_first=True):
        assert task.dataset is dataset
        task.train(), task.test()
        kept = [value for value in vars(task).values() if isinstance(value, torch.Tensor)]
        assert [len(tensor) for tensor in kept] == [9], "a pixel order, and no permuted images"
    for task in permuted_stream(dataset, 5, seed=0, permute_first=True, joint=True):
        images, _ = task.train()
        assert images.images.data_ptr() == dataset.train_images.data_ptr()


def test_mixed_images_are_those_of_all_tasks_so_far_and_of_none_to_come(dataset):
    alone = permuted_stream(dataset, 4, seed=1, permute_first=False)
    for task in permuted_stream(dataset, 4, seed=1, permute_first=False, joint=True):
        so_far = [one.train() for one in alone[: task.index + 1]]
        expected_images, expected_labels = (torch.cat(parts) for parts in zip(*so_far, strict=True))
        images, labels = task.train()
        assert torch.equal(labels, expected_labels)
        for index in batches(len(labels), 16, 0, task.index, 0):
            assert torch.equal(images.index_select(0, index), expected_images[index])
        assert all(map(torch.equal, task.test(), alone[task.index].test()))
        assert task.outputs == slice(None)


def test_an_epoch_of_mixed_tasks_costs_that_of_one_and_has_all_so_far_in_proportion(dataset):
    for task in permuted_stream(dataset, 4, seed=1, permute_first=False, joint=True):
        _, labels = task.train()
        epochs = [list(batches(len(labels), 16, 0, task.index, epoch, task.epoch_size)) for epoch in range(40)]
        assert all([len(index) for index in epoch] == [16] * 6 for epoch in epochs)
        assert all(len(torch.cat(epoch).unique()) == 96 for epoch in epochs), "without replacement"
        drawn = torch.cat([torch.cat(epoch) for epoch in epochs])
        shares = (drawn // 96).bincount() / len(drawn)
        torch.testing.assert_close(shares, torch.full((task.index + 1,), 1 / (task.index + 1)), rtol=0, atol=0.04)


def test_a_short_epoch_is_the_beginning_of_a_whole_one():
    whole, short = (list(batches(1000, 256, 0, 2, 0, limit)) for limit in (None, 300))
    assert [len(index) for index in short] == [256, 44]
    assert torch.equal(torch.cat(short), torch.cat(whole)[:300])


def test_a_split_stream_gives_every_task_classes_and_outputs_of_its_own(classes_110):
    stream = split_stream(classes_110, 30, 3, seed=0)
    assert [task.index for task in stream] == list(range(30))
    assert all(len(task.classes) == 3 for task in stream)
    assert len({label for task in stream for label in task.classes}) == 90
    assert (stream[0].outputs.start, stream[-1].outputs.stop) == (0, 90)
    assert all(one.outputs.stop == other.outputs.start for one, other in pairwise(stream))


def test_labels_count_within_the_task_and_every_image_of_its_classes_is_there(classes_110):
    """The images say which class they are of, so the labels can be taken back."""
    data = classes_110
    for task in split_stream(data, 30, 3, seed=0):
        parts = ((task.train(), data.train_labels), (task.test(), data.test_labels))
        for (images, labels), all_labels in parts:
            assert torch.equal(torch.tensor(task.classes)[labels], images[:, 0, 0, 0].long())
            kept = [label for label in all_labels.tolist() if label in task.classes]
            assert images[:, 0, 0, 0].tolist() == kept, "in the order of the data set"
        assert task.epoch_size == len(task.train()[1])


def test_which_classes_make_which_task_depends_on_the_seed_alone(classes_110):
    """Golden, as the orders above; a shorter stream is the beginning of a longer one."""
    drawn = [[task.classes for task in split_stream(classes_110, 30, 3, seed)] for seed in range(3)]
    digest = hashlib.sha256(repr(drawn).encode()).hexdigest()[:16]
    assert digest == "3e283751899fffcc"
    assert [task.classes for task in split_stream(classes_110, 5, 3, seed=1)] == drawn[1][:5]
    assert drawn[0] != drawn[1] != drawn[2]


def test_more_tasks_than_the_classes_are_enough_for_are_refused_with_both_numbers(classes_110):
    assert len(split_stream(classes_110, 36, 3, seed=0)) == 36
    assert experiment("split-cifar", "si", {"tasks": "36"}).protocol.tasks == 36
    with pytest.raises(BadInput, match="tasks=37: cifar110 has 110 classes, enough for 36 tasks of 3"):
        experiment("split-cifar", "si", {"tasks": "37"})


def test_an_epoch_visits_every_image_once_in_an_order_of_its_own():
    first, second = (list(batches(1000, 256, 0, 2, epoch)) for epoch in (0, 1))
    assert [len(index) for index in first] == [256, 256, 256, 232]
    assert torch.equal(torch.cat(first).sort().values, torch.arange(1000))
    assert not torch.equal(torch.cat(first), torch.cat(second))


def test_a_generator_depends_on_its_whole_key_and_on_nothing_else():
    keys = [(0, "a", 1), (0, "a", 2), (0, "b", 1), (1, "a", 1), (0, "a", 1, 0)]
    draws = {torch.rand(1, generator=generator(*key)).item() for key in keys}
    assert len(draws) == len(keys)
    assert torch.rand(1, generator=generator(0, "a", 1)).item() in draws


def test_a_held_out_tenth_is_tested_and_not_trained_on(dataset):
    """Every training image is on exactly one side; the test images are on none."""
    part = held_out(dataset)
    count = len(dataset.train_labels)
    assert len(part.test_labels) == count // 10
    both = torch.cat([part.train_images, part.test_images]).flatten(1)
    labels = torch.cat([part.train_labels, part.test_labels])
    rows = sorted(map(tuple, torch.cat([both, labels[:, None].to(both)], 1).tolist()))
    before = torch.cat([dataset.train_images.flatten(1), dataset.train_labels[:, None].to(both)], 1)
    assert rows == sorted(map(tuple, before.tolist()))
    again = held_out(dataset)
    assert torch.equal(again.test_images, part.test_images)


def test_every_seed_shuffles_otherwise():
    orders = [torch.cat(batches(100, 16, seed, 0, 0)) for seed in range(3)]
    assert not any(torch.equal(orders[0], other) for other in orders[1:])
