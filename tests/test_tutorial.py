"""The tutorial's published figures, against what the same settings give over many seeds."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from readmes import TEXTS

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
from tutorial import PUBLISHED, experiment

SEEDS = 20
pytestmark = pytest.mark.campaign  # a minute, and what it shows hardly ever changes


@pytest.fixture(scope="module")
def ours() -> dict[str, pd.DataFrame]:
    return {which: experiment(which, SEEDS) for which in ("a", "b")}


@pytest.mark.parametrize("which", ["a", "b"])
def test_the_published_figures_are_likely_under_our_distribution(ours: dict[str, pd.DataFrame], which: str) -> None:
    """A published figure is one draw: it must lie where ours makes one more draw likely.

    For one more draw after n, (x - mean) / (s · √(1 + 1/n)) is Student's t with n - 1 degrees of freedom if figures are
    normal; 3.5 for 19 degrees leaves 2 in 1,000 outside, and there are eight figures.
    """
    for name in ("training accuracy", "training loss", "validation accuracy", "validation loss"):
        published, values = PUBLISHED.loc[which, name], ours[which][name]
        if not np.isnan(published):
            distance = abs(published - values.mean()) / (values.std() * np.sqrt(1 + 1 / SEEDS))
            assert distance < 3.5, f"{name}: {published} against {values.mean():.3f} ± {values.std():.3f}"


@pytest.mark.parametrize("which", ["a", "b"])
def test_the_published_final_learning_rates_are_ours_to_every_digit(ours: dict[str, pd.DataFrame], which: str) -> None:
    digits = {"a": 6, "b": 8}[which]
    assert {round(rate, digits) for rate in ours[which]["final learning rate"]} == {
        PUBLISHED.loc[which, "final learning rate"]
    }


def test_regularisation_wins_out_of_sample(ours: dict[str, pd.DataFrame]) -> None:
    """Paired by seed, (b) has lower validation loss and higher validation accuracy than (a)."""
    for name, sign in (("validation loss", -1), ("validation accuracy", 1)):
        gain = sign * (ours["b"][name] - ours["a"][name])
        # Three standard errors of the mean difference.
        assert gain.mean() > 3 * gain.std() / np.sqrt(SEEDS)


def test_the_tutorial_s_networks_really_train(ours: dict[str, pd.DataFrame]) -> None:
    """A network that learnt nothing has a loss of ln 3 = 1.0986 and an accuracy of one third."""
    for which in ("a", "b"):
        assert (ours[which]["training loss"] < 0.9).all()
        assert (ours[which]["training accuracy"] > 0.55).all()


def test_the_readme_shows_the_published_figures_and_ours(ours: dict[str, pd.DataFrame]) -> None:
    rows = dict(re.findall(r"^\| (\([ab]\) [a-z]+).*? \| (.*) \|$", TEXTS["tests/README.md"], re.M))
    for which in ("a", "b"):
        published = [np.nan if cell == "–" else float(cell) for cell in rows[f"({which}) published"].split(" | ")]
        np.testing.assert_array_equal(published, PUBLISHED.loc[which].to_numpy())
        for cell, name in zip(rows[f"({which}) ours"].split(" | "), PUBLISHED, strict=True):
            if name != "final learning rate":
                mean, deviation = map(float, cell.split(" ± "))
                # These seeds' mean, against that of forty: four standard errors of the former.
                assert abs(ours[which][name].mean() - mean) < 4 * deviation / np.sqrt(SEEDS)
