import numpy as np
import pytest

from dit_lesson import data
from dit_lesson.data import load_digits


@pytest.mark.parametrize(("split", "per_class"), [("train", 400), ("test", 100)])
def test_split_has_the_documented_sizes(split, per_class):
    images, labels = load_digits(split)
    assert images.shape == (10 * per_class, 28, 28) and images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert np.array_equal(np.bincount(labels), np.full(10, per_class))


def test_splits_share_no_digit():
    train, test = (load_digits(split)[0].reshape(-1, 784) for split in ("train", "test"))
    seen = {row.tobytes() for row in train}
    assert not any(row.tobytes() in seen for row in test)


def test_digits_are_real_handwriting():
    """Ink in the middle, paper at the border, every grey from 0 to 255 in use."""
    images, _ = load_digits("train")
    assert images[:, [0, -1]].mean() < 1 < 50 < images[:, 10:18, 10:18].mean()
    assert len(np.unique(images)) == 256


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match='split is \'valid\', expected "train" or "test"'):
        load_digits("valid")


@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damaged_file_is_refused(damage, tmp_path, monkeypatch):
    content = bytearray(data.DIGITS.read_bytes())
    copy = tmp_path / "digits.npz"
    if damage == "cut":
        copy.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[1000] ^= 1
        copy.write_bytes(content)
    monkeypatch.setattr(data, "DIGITS", copy)
    with pytest.raises(ValueError, match=r"digits.npz is (damaged|missing).*reinstall"):
        load_digits()
