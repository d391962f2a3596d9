"""Figures of answers on a grid: right answers, confusion, and bits of location that are not inflated."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_datasets.errors import OptionError
from qi_datasets.scores.grid import bits_of_location, grid_scores, mutual_information


@given(st.integers(2, 9), st.integers(2, 30), st.integers(0, 5))
def test_who_knows_every_cell_reads_all_bits(side: int, sources: int, shift: int) -> None:
    cells = side * side
    scores = grid_scores(np.tile((np.arange(cells) + shift) % cells, (1, sources, 1)))

    assert scores.bits.mean == pytest.approx(2 * math.log2(side))
    assert scores.accuracy.mean == (1 if shift % cells == 0 else 0)
    np.testing.assert_array_equal(scores.confusion.sum(1), np.ones(cells))


@pytest.mark.parametrize("cell", [0, 3])
def test_one_answer_to_all_reads_no_bit(cell: int) -> None:
    scores = grid_scores(np.full((2, 10, 4), cell))

    assert scores.bits == (0, 0, 0)
    assert scores.shares.tolist() == [float(number == cell) for number in range(4)]


def test_guessing_reads_no_bit_within_the_interval_though_the_plain_estimate_does() -> None:
    generator, cells, sources = np.random.default_rng(0), 9, 40
    within, plain, found = 0, [], []
    for _ in range(200):
        answers = generator.integers(0, cells, (1, sources, cells))
        scores = grid_scores(answers)
        counts = np.zeros((cells, cells))
        np.add.at(counts, (np.tile(np.arange(cells), sources), answers.ravel()), 1)
        plain.append(mutual_information(counts))
        found.append(scores.bits.mean)
        within += scores.bits.low <= 0.005
    assert np.mean(plain) > 0.1
    assert np.mean(found) < 0.03
    assert within > 180


def test_the_bits_of_a_noisy_channel_are_found_within_the_interval() -> None:
    generator, cells, sources, kept = np.random.default_rng(1), 4, 80, 0.7
    joint = np.full((cells, cells), (1 - kept) / cells / cells) + np.eye(cells) * kept / cells
    true, within = mutual_information(joint), 0
    for _ in range(100):
        noise = generator.integers(0, cells, (1, sources, cells))
        answers = np.where(generator.random(noise.shape) < kept, np.arange(cells), noise)
        bits = grid_scores(answers).bits
        within += bits.low <= true <= bits.high
    assert within >= 88


@pytest.mark.parametrize("rows", [1, 5])
def test_two_answers_for_a_row_count_as_the_confusion_says(rows: int) -> None:
    answers = np.array([[[0, 1, 2, 3], [0, 1, 3, 2]]] * rows)
    scores = grid_scores(answers)

    assert scores.confusion[2].tolist() == [0, 0, 0.5, 0.5]
    assert scores.shares.tolist() == [1, 1, 0.5, 0.5]
    assert scores.accuracy.mean == 0.75


@pytest.mark.parametrize(
    "answers", [np.zeros((1, 1, 4), int), np.zeros((2, 4), int), np.full((1, 2, 4), 4), -np.ones((1, 2, 4), int)]
)
def test_answers_that_can_not_be_are_refused(answers: Any) -> None:
    with pytest.raises(OptionError, match="answers must be cells"):
        grid_scores(answers)


def test_sources_of_equal_counts_have_no_error() -> None:
    counts = np.tile(np.eye(4), (7, 1, 1))

    assert bits_of_location(counts) == pytest.approx((2, 2, 2))
