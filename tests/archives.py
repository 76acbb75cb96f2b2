"""What the tests of the data sets share: how files are harmed, and what must then be said."""

import hashlib

import numpy as np
import pytest
import torch

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
