"""The reader of Tiny ImageNet against small files in the true format, unpacked and not."""

import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from archives import cut, flip, md5, refuses
from PIL import Image

from alasso import datasets, readers

COLOURS = {"n02": (250, 10, 10), "n01": (10, 250, 10), "n03": (10, 10, 250)}  # of the training images


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The folder, three classes, two training images and one validation image of each; the last of each is grey."""
    monkeypatch.setitem(datasets.SIZES, "tiny-imagenet", datasets.Size(3, 2, 1, 3, 64))
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
    monkeypatch.setattr(readers, "TINY_IMAGENET_MD5", md5(path.read_bytes()))
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
    monkeypatch.setitem(datasets.SIZES, "tiny-imagenet", datasets.Size(3, 3, 1, 3, 64))
    refuses("tiny-imagenet", tmp_path, f"cannot read {tiny_zip}/", "(train/n01/images/n01_2.JPEG: ")
