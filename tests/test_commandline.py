"""The command: what it writes, how it stops and goes on, and what it says to wrong input."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from dit_lesson import commandline
from dit_lesson.checkpoints import load_model, load_state, read_card
from dit_lesson.commandline import Training, loss_curve, main, parser, tiled
from dit_lesson.training import Run

SHORT = "--pixels --image-size 16 --patch-size 8 --steps 12 --every 5 --batch-size 4".split()


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Two classes of six pictures of several shapes and modes, one of them in colour."""
    rng, album = np.random.default_rng(0), tmp_path_factory.mktemp("album")
    for name, level in (("bright", 200), ("dark", 50)):
        folder = album / name
        folder.mkdir()
        for number in range(6):
            pixels = rng.integers(level - 40, level + 40, (20 + number, 17)).astype(np.uint8)
            picture = Image.fromarray(pixels)
            if name == "dark" and number == 3:
                picture = picture.convert("RGB")
            picture.save(folder / f"{number}.png")
    return album


@pytest.fixture
def pictures(album, tmp_path):
    """A copy of the pictures, to be spoiled."""
    return Path(shutil.copytree(album, tmp_path / "pictures"))


def command(pictures, output, *more):
    return ["--data", str(pictures), "--output", str(output), *SHORT, *more]


@pytest.fixture(scope="module")
def whole(album, tmp_path_factory):
    """The folder of a run that ended, not to be written to."""
    output = tmp_path_factory.mktemp("whole") / "run"
    assert main(command(album, output)) == 0
    return output


