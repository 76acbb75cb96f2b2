"""The readers against small files in the true formats: CIFAR, prepared arrays, Tiny ImageNet."""

import os
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from archives import cut, flip, listing, md5, refuses, same
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100

from alasso import datasets

# --------------------------------------------------------------------------------------------------------- CIFAR


@pytest.fixture(params=[CIFAR10, CIFAR100])
def cifar(request, tmp_path, monkeypatch):
    """The authors' folder and archive under `tmp_path`, one image for each class and file.

    Image `k` of a file has the colour (k, 100 + k, 200), but for its top right corner, which is white.
    """
    kind = request.param
    classes = [f"class {k:03}" for k in range(10 if kind is CIFAR10 else 100)]
    count = len(classes)
    pixels = np.zeros((count, 3, 32, 32), np.uint8)
    pixels[:] = np.stack([np.arange(count), 100 + np.arange(count), np.full(count, 200)], 1)[:, :, None, None]
    pixels[:, :, 0, 31] = 255
    labels = np.roll(np.arange(count), 3)
    batch = {"data": pixels.reshape(count, 3072), "coarse_labels": [0] * count}
    batch["labels" if kind is CIFAR10 else "fine_labels"] = labels.tolist()

    folder = tmp_path / kind.base_folder
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        return md5((folder / name).read_bytes())

    monkeypatch.setattr(kind, "train_list", [[name, write(name, batch)] for name, _ in kind.train_list])
    monkeypatch.setattr(kind, "test_list", [[name, write(name, batch)] for name, _ in kind.test_list])
    meta = kind.meta["filename"]
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": write(meta, {kind.meta["key"]: classes})})
    with tarfile.open(tmp_path / kind.filename, "w:gz") as archive:
        archive.add(folder, kind.base_folder)
    monkeypatch.setattr(kind, "tgz_md5", md5((tmp_path / kind.filename).read_bytes()))
    files = len(kind.train_list)
    arrays = [np.concatenate([pixels] * files), np.concatenate([labels] * files), pixels, labels]
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
    assert dataset.train_images[5, :, 31, 0].tolist() == [5, 105, 200]
    assert dataset.train_images[5, :, 0, 31].tolist() == [255, 255, 255]
    assert cifar.folder.exists() != packed


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
    monkeypatch.setitem(datasets.SIZES, "cifar10", (2, 3, 2, 32))
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


# ------------------------------------------------------------------------------------------------- Tiny ImageNet

