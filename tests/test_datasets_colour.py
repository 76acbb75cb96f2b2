"""The readers against small files in the true formats: CIFAR and prepared arrays."""

import os
import pickle
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from archives import cut, flip, listing, md5, refuses, same
from torchvision.datasets import CIFAR10, CIFAR100

from alasso import datasets

# --------------------------------------------------------------------------------------------------------- CIFAR


@pytest.fixture(params=[CIFAR10, CIFAR100])
def cifar(request, tmp_path, monkeypatch):
    """The authors' folder and archive under `tmp_path`, two images for each class and file, and the arrays sorted.

    An image has the colour (class, 100 for the first and 101 for the second, the file's number), but for its top right
    corner, which is white. Names fall from file to file and from the first to the second.
    """
    kind = request.param
    classes = [f"class {k:03}" for k in range(10 if kind is CIFAR10 else 100)]
    count = len(classes)
    labels, copies = np.tile(np.roll(np.arange(count), 3), 2), np.repeat([0, 1], count)

    def batch(number):
        pixels = np.zeros((2 * count, 3, 32, 32), np.uint8)
        pixels[:] = np.stack([labels, 100 + copies, np.full(2 * count, number)], 1)[:, :, None, None]
        pixels[:, :, 0, 31] = 255
        names = [f"photo_{1000 * (9 - number) + 500 - k:06}.png" for k in range(2 * count)]
        content = {"data": pixels.reshape(2 * count, 3072), "coarse_labels": [0] * 2 * count, "filenames": names}
        return content | {"labels" if kind is CIFAR10 else "fine_labels": labels.tolist()}

    folder = tmp_path / kind.base_folder
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        return md5((folder / name).read_bytes())

    train = {name: batch(number) for number, (name, _) in enumerate(kind.train_list)}
    test = {name: batch(9) for name, _ in kind.test_list}
    monkeypatch.setattr(kind, "train_list", [[name, write(name, content)] for name, content in train.items()])
    monkeypatch.setattr(kind, "test_list", [[name, write(name, content)] for name, content in test.items()])
    meta = kind.meta["filename"]
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": write(meta, {kind.meta["key"]: classes})})
    with tarfile.open(tmp_path / kind.filename, "w:gz") as archive:
        archive.add(folder, kind.base_folder)
    monkeypatch.setitem(datasets.SIZES, kind.__name__.lower(), datasets.Size(count, 2 * len(train), 2, 3, 32))
    monkeypatch.setattr(kind, "tgz_md5", md5((tmp_path / kind.filename).read_bytes()))
    arrays = []
    for part in (train, test):
        images = [
            (label, name, row)
            for c in part.values()
            for label, name, row in zip(labels, c["filenames"], c["data"], strict=True)
        ]
        images.sort(key=lambda image: image[:2])
        arrays += [
            np.stack([row for *_, row in images]).reshape(-1, 3, 32, 32),
            np.array([label for label, *_ in images]),
        ]
    return SimpleNamespace(
        name=kind.__name__.lower(),
        folder=folder,
        archive=tmp_path / kind.filename,
        classes=tuple(classes),
        arrays=arrays,
    )


@pytest.mark.parametrize("packed", [False, True])
def test_original_cifar(packed, cifar, tmp_path):
    if packed:
        shutil.rmtree(cifar.folder)
    else:
        cifar.archive.unlink()
    dataset = datasets.load(cifar.name, tmp_path)
    same(dataset, cifar.arrays)
    assert dataset.classes == cifar.classes
    last = len(dataset.train_labels) // len(cifar.classes) // 2 - 1  # its file has the first names of a class
    assert dataset.train_images[0, :, 31, 0].tolist() == [0, 101, last]
    assert dataset.train_images[0, :, 0, 31].tolist() == [255, 255, 255]
    assert cifar.folder.exists() != packed
    if not packed:
        assert from_pictures(cifar, tmp_path / "pictures").sha256 == dataset.sha256


def from_pictures(cifar, folder):
    """The data set out of an npz file, of the same images one by one, class by class and by their names."""
    folder.mkdir()
    contents = dict(zip(datasets.PARTS, cifar.arrays, strict=True), class_names=cifar.classes)
    for part in ("train_images", "test_images"):
        contents[part] = np.moveaxis(contents[part], 1, 3)
    np.savez(folder / f"{cifar.name}.npz", **contents)
    return datasets.load(cifar.name, folder)


@pytest.mark.parametrize("harm", [cut, flip])
def test_damaged_cifar_archive_is_refused(harm, cifar, tmp_path):
    shutil.rmtree(cifar.folder)
    harm(cifar.archive)
    refuses(cifar.name, tmp_path, f"cannot read {cifar.archive} (its md5 is ")
    assert listing(tmp_path) == [cifar.archive.name]


