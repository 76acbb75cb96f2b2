"""The permuted stream: bijections, the same for training and test, and the same for ever."""

import hashlib

import torch

from alasso.tasks import batches, generator, permutation, permuted_stream


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


def test_training_and_test_images_share_the_order_of_their_task(dataset):
    for task in permuted_stream(dataset, 4, seed=1, permute_first=True):
        for images, original in ((task.train()[0], dataset.train_images), (task.test()[0], dataset.test_images)):
            undone = torch.empty_like(images)
            undone[:, task.order] = images
            assert torch.equal(undone, original.flatten(1))


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