@pytest.fixture
def ended(whole, tmp_path):
    """A copy of that folder, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.fixture(scope="module")
def whole_in_latents(album, tmp_path_factory):
    """The same of a run in the latents of an autoencoder of its own."""
    output = tmp_path_factory.mktemp("whole") / "run"
    options = "--image-size 16 --steps 2 --batch-size 4 --autoencoder-steps 2".split()
    assert main(["--data", str(album), "--output", str(output), *options]) == 0
    return output


# --- what it writes ---------------------------------------------------------------------------


def test_pictures_become_a_model_samples_and_a_curve(pictures, tmp_path, capfd):
    output = tmp_path / "run"
    assert main(command(pictures, output)) == 0
    assert sorted(path.name for path in output.iterdir()) == [
        *("loss.png", "model.json", "model.safetensors", "run.pt"),
        *("samples-000005.png", "samples-000010.png", "samples-000012.png", "settings.json"),
    ]
    shown = capfd.readouterr()
    assert "12/12" in shown.err and f"are in {output}" in shown.out
    card, model = read_card("model", output), load_model("model", output)
    assert card["classes"] == ["bright", "dark"] and card["training"]["steps"] == 12
    answer = model(torch.randn(2, 3, 16, 16), torch.zeros(2), torch.tensor([0, 1]))
    assert answer.shape == (2, 3, 16, 16) and answer.any()
    with Image.open(output / "samples-000012.png") as samples:
        assert samples.size == (8 * 16, 2 * 16) and samples.mode == "RGB"


def test_the_same_seed_gives_the_same_model_and_another_another(pictures, whole, tmp_path):
    for name, seed in (("same", "0"), ("other", "1")):
        main(command(pictures, tmp_path / name, "--seed", seed))
    one, same, other = (
        (folder / "model.safetensors").read_bytes()
        for folder in (whole, tmp_path / "same", tmp_path / "other")
    )
    assert one == same != other


@pytest.mark.parametrize(
    ("options", "patch_size"),
    [
        ("--image-size 32", 2),  # of 8
        ("--image-size 36", 3),  # of 9
        ("--image-size 44", 1),  # of 11
        ("--image-size 4", 1),  # of 1
        ("--image-size 28 --pixels", 4),
        ("--image-size 32 --pixels", 4),
        ("--image-size 36 --pixels", 4),
        ("--image-size 72 --pixels", 9),
        ("--image-size 1 --pixels", 1),
    ],
)
def test_the_usual_patch_fits_every_side(pictures, tmp_path, options, patch_size):
    options = ["--data", str(pictures), "--output", str(tmp_path / "run"), *options.split()]
    options = parser().parse_args([*options, "--batch-size", "4"])
    assert Training(options).config.patch_size == patch_size


@pytest.mark.parametrize(
    ("size", "shape", "learning_rate", "ema_decay"),
    [
        ("tiny", (64, 3, 4), 1e-2, 0.995),
        ("small", (128, 4, 4), 3e-3, 0.995),
        ("S", (384, 12, 6), 1e-4, 0.9999),
    ],
)
def test_a_size_is_a_model_and_how_it_learns(
    album, tmp_path, size, shape, learning_rate, ema_decay
):
    options = command(album, tmp_path / "run", "--size", size)
    training = Training(parser().parse_args(options))
    config, recipe = training.config, training.recipe
    assert (config.hidden_size, config.depth, config.num_heads) == shape
    assert (recipe.learning_rate, recipe.ema_decay) == (learning_rate, ema_decay)
    assert config.embedding_init == ("paper" if size == "S" else "unit")


@pytest.mark.parametrize("design", ["in-context", "cross-attention", "adaln"])
def test_latents_of_an_autoencoder_of_the_pictures(pictures, tmp_path, design):
    output = tmp_path / "run"
    arguments = ["--data", str(pictures), "--output", str(output), "--design", design]
    arguments += "--image-size 16 --steps 2 --batch-size 4 --autoencoder-steps 2".split()
    assert main(arguments) == 0
    autoencoder = load_model("autoencoder", output)
    images = torch.zeros(1, 3, 16, 16)
    assert autoencoder.to_latents(images).shape == (1, 4, 4, 4)
    assert load_model("model", output).config.conditioning == design


def test_digits_are_learned_in_the_latents_of_the_shipped_autoencoder(tmp_path, monkeypatch):
    monkeypatch.setattr(commandline, "COPIES", 1)
    output = tmp_path / "run"
    assert main(["--output", str(output), "--steps", "3", "--guidance", "1"]) == 0
    config = load_model("model", output).config
    assert (config.in_channels, config.input_size, config.num_classes) == (8, 4, 10)
    with Image.open(output / "samples-000003.png") as samples:
        assert samples.size == (8 * 32, 10 * 32) and samples.mode == "L"


@pytest.mark.parametrize(("seconds", "steps"), [("4.2", 8), ("0.1", 1)])
def test_seconds_are_turned_into_steps_by_a_trial(album, tmp_path, monkeypatch, seconds, steps):
    ticks = iter([10.0, 15.0])  # ten steps of the trial take five seconds
    monkeypatch.setattr(commandline.time, "perf_counter", lambda: next(ticks))
    main(command(album, tmp_path / "run", "--seconds", seconds))
    assert read_card("model", tmp_path / "run")["training"]["steps"] == steps


def test_grey_pictures_are_shown_as_ink_on_paper_in_rows():
    images = torch.full((6, 1, 2, 2), -1.0)
    images[4, 0, 0, 1] = 1.0
    picture = np.asarray(tiled(images, rows=2))
    assert picture.shape == (4, 6)
    assert [(int(y), int(x)) for y, x in np.argwhere(picture == 0)] == [(2, 3)]
    assert (picture == 255).sum() == 23


def test_what_is_darker_than_black_or_lighter_than_white_is_shown_as_black_or_white():
    images = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])[:, None, None, None].expand(5, 3, 1, 1)
    assert np.asarray(tiled(images, rows=5))[:, 0, 0].tolist() == [0, 0, 128, 255, 255]


def test_the_curve_has_every_loss_and_their_running_mean():
    losses = np.arange(1.0, 101)
    every, mean = loss_curve(losses).axes[0].lines
    np.testing.assert_array_equal(every.get_xdata(), losses)
    np.testing.assert_array_equal(every.get_ydata(), losses)
    np.testing.assert_allclose(mean.get_ydata(), mean.get_xdata())  # of a line, the line itself
    assert mean.get_xdata()[[0, -1]].tolist() == [25.5, 75.5]


# --- how it stops and goes on -------------------------------------------------------------------


def do_at_step(monkeypatch, number, action):
    step = Run.step

    def watched(run):
        step(run)
        if run.steps_done == number:
            action()

    monkeypatch.setattr(Run, "step", watched)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_saves_and_says_how_to_go_on_and_the_model_is_the_same(
    pictures, whole, tmp_path, monkeypatch, capsys, number
):
    before = signal.getsignal(number)
    output = tmp_path / "run"
    with monkeypatch.context() as patch:
        do_at_step(patch, 7, lambda: os.kill(os.getpid(), number))
        assert main(command(pictures, output)) == 130
    assert f"saved at step 7 of 12; go on with --resume {output}" in capsys.readouterr().err
    assert signal.getsignal(number) == before
    assert load_state(output / "run.pt")["steps_done"] == 7
    assert main(["--resume", str(output)]) == 0
    for name in ("model.safetensors", "samples-000012.png"):
        assert (output / name).read_bytes() == (whole / name).read_bytes(), name


def test_ctrl_c_at_the_last_step_ends_the_run_as_if_nothing_was_asked(
    pictures, whole, tmp_path, monkeypatch
):
    output = tmp_path / "run"
    do_at_step(monkeypatch, 12, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert main(command(pictures, output)) == 0
    name = "model.safetensors"
    assert (output / name).read_bytes() == (whole / name).read_bytes()


def test_ctrl_c_while_pictures_are_loaded_stops_with_a_sentence(
    pictures, tmp_path, monkeypatch, capsys
):
    def stopped(*_):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(commandline, "load_pictures", stopped)
    assert main(command(pictures, tmp_path / "run")) == 130
    assert "stopped before anything was written" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_second_ctrl_c_stops_at_once(pictures, tmp_path):
    script = """
