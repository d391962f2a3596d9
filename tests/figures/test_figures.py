"""Figures show what was measured, in both looks, and every file is written."""

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")
pytest.importorskip("torch")

from qi_datasets.errors import OptionError
from qi_datasets.evaluation.paper_figures import paper_curve
from qi_datasets.figures import (
    FIGURES,
    accuracy_by_border,
    corner_paddings,
    data_efficiency,
    location_map,
    qi_borders,
    qi_samples,
    rook_training,
    shift_and_convolve,
    write_figures,
)
from qi_datasets.figures.convolution import train_film
from qi_datasets.figures.look import LOOKS
from qi_datasets.protocols.rook import EPOCHS, train_rook
from qi_datasets.specs import QI
from tests.refusals import refused

LOOK_NAMES = list(LOOKS)


def texts_of(figure):
    """Returns every text in a figure."""
    return {text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text"))}


@pytest.mark.parametrize("padding", ["same", "full"])
def test_the_film_ends_where_training_by_the_protocol_does(padding):
    from qi_datasets.figures.convolution import images_of
    from qi_datasets.specs import ROOK

    film = train_film(padding)
    runs = train_rook(images_of(ROOK), padding, [0])

    assert len(film) == EPOCHS + 1
    np.testing.assert_allclose(film[-1].filter, runs.filters[0], atol=1e-3)
    assert film[-1].right == (2 if padding == "same" else 1)
    assert film[-1].loss == pytest.approx(0 if padding == "same" else np.log(2), abs=0.02)


def test_the_last_frame_separates_the_classes_with_same_padding_alone():
    same, full = train_film("same")[-1], train_film("full")[-1]
    cropped = same.responses[:, 2:-2, 2:-2].max((1, 2))

    np.testing.assert_allclose(same.responses.max((1, 2)), same.responses.max(), rtol=1e-5)
    assert cropped.min() < 0.01 * cropped.max()
    assert np.array_equal(full.responses[0].max(), full.responses[1].max())


@pytest.mark.crossed
@pytest.mark.parametrize("look", LOOK_NAMES)
@pytest.mark.parametrize("draw", [rook_training, shift_and_convolve, corner_paddings, data_efficiency])
def test_a_figure_has_its_looks_background_and_the_size_of_a_slide(draw, look):
    figure = draw(look=look)
    figure.canvas.draw()

    assert tuple(figure.get_size_inches() * figure.dpi) == (1920, 1080)
    assert "#{:02x}{:02x}{:02x}".format(*(round(255 * part) for part in figure.get_facecolor()[:3])) == (
        LOOKS[look].paper
    )


def test_shifting_commutes_with_full_convolution_alone():
    differences = sorted(text for text in texts_of(shift_and_convolve()) if text.startswith("difference"))

    assert differences[0] == "difference, at most 0.00"
    assert differences[1] > "difference, at most 1"


def test_the_corner_figure_has_the_maxima_of_the_specification():
    figure = corner_paddings()
    maxima = [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()]

    assert maxima == ["max 0", "max 0", "max 1", "max 1", "max 1", "max 1"]


def test_without_entries_the_papers_curves_are_drawn_and_the_figure_says_so():
    figure = accuracy_by_border()
    drawn = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}

    np.testing.assert_allclose(drawn["resnet18"], [100 * share for share in paper_curve("resnet18", "random").values()])
    assert any(text.startswith("No entries were given") for text in texts_of(figure))


def test_the_map_has_the_shares_in_their_cells():
    shares = np.linspace(0, 1, 9).reshape(3, 3)
    figure = location_map(shares, bits=1.5)

    placed = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert placed[(2, 0)] == "25"
    assert placed[(0, 2)] == "75"
    assert {"1.50 bits", "of location, of 3.17"} <= texts_of(figure)


@pytest.mark.parametrize("shares", [np.zeros((2, 3)), np.zeros(4), np.full((2, 2), 1.1), np.full((2, 2), np.nan)])
def test_a_map_of_anything_but_a_square_of_shares_is_refused(shares):
    with pytest.raises(OptionError, match="square"):
        location_map(shares)