COLOURS = {"n02": (250, 10, 10), "n01": (10, 250, 10), "n03": (10, 10, 250)}  # of the training images


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The folder, three classes, two training images and one validation image of each; the last of each is grey."""
    monkeypatch.setitem(datasets.SIZES, "tiny-imagenet", (3, 2, 1, 64))
    folder = tmp_path / "tiny-imagenet-200"

    def write(name, mode, colour):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (64, 64), colour).save(path, "JPEG")

    for wnid, colour in COLOURS.items():
        write(f"train/{wnid}/images/{wnid}_0.JPEG", "RGB", colour)
        write(f"train/{wnid}/images/{wnid}_1.JPEG", "L", 77)
        (folder / f"train/{wnid}/{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t0\t9\t9\n")
    for number, grey in enumerate((30, 60, 90)):
        write(f"val/images/val_{number}.JPEG", "L", grey)
    write("test/images/test_0.JPEG", "L", 0)
    (folder / "wnids.txt").write_text("n02\nn01\nn03\n")
    (folder / "words.txt").write_text("n00\tentity\nn01\tgoldfish, Carassius auratus\nn02\tbullfrog\nn03\tlion\n")
    (folder / "val/val_annotations.txt").write_text(
        "val_2.JPEG\tn02\t0\t0\t63\t63\nval_0.JPEG\tn03\t0\t0\t63\t63\nval_1.JPEG\tn01\t0\t0\t63\t63\n"
    )
    return folder


@pytest.fixture
def tiny_zip(tiny, monkeypatch):
    """The same as an archive, which also has members that would be unpacked elsewhere."""
    path = tiny.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in tiny.rglob("*"):
            archive.write(file, file.relative_to(tiny.parent))
        archive.writestr("../outside.txt", "")
        archive.writestr("tiny-imagenet-200/train/../../../outside.JPEG", "")
        archive.writestr(f"{tiny.parent}/outside.txt", "")
    shutil.rmtree(tiny)
    monkeypatch.setattr(datasets, "TINY_IMAGENET_MD5", md5(path.read_bytes()))
    return path


def check_tiny(dataset):
    assert dataset.classes == ("goldfish, Carassius auratus", "bullfrog", "lion")
    assert dataset.train_images.shape == (6, 3, 64, 64)
    assert dataset.train_labels.tolist() == [0, 0, 1, 1, 2, 2]
    for image, wnid in zip(dataset.train_images[::2], ("n01", "n02", "n03"), strict=True):
        expected = torch.tensor(COLOURS[wnid])[:, None, None]
        assert (image - expected).abs().max() <= 3  # JPEG rounds
    assert (dataset.train_images[1::2] == 77).all()
    assert dataset.test_labels.tolist() == [1, 2, 0]
    assert dataset.test_images.shape == (3, 3, 64, 64)
    assert [image.unique().tolist() for image in dataset.test_images] == [[90], [30], [60]]


def test_tiny_imagenet_folder(tiny, tmp_path):
    check_tiny(datasets.load("tiny-imagenet", tmp_path))


def test_tiny_imagenet_zip_is_read_in_place(tiny_zip, tmp_path):
    check_tiny(datasets.load("tiny-imagenet", tmp_path))
    assert [path.name for path in tmp_path.iterdir()] in (["prepared", tiny_zip.name], [tiny_zip.name, "prepared"])
    assert list(tmp_path.parent.glob("outside*")) == []


@pytest.mark.parametrize("harm", [cut, flip])
def test_damaged_tiny_imagenet_zip_is_refused(harm, tiny_zip, tmp_path):
    harm(tiny_zip)
    refuses("tiny-imagenet", tmp_path, f"cannot read {tiny_zip} (its md5 is ")


@pytest.mark.parametrize("harm", [cut, lambda path: cut(path, 0), Path.unlink])
@pytest.mark.parametrize("name", ["train/n02/images/n02_1.JPEG", "val/images/val_2.JPEG"])
def test_damaged_tiny_imagenet_image_is_named(harm, name, tiny, tmp_path):
    harm(tiny / name)
    refuses("tiny-imagenet", tmp_path, f"cannot read {tiny} ({name}: ")
    assert not (tmp_path / "prepared").exists()


def test_tiny_imagenet_image_of_another_size_is_named(tiny, tmp_path):
    Image.new("RGB", (64, 63)).save(tiny / "val/images/val_1.JPEG")
    refuses("tiny-imagenet", tmp_path, f"cannot read {tiny} (val/images/val_1.JPEG: ")


def without_last_line(path):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize("harm", [cut, without_last_line, Path.unlink])
@pytest.mark.parametrize("name", ["wnids.txt", "words.txt", "val/val_annotations.txt"])
def test_damaged_tiny_imagenet_list_is_refused(harm, name, tiny, tmp_path):
    harm(tiny / name)
    refuses("tiny-imagenet", tmp_path, f"cannot read {tiny} (")


def test_tiny_imagenet_zip_without_one_image_is_refused(tiny_zip, tmp_path, monkeypatch):
    monkeypatch.setitem(datasets.SIZES, "tiny-imagenet", (3, 3, 1, 64))
    refuses("tiny-imagenet", tmp_path, f"cannot read {tiny_zip}/", "(train/n01/images/n01_2.JPEG: ")


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