import os, signal, sys
from dit_lesson.commandline import main
from dit_lesson.training import Run
def step(run):
    for _ in range(2):
        print("asked", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
    print("went on", flush=True)
Run.step = step
main(sys.argv[1:])
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, *command(pictures, tmp_path / "run")],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == -signal.SIGINT and ended.stdout == "asked\nasked\n"
    assert "Traceback" not in ended.stderr


def test_an_autoencoder_goes_on_too(pictures, tmp_path, monkeypatch):
    options = "--image-size 16 --steps 4 --batch-size 4 --autoencoder-steps 6".split()
    options = ["--data", str(pictures), *options, "--output"]
    main([*options, str(tmp_path / "whole")])
    output = tmp_path / "run"
    for _ in range(2):  # in the autoencoder's run, and again in the model's
        with monkeypatch.context() as patch:
            do_at_step(patch, 3, lambda: os.kill(os.getpid(), signal.SIGINT))
            arguments = ["--resume", str(output)] if output.exists() else [*options, str(output)]
            assert main(arguments) == 130
    assert main(["--resume", str(output)]) == 0
    for name in ("autoencoder.safetensors", "model.safetensors"):
        assert (output / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_full_disk_leaves_what_was_saved_and_says_so(pictures, tmp_path, monkeypatch, capsys):
    output = tmp_path / "run"

    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        do_at_step(patch, 6, lambda: patch.setattr(os, "fsync", no_space))
        assert main(command(pictures, output)) == 1
    assert "could not read or write (No space left on device)" in capsys.readouterr().err
    assert load_state(output / "run.pt")["steps_done"] == 5
    assert not list(output.glob(".*"))
    assert main(["--resume", str(output)]) == 0


@pytest.mark.parametrize("name", ["samples-000010.png", "loss.png"])
def test_a_picture_that_could_not_be_written_is_not_there_by_half(
    pictures, tmp_path, monkeypatch, name
):
    output, replace = tmp_path / "run", os.replace

    def no_space(source, target):
        if target.name == name and target.with_name("samples-000005.png").exists():
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", no_space)
    assert main(command(pictures, output)) == 1
    for path in output.glob("*.png"):
        with Image.open(path) as picture:
            picture.load()
    assert not (output / "samples-000012.png").exists() and not list(output.glob(".*"))


def test_a_rate_that_is_too_high_stops_with_a_sentence(pictures, tmp_path, capsys):
    output = tmp_path / "run"
    assert main(command(pictures, output, "--learning-rate", "1e38")) == 1
    assert "loss is nan at step" in capsys.readouterr().err
    assert not (output / "model.safetensors").exists()


def test_a_rate_that_is_too_high_leaves_no_dead_run(pictures, tmp_path, capsys):
    output = tmp_path / "run"
    assert main(command(pictures, output, "--learning-rate", "1e30", "--every", "1")) == 1
    assert "is not finite or too large after step 0" in capsys.readouterr().err
    assert [path.name for path in output.iterdir()] == ["settings.json"]


def test_two_processes_killed_and_resumed_learn_what_one_learns(pictures, tmp_path):
    main(command(pictures, tmp_path / "one", "--steps", "60"))
    output, root = tmp_path / "two", Path(__file__).parents[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    launch += ["-m", "dit_lesson.training"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    arguments = [*launch, *command(pictures, output, "--steps", "60")]
    both = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, cwd=tmp_path)
    while not (output / "run.pt").exists():
        assert both.poll() is None, both.stderr.read().decode()
        time.sleep(0.01)  # the two learn on the cores that a test has
    psutil.Process(both.pid).children()[-1].kill()
    assert both.communicate() and both.returncode != 0
    assert 5 <= load_state(output / "run.pt")["steps_done"] < 60
    again = [*launch, "--resume", str(output)]
    subprocess.run(again, env=environment, check=True, capture_output=True, cwd=tmp_path)
    one, two = (load_state(tmp_path / name / "run.pt") for name in ("one", "two"))
    assert two["steps_done"] == 60
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-3, atol=1e-3)


# --- refusals -----------------------------------------------------------------------------------


def refused(arguments, capsys):
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:  # of argparse
        code = stop.code
    assert code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "dark" / "3.png").write_bytes(b"no picture"),
         "load_pictures: 3.png in the class dark is no picture that can be read"),
        (lambda folder: (folder / "empty").mkdir(), "load_pictures: the class empty is empty"),
        (lambda folder: folder.rename(folder.with_name("gone")), "there is no folder"),
        (lambda folder: folder.joinpath("bright").rename(folder.with_name("b"))
         and folder.joinpath("dark").rename(folder.with_name("d")), "has no subfolders"),
    ],
)  # fmt: skip
def test_a_wrong_folder_gets_a_sentence_and_nothing_is_written(
    pictures, tmp_path, capsys, spoil, sentence
):
    spoil(pictures)
    assert sentence in refused(command(pictures, tmp_path / "run"), capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--steps 0", "Recipe: steps is 0"),
        ("--batch-size 13", "batch_size is 13, expected at most the 12 rows"),
        ("--patch-size 0", "patch_size is 0, expected a whole number of at least 1"),
        ("--learning-rate 0", "Recipe: learning_rate is 0.0, expected a positive number"),
        ("--patch-size 5", "input_size 16 is not a multiple of patch_size 5"),
        ("--every 0", "--every: steps is 0, expected a whole number of at least 1"),
        ("--autoencoder-steps 0", "--autoencoder-steps: steps is 0, expected a whole number"),
        ("--seconds -1", "--seconds is -1.0, expected a positive number"),
        ("--design adaln-one", "invalid choice: 'adaln-one'"),
        ("--guidance nan", "--guidance: scale is nan"),
    ],
)
def test_a_wrong_option_gets_a_sentence_and_nothing_is_written(
    pictures, tmp_path, capsys, options, sentence
):
    assert sentence in refused(command(pictures, tmp_path / "run", *options.split()), capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="here there is a CUDA device")
