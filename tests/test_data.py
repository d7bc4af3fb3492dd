import numpy as np
import pytest

from dit_lesson import data
from dit_lesson.data import load_digits, scale_digits


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


def test_scaled_digits_are_floats_in_a_frame_of_paper():
    images, _ = load_digits("test")
    scaled = scale_digits(images[:5], size=32)
    assert scaled.shape == (5, 1, 32, 32) and scaled.dtype == np.float32
    np.testing.assert_array_equal(scaled[:, :, 2:-2, 2:-2], scale_digits(images[:5]))
    np.testing.assert_allclose((scaled[:, 0, 2:-2, 2:-2] + 1) * 127.5, images[:5], atol=1e-4)
    assert (scaled[:, :, [0, 1, -2, -1]] == -1).all()
    assert (scaled[:, :, :, [0, 1, -2, -1]] == -1).all()


@pytest.mark.parametrize(
    ("images", "size", "sentence"),
    [
        (np.zeros((2, 28, 28)), 32, "scale_digits: images is no uint8 array"),
        (np.zeros((2, 28, 27), np.uint8), 32, "scale_digits: images is no uint8 array"),
        ([0.0], 32, "scale_digits: images is no uint8 array"),
        (np.zeros((0, 28, 28), np.uint8), 32, "scale_digits: images is empty"),
        (np.zeros((2, 28, 28), np.uint8), 31, "scale_digits: size is 31"),
        (np.zeros((2, 28, 28), np.uint8), 16, "scale_digits: size is 16"),
    ],
)
def test_scale_digits_refuses(images, size, sentence):
    with pytest.raises(ValueError, match=sentence):
        scale_digits(images, size)


# --- captions -------------------------------------------------------------------------------


def bar(width, lean):
    """A straight stroke, ``width`` columns wide, that moves ``lean`` columns for each row up."""
    image = np.zeros((28, 28))
    for row in range(4, 24):
        start = 14 - width / 2 + lean * (14 - row)
        edges = np.arange(29)
        image[row] = np.clip(
            np.minimum(edges[1:], start + width) - np.maximum(edges[:-1], start), 0, 1
        )
    return np.rint(255 * image).astype(np.uint8)[None]


@pytest.mark.parametrize("lean", [-0.3, 0.0, 0.25, 0.4])
@pytest.mark.parametrize("width", [2.0, 4.0])
def test_slant_and_stroke_width_measure_a_stroke(width, lean):
    assert data.slant(bar(width, lean))[0] == pytest.approx(lean, abs=0.02)
    # the two ends of the stroke count as edge, too
    assert data.stroke_width(bar(width, lean))[0] == pytest.approx(width, rel=0.25)


def test_captions_say_what_the_rule_says():
    captions = data.describe_digits(np.concatenate([bar(2, 0.0), bar(5, 0.4)]), np.array([1, 7]))
    assert captions == ["a thin upright one", "a bold tilted seven"]


def test_captions_of_the_digits_use_every_word_often():
    images, labels = load_digits("train")
    captions = data.describe_digits(images, labels)
    said = " ".join(captions).split()
    assert set(said) == set(data.CAPTION_WORDS)
    assert min(said.count(word) for word in data.CAPTION_WORDS) >= 400
    mirrored = data.slant(images[:50, :, ::-1])
    np.testing.assert_allclose(mirrored, -data.slant(images[:50]), atol=1e-12)


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (np.ones((1, 28, 28)), [1], "stroke_width: images is no uint8 array"),
        (np.zeros((1, 28, 28), np.uint8), [1], "stroke_width: images is empty or holds one"),
        (bar(2, 0.0), [10], "describe_digits: labels are no whole numbers from 0 to 9"),
        (bar(2, 0.0), [1, 2], "describe_digits: labels are no whole numbers from 0 to 9"),
    ],
)
def test_captions_refuse(images, labels, sentence):
    with pytest.raises(ValueError, match=sentence):
        data.describe_digits(images, np.array(labels))