@pytest.mark.parametrize("harm", [cut, flip, Path.unlink])
def test_damaged_cifar_folder_is_refused(harm, cifar, tmp_path):
    for victim in sorted(cifar.folder.iterdir()):
        content = victim.read_bytes()
        harm(victim)
        refuses(cifar.name, tmp_path, f"cannot read {victim} (")
        victim.write_bytes(content)
    assert not (tmp_path / "prepared").exists()


@pytest.fixture
def npz(tmp_path, monkeypatch):
    """A cifar10.npz of two classes, three training and two test images of each; returns its contents."""
    monkeypatch.setitem(datasets.SIZES, "cifar10", datasets.Size(2, 3, 2, 3, 32))
    random = np.random.default_rng(0)
    contents = {
        "train_images": random.integers(256, size=(6, 32, 32, 3), dtype=np.uint8),
        "train_labels": np.array([0, 0, 0, 1, 1, 1]),
        "test_images": random.integers(256, size=(4, 32, 32, 3), dtype=np.uint8),
        "test_labels": np.array([1, 0, 0, 1]),
        "class_names": np.array(["cat", "ship"]),
    }
    np.savez(tmp_path / "cifar10.npz", **contents)
    return contents


def channels_first(contents):
    """The four arrays of an npz file, in the layout of a data set."""
    arrays = [contents[part] for part in datasets.PARTS]
    return [np.stack([a[..., 0], a[..., 1], a[..., 2]], 1) if a.ndim == 4 else a for a in arrays]


def test_cifar_arrays(npz, tmp_path):
    dataset = datasets.load("cifar10", tmp_path)
    same(dataset, channels_first(npz))
    assert dataset.classes == ("cat", "ship")


def test_cifar_arrays_go_before_the_original(cifar, tmp_path):
    (tmp_path / f"{cifar.name}.npz").write_bytes(b"")
    refuses(cifar.name, tmp_path, f"cannot read {tmp_path / cifar.name}.npz (")


@pytest.mark.parametrize("keep", [0, 0.01, 0.5, 0.99])
def test_cut_cifar_arrays_are_refused(keep, npz, tmp_path):
    cut(tmp_path / "cifar10.npz", keep)
    refuses("cifar10", tmp_path, f"cannot read {tmp_path / 'cifar10.npz'} (", "delete it or put a good copy there")


@pytest.mark.parametrize(("save", "offset"), [(np.savez, 2000), (np.savez_compressed, 100)])
def test_cifar_arrays_with_a_wrong_bit_are_refused(save, offset, npz, tmp_path):
    path = tmp_path / "cifar10.npz"
    save(path, **npz)
    flip(path, offset)  # in the pixels, or in what steers their unpacking
    refuses("cifar10", tmp_path, f"cannot read {path} (")


@pytest.mark.parametrize(
    "changes",
    [
        {"train_images": np.zeros((5, 32, 32, 3), np.uint8)},
        {"test_images": np.zeros((4, 3, 32, 32), np.uint8)},
        {"test_images": np.zeros((4, 32, 32, 3))},
        {"train_labels": np.array([0, 0, 0, 1, 1])},
        {"train_labels": np.array([0, 0, 0, 1, 1, 2])},
        {"train_labels": np.array([0, 0, 0, 1, 1, -1])},
        {"train_labels": np.array([0, 0, 0, 0, 1, 1])},
        {"test_labels": np.array([1.0, 0, 0, 1])},
        {"test_labels": np.array([1, 0, 0, 1], np.uint8)},
        {"test_labels": np.array([1, 0, 0, None])},
        {"class_names": np.array(["cat", "ship", "dog"])},
    ],
)
def test_cifar_arrays_of_other_sizes_or_types_are_refused(changes, npz, tmp_path):
    np.savez(tmp_path / "cifar10.npz", **npz | changes)
    refuses("cifar10", tmp_path, f"cannot read {tmp_path / 'cifar10.npz'} (")


@pytest.mark.parametrize("part", [*datasets.PARTS, "class_names"])
def test_cifar_arrays_without_one_of_them_are_refused(part, npz, tmp_path):
    np.savez(tmp_path / "cifar10.npz", **{key: value for key, value in npz.items() if key != part})
    refuses("cifar10", tmp_path, f"cannot read {tmp_path / 'cifar10.npz'} (", part)


# ------------------------------------------------------------------------------------------------ prepared arrays