def test_a_device_that_is_not_there_gets_a_sentence(tmp_path, capsys):
    said = refused(["--device", "cuda", "--output", tmp_path / "run"], capsys)
    assert "--device cuda is not available here" in said


def test_a_folder_that_is_in_use_is_left_alone(pictures, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("mine")
    assert "is not empty, expected a new folder" in refused(
        command(pictures, tmp_path / "run"), capsys
    )
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]


def test_resume_takes_a_run_and_nothing_else(pictures, tmp_path, capsys):
    assert "holds no run" in refused(["--resume", tmp_path], capsys)
    for others in (["--steps", 3], ["--pixels"], ["--steps=1000"]):
        said = refused([f"--resume={tmp_path}", *others], capsys)
        assert "takes all settings from the folder" in said


@pytest.mark.parametrize("content", [
    *("", "{", "[]", "3", "{}", '{"steps": 12}'),
    *({"steps": "many"}, {"size": "huge"}, {"data": 3}, {"seed": [0]}, {"patch_size": 0}),
])  # fmt: skip
def test_settings_of_a_wrong_shape_get_a_sentence(ended, capsys, content):
    settings = ended / "settings.json"
    if isinstance(content, dict):
        content = json.dumps(json.loads(settings.read_text()) | content)
    settings.write_text(content)
    said = refused(["--resume", ended], capsys).strip()
    sentences = ("settings.json is damaged or holds no settings", "no folder 3", "patch_size is 0")
    assert "\n" not in said and any(sentence in said for sentence in sentences)