@pytest.mark.parametrize("epoch", [-1, EPOCHS + 1])
def test_an_epoch_that_training_does_not_have_is_refused(epoch):
    with pytest.raises(OptionError, match="epoch"):
        rook_training(epoch)


def test_an_unknown_look_is_refused():
    with pytest.raises(OptionError, match="light, dark"):
        data_efficiency(look="sepia")


def test_every_file_is_written_and_what_is_missing_is_said(tmp_path):
    files, notes = write_figures(
        tmp_path,
        names=["corner-paddings", "qi-samples", "accuracy-by-border"],
        looks=["dark"],
        output=tmp_path / "none",
    )

    assert sorted(file.name for file in files) == [
        "accuracy-by-border-dark.png",
        "accuracy-by-border-dark.svg",
        "corner-paddings-dark.png",
        "corner-paddings-dark.svg",
    ]
    assert sorted(note.split(" ")[0] for note in notes) == ["accuracy-by-border", "qi-samples"]
    assert all(file.stat().st_size > 1000 for file in files)
    with Image.open(tmp_path / "corner-paddings-dark.png") as image:
        assert image.size == (1920, 1080)


def test_the_film_moves_and_ends_with_a_pause(tmp_path, monkeypatch):
    from qi_datasets.figures import write

    monkeypatch.setattr(write, "FILM_EPOCHS", (0, 5, EPOCHS))
    files, _ = write_figures(tmp_path, names=["rook-training"], looks=["light"])

    assert [file.name for file in files] == ["rook-training-light.png", "rook-training-light.webp"]
    with Image.open(files[-1]) as film:
        assert (film.n_frames, film.size) == (3, (1280, 720))
        frames = []
        for frame in range(3):
            film.seek(frame)
            frames.append(np.asarray(film.convert("RGB")))
        assert film.info["duration"] > 1000
    assert (frames[0] != frames[1]).any()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"names": ["rok-training"]}, "did you mean 'rook-training'"),
        ({"looks": ["grey"]}, "look must be one of"),
        ({"demo": True, "output": "sets"}, "leave output and entries out"),
        ({"demo": True, "entries": ["entries"]}, "leave output and entries out"),
    ],
)
def test_what_can_not_be_drawn_is_refused_before_anything_is_written(tmp_path, options, said):
    with pytest.raises(OptionError, match=said):
        write_figures(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_samples_are_the_pixels_of_the_set(small_qi):
    from qi_datasets import load_dataset

    figure = qi_samples(1, output=small_qi)
    rows = load_dataset("qi", split="test", output=small_qi)

    for label, axes in enumerate(figure.axes):
        np.testing.assert_array_equal(axes.images[0].get_array(), np.asarray(rows[label]["image"]))


def test_borders_are_drawn_with_their_images(small_qi):
    figure = qi_borders(output=small_qi)

    sides = [axes.images[0].get_array().shape[0] for axes in figure.axes]
    assert sides == 2 * [QI.size + 2 * border for border in QI.borders]
    with pytest.raises(OptionError, match="source must be"):
        qi_borders(10_000, output=small_qi)


def test_curves_of_entries_are_drawn_as_measured_and_more_than_six_take_a_second_figure(project_entries):
    from qi_datasets.figures.write import Material
    from qi_datasets.leaderboard.collection import collect

    found = [entry for entry in collect([project_entries]).found if entry.task == QI.name]
    figures = list(FIGURES["accuracy-by-border"].draw(Material(entries=found), "light"))

    drawn = [container for figure in figures for container in figure.axes[0].containers]
    expected = [
        [100 * at["accuracy"] for at in figures["borders"].values()]
        for entry in found
        for figures in entry.figures.values()
    ]
    assert [list(container.lines[0].get_ydata()) for container in drawn] == [pytest.approx(each) for each in expected]
    assert len(figures) == -(-len(expected) // 6)
    with refused(OptionError, "too-many", match="be distinguished"):
        accuracy_by_border(found)


@pytest.fixture(scope="module")
def project_entries():
    from pathlib import Path

    return Path(__file__).parents[2] / "cards" / "entries"