def test_prepared_arrays_take_the_place_of_the_files(npz, tmp_path):
    first = datasets.load("cifar10", tmp_path)
    (tmp_path / "cifar10.npz").unlink()
    second = datasets.load("cifar10", tmp_path)
    same(second, channels_first(npz))
    assert (second.name, second.classes, second.sha256) == (first.name, first.classes, first.sha256)
    assert listing(tmp_path / "prepared") == sorted(
        ["cifar10", "cifar10/dataset.json", *(f"cifar10/{part}.npy" for part in datasets.PARTS)]
    )


def test_changes_to_the_tensors_stay_in_memory(npz, tmp_path):
    for _ in range(2):
        dataset = datasets.load("cifar10", tmp_path)
        same(dataset, channels_first(npz))
        dataset.train_images.zero_()
        dataset.test_labels.zero_()


@pytest.mark.parametrize("harm", [cut, flip, Path.unlink])
@pytest.mark.parametrize("name", ["dataset.json", *(f"{part}.npy" for part in datasets.PARTS)])
def test_damaged_prepared_arrays_are_refused_and_made_again_once_deleted(harm, name, npz, tmp_path):
    datasets.load("cifar10", tmp_path)
    folder = tmp_path / "prepared" / "cifar10"
    harm(folder / name)
    refuses("cifar10", tmp_path, f"cannot read {folder} (", "delete it")
    shutil.rmtree(folder)
    same(datasets.load("cifar10", tmp_path), channels_first(npz))


def test_prepared_arrays_whose_header_is_no_python_are_refused(npz, tmp_path):
    datasets.load("cifar10", tmp_path)
    array = tmp_path / "prepared" / "cifar10" / "train_images.npy"
    array.write_bytes(array.read_bytes().replace(b")", b"(", 1))  # NumPy has the tokenizer look at it
    refuses("cifar10", tmp_path, f"cannot read {array.parent} (", "delete it")


def test_prepared_arrays_with_another_checksum_are_refused(npz, tmp_path):
    sha256 = datasets.load("cifar10", tmp_path).sha256
    flip(tmp_path / "prepared/cifar10/train_images.npy", 1000)
    refuses("cifar10", tmp_path, "its sha256 is ", f"not {sha256}")


def test_unwritable_folder_only_warns(npz, tmp_path):
    (tmp_path / "prepared").touch()  # a file in the way: permissions would not stop the superuser
    with pytest.warns(UserWarning, match="cifar10 is decoded in every run, as .* cannot be written: "):
        dataset = datasets.load("cifar10", tmp_path)
    same(dataset, channels_first(npz))


def test_full_disk_leaves_nothing_half_written(npz, tmp_path, monkeypatch):
    save = np.save

    def full(path, array):
        save(path, array)
        if path.name == "test_images.npy":
            raise OSError("No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        same(datasets.load("cifar10", tmp_path), channels_first(npz))
    assert listing(tmp_path / "prepared") == []


def test_two_processes_may_prepare_the_same_at_once(npz, tmp_path, monkeypatch, recwarn):
    replace, calls = os.replace, []

    def overtaken(source, target):
        calls.append(target)
        shutil.copytree(source, target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", overtaken)
    same(datasets.load("cifar10", tmp_path), channels_first(npz))
    assert calls == [tmp_path / "prepared" / "cifar10"]
    assert listing(tmp_path / "prepared")[0] == "cifar10"
    assert list(recwarn) == []


def test_cifar110_joins_both_with_as_many_images_of_every_class(monkeypatch):
    """Each image carries its class and number within it in its first two channels, so that it can be recognised."""

    def numbered(classes, sizes):
        arrays = []
        for size in sizes:
            labels = torch.arange(classes).repeat(size)  # classes take turns, as in no order of the original
            number = torch.arange(size).repeat_interleave(classes)
            images = torch.stack([labels, number % 256, number // 256], 1).to(torch.uint8)
            arrays += [images.view(-1, 3, 1, 1), labels]
        return datasets.Dataset("", *arrays, tuple(f"{classes}-{k}" for k in range(classes)), "")

    parts = {"cifar10": numbered(10, (5000, 1000)), "cifar100": numbered(100, (500, 100))}
    load = datasets.load
    monkeypatch.setattr(datasets, "load", lambda name, root: parts[name])
    joint = load("cifar110", "anywhere")
    assert joint.classes == parts["cifar10"].classes + parts["cifar100"].classes
    for images, labels, size in (
        (joint.train_images, joint.train_labels, 500),
        (joint.test_images, joint.test_labels, 100),
    ):
        channels = images.flatten(1).long()
        number = channels[:, 1] + 256 * channels[:, 2]
        assert torch.equal(channels[:, 0], torch.where(labels < 10, labels, labels - 10))
        for label in range(110):
            assert torch.equal(number[labels == label], torch.arange(size)), "the first ones, each once"