def foreign(content):
    """Files that torch reads, and that are no run."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.mark.parametrize("damage", [
    lambda content: b"", lambda content: b"no state", lambda content: content[:2000],
    lambda content: content[:-1], lambda content: content[5000:],
    lambda content: content.replace(content[9000:9004], b"bits", 1),
    lambda content: foreign([1, 2]), lambda content: foreign({"steps_done": 3}),
    lambda content: foreign({"model": {"weight": torch.ones(2)}}),
])  # fmt: skip
def test_a_damaged_or_foreign_run_gets_a_true_sentence(ended, capsys, damage):
    (ended / "run.pt").write_bytes(damage((ended / "run.pt").read_bytes()))
    assert main(["--resume", str(ended)]) == 1
    said = capsys.readouterr().err
    assert "run.pt is damaged or no state of a run" in said or "run.pt has no" in said


@pytest.mark.parametrize("name", ["autoencoder.json", "autoencoder.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}"])
def test_a_damaged_autoencoder_gets_a_sentence(whole_in_latents, tmp_path, capsys, name, content):
    output = Path(shutil.copytree(whole_in_latents, tmp_path / "run"))
    if content is None:
        (output / name).unlink()
    else:
        (output / name).write_bytes(content)
    (output / "run.pt").unlink()
    code, said = main(["--resume", str(output)]), capsys.readouterr().err
    if name == "autoencoder.json" and content is None:
        assert code == 0  # it is made again from its run
    else:
        assert code == 1 and f"{name} is" in said


@pytest.mark.parametrize("output", ["taken", "taken/run"])
def test_an_output_that_can_be_no_folder_gets_a_sentence(pictures, tmp_path, capsys, output):
    (tmp_path / "taken").write_text("mine")
    said = refused(command(pictures, tmp_path / output), capsys)
    assert f"{tmp_path / 'taken'} is no folder, expected a new folder" in said


def test_resume_notices_that_the_pictures_changed(pictures, tmp_path, capsys):
    output = tmp_path / "run"
    main(command(pictures, output))
    (pictures / "dark" / "5.png").unlink()
    assert main(["--resume", str(output)]) == 1
    assert "was saved by a run on other data" in capsys.readouterr().err


def test_the_settings_are_kept_as_they_were_asked_for(album, whole):
    settings = json.loads((whole / "settings.json").read_text())
    assert settings["steps"] == 12 and settings["data"] == str(album)
    assert "resume" not in settings
