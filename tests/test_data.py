import numpy as np
import pytest
import torch
from PIL import Image

from dit_lesson import data
from dit_lesson.data import digits, load_digits, load_pictures, scale_digits, shift_images


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
    np.testing.assert_array_equal(scale_digits(images[:1], size=32), scaled[:1])
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


def test_digits_are_tensors_of_the_scaled_digits():
    images, labels = digits("test", 32)
    expected, classes = load_digits("test")
    assert torch.equal(images, torch.from_numpy(scale_digits(expected, 32)))
    assert torch.equal(labels, torch.from_numpy(classes)) and labels.dtype == torch.int64


# --- shifts -------------------------------------------------------------------------------


def test_every_shift_is_a_whole_offset_and_all_of_them_occur():
    image = torch.full((1, 1, 7, 7), -1.0)
    image[0, 0, 3, 3] = 1.0
    moved = shift_images(image.repeat(500, 1, 1, 1), 2, torch.Generator().manual_seed(0))
    assert moved.shape == (500, 1, 7, 7)
    assert (moved.sum(dim=(1, 2, 3)) == image.sum()).all()
    places = {tuple(p[1:]) for p in (moved[:, 0] == 1).nonzero().tolist()}
    assert places == {(row, column) for row in range(1, 6) for column in range(1, 6)}


def test_what_comes_in_is_background_and_channels_move_together():
    image = torch.arange(2 * 25.0).reshape(1, 2, 5, 5)
    moved = shift_images(image.repeat(50, 1, 1, 1), 1, torch.Generator().manual_seed(0), -7.0)
    inside = moved[:, :, 1:-1, 1:-1]
    assert (inside[:, 1] - inside[:, 0] == 25).all()
    assert -7.0 in moved and moved.max() == 49.0


IMAGES = torch.zeros(2, 1, 4, 4)
G = torch.Generator()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: shift_images(IMAGES[0], 1, G), "shift_images: images has shape"),
        (lambda: shift_images(IMAGES[:0], 1, G), "shift_images: images is empty"),
        (lambda: shift_images(IMAGES.int(), 1, G), "shift_images: images has dtype"),
        (lambda: shift_images(IMAGES, 0, G), "shift_images: max_shift is 0"),
        (lambda: shift_images(IMAGES, 4, G), "shift_images: max_shift is 4, expected less than"),
    ],
)
def test_wrong_shifts_get_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


# --- pictures of one's own ----------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / ".hidden").write_text("not looked at")
    (tmp_path / "notes.txt").write_text("beside the classes, not in one")
    return tmp_path


def save(path, pixels, **options):
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path, **options)


def test_pictures_are_cropped_to_the_middle_scaled_and_in_the_order_of_their_names(folder):
    wide = np.zeros((8, 16))
    wide[:, 4:12] = 255  # the square in the middle is white
    save(folder / "b" / "wide.png", wide)
    save(folder / "b" / "tall.jpg", wide.T)
    save(folder / "a" / "grey.png", np.full((5, 5), 51))
    pictures = load_pictures(folder, size=4)
    assert pictures.classes == ("a", "b") and pictures.labels.tolist() == [0, 1, 1]
    assert pictures.images.shape == (3, 1, 4, 4) and pictures.images.dtype == torch.float32
    torch.testing.assert_close(pictures.images[0], torch.full((1, 4, 4), 51 / 127.5 - 1))
    assert (pictures.images[1:, :, 1:-1, 1:-1] > 0.9).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK"])
def test_one_picture_in_colour_makes_three_channels_of_all(folder, mode):
    red = Image.new("RGB", (6, 6), (255, 0, 0)).convert(mode)
    red.save(folder / "b" / ("red.jpg" if mode == "CMYK" else "red.png"))
    save(folder / "a" / "grey.png", np.full((6, 6), 255))
    images = load_pictures(folder, size=6).images
    assert images.shape == (2, 3, 6, 6) and (images[0] == 1).all()
    torch.testing.assert_close(images[1, :, 3, 3], torch.tensor([1.0, -1, -1]), atol=0.03, rtol=0)


def test_sixteen_bits_of_grey_are_the_same_grey(folder):
    for name, order in (("a", "<u2"), ("b", ">u2")):
        pixels = np.full((6, 6), 51 * 257).astype(order)
        Image.fromarray(pixels).save(folder / name / "x.tif")
    Image.fromarray(np.full((6, 6), 65535, np.uint16)).save(folder / "b" / "y.png")
    images = load_pictures(folder, size=6).images
    assert images.shape == (3, 1, 6, 6) and (images[2] == 1).all()
    torch.testing.assert_close(images[:2], torch.full((2, 1, 6, 6), 51 / 127.5 - 1))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_thirty_two_bits_get_one_sentence(folder, dtype):
    Image.fromarray(np.ones((6, 6), dtype)).save(folder / "a" / "x.tif")
    with pytest.raises(ValueError, match="x.tif in the class a holds numbers of 32 bits, of which"):
        load_pictures(folder)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "L", "RGB"])
def test_what_is_transparent_becomes_white(folder, mode):
    """By an alpha channel, in part too, or by a value or a place of a palette that is nothing."""
    grey = mode in ("LA", "L")
    picture = Image.new("L" if grey else "RGB", (8, 8), "black")
    picture.paste("white" if grey else "red", (0, 0, 4, 8))
    options = {"transparency": 0}
    if mode in ("LA", "RGBA"):
        alpha = Image.new("L", (8, 8), 255)
        alpha.paste(0, (4, 0, 8, 8))
        picture.putalpha(alpha)
        options = {}
    elif mode == "RGB":
        options = {"transparency": (0, 0, 0)}
    elif mode == "P":
        picture = picture.quantize(2)
        options = {"transparency": picture.getpixel((7, 0))}
    picture.save(folder / "a" / "x.png", **options)
    save(folder / "b" / "y.png", np.zeros((8, 8)))
    images = load_pictures(folder, size=8).images
    assert images.shape[1] == (1 if grey else 3)
    assert (images[0, :, :, 6:] == 1).all() and (images[1] == -1).all()
    if not grey:
        torch.testing.assert_close(images[0, :, 4, 0], torch.tensor([1.0, -1, -1]))


def test_a_picture_that_is_transparent_in_part_is_mixed_with_white(folder):
    Image.new("RGBA", (6, 6), (255, 0, 0, 51)).save(folder / "a" / "x.png")
    save(folder / "b" / "y.png", np.zeros((6, 6)))
    image = load_pictures(folder, size=6).images[0]
    torch.testing.assert_close(image[:, 2, 2], torch.tensor([1.0, 0.6, 0.6]), atol=0.01, rtol=0)


def test_a_picture_that_lies_on_its_side_is_turned_upright(folder):
    pixels = np.zeros((6, 6))
    pixels[:, :3] = 255
    turned = Image.Exif()
    turned[0x0112] = 6  # turn it by a quarter to see it upright
    save(folder / "a" / "x.png", pixels, exif=turned)
    save(folder / "b" / "y.png", pixels)
    images = load_pictures(folder, size=6).images[:, 0]
    assert torch.equal(images[0], images[1].rot90(-1))


@pytest.mark.parametrize(
    ("spoil", "error", "sentence"),
    [
        (lambda f: None, ValueError, "load_pictures: the class a is empty in"),
        (lambda f: f.joinpath("a", "x.png").write_text("x"), ValueError,
         "load_pictures: x.png in the class a is no picture that can be read"),
        (lambda f: (f / "a" / "deep").mkdir(), ValueError, "deep in the class a is no picture"),
        (lambda f: [(f / name).rmdir() for name in "b"] + [(f / "a").rename(f / ".a")],
         ValueError, "has no subfolders, expected one for each class"),
    ],
)  # fmt: skip
def test_a_folder_that_does_not_fit_gets_one_sentence(folder, spoil, error, sentence):
    spoil(folder)
    with pytest.raises(error, match=sentence):
        load_pictures(folder)


def test_a_picture_that_was_cut_off_gets_one_sentence(folder):
    for name in ("a", "b"):
        save(folder / name / "x.png", np.random.default_rng(0).integers(0, 255, (40, 40)))
    path = folder / "b" / "x.png"
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ValueError, match="x.png in the class b is no picture that can be read"):
        load_pictures(folder)


def test_a_folder_that_is_not_there_gets_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="load_pictures: there is no folder"):
        load_pictures(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="load_pictures: size is 0"):
        load_pictures(tmp_path, size=0)
