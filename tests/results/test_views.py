"""The tables as people read them: what a file has, in another order, and in the unit of what is predicted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import FINALS, SMALL

import hpsearch
from hpsearch.numbers import readable, rounded
from hpsearch.results import tables, views
from hpsearch.results.metrics_table import metrics_table
from hpsearch.storage.stored_study import StoredStudy

REGRESSION = {
    "nnfs:spiral": "nnfs:sine",
    "samples = 20": "samples = 40",
    "[search]": "[retrain]\nmembers = 1\n\n[search]",
    "finalists = 0": FINALS,
}


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A study of classes and one of a regression target, by name."""
    folder = tmp_path_factory.mktemp("views")
    regression = SMALL.replace('"small"', '"sine"')
    for old, new in REGRESSION.items():
        regression = regression.replace(old, new)
    url = f"sqlite:///{folder / 'studies.db'}"
    for name, text in (("small", SMALL), ("sine", regression)):
        (folder / f"{name}.toml").write_text(text)
        hpsearch.run(folder / f"{name}.toml", storage=url, trials=3)
    return dict.fromkeys(("small", "sine"), url)


def of(urls: dict[str, str], name: str) -> StoredStudy:
    return hpsearch.api.open_study(name, urls[name])


KINDS = {
    "trials": (views.trials_view, tables.trials_table),
    "folds": (views.folds_view, tables.folds_table),
    "curves": (views.curves_view, tables.curves_table),
    "finals": (views.finals_view, tables.finals_table),
    "metrics": (views.metrics_view, metrics_table),
}


@pytest.mark.parametrize("name", ["small", "sine"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_view_has_every_column_of_its_table_as_it_is(urls: dict[str, str], name: str, kind: str) -> None:
    view, table = KINDS[kind]
    with of(urls, name) as stored:
        shown, whole = view(stored), table(stored)
    pd.testing.assert_frame_equal(shown[whole.columns.tolist()], whole)
    more = set(shown.columns) - set(whole.columns)
    assert more == (set() if name == "small" or kind == "metrics" else more)
    assert all("rmse" in column for column in more)


def test_what_was_searched_comes_before_what_is_derived(urls: dict[str, str]) -> None:
    for name, value in (("small", "value"), ("sine", "rmse")):
        with of(urls, name) as stored:
            columns = views.trials_view(stored, front_only=True).columns.tolist()
            value = "value" if stored.metric.root is None else "rmse"
            assert columns[columns.index(value) + 1] == "parameters"  # of a front, what it is a front of
            columns = views.trials_view(stored).columns.tolist()
            searched = list(stored.attributes["hyperparameters"])
        assert columns[: 3 + len(searched)] == ["number", "state", value, *searched]


def test_a_root_stands_before_what_it_is_of(urls: dict[str, str]) -> None:
    with of(urls, "sine") as stored:
        pairs = [
            (views.trials_view(stored), "rmse", "value"),
            (views.folds_view(stored), "rmse", "validation_loss"),
            (views.curves_view(stored), "training_rmse", "training_loss"),
            (views.curves_view(stored), "validation_rmse", "validation_loss"),
            (views.finals_view(stored), "ensemble_rmse", "ensemble"),
            (views.metrics_view(stored), "rmse", "mse"),
        ]
    for table, root, square in pairs:
        assert table.columns.get_loc(root) < table.columns.get_loc(square)
        np.testing.assert_allclose(table[root] ** 2, table[square], rtol=1e-6)


def test_a_prompt_shows_the_root_of_a_mean_of_squares(urls: dict[str, str]) -> None:
    study = hpsearch.StudyResult("sine", urls["sine"])
    confirmed, model, curves = hpsearch.confirm(study, top=1, repeats=1), study.retrain(), study.curves
    (one,) = confirmed.trials
    assert one.objective is not None
    assert repr(confirmed).endswith(f"fresh splits, RMSE: trial {one.trial} {readable(one.objective.mean**0.5)}")
    assert f">{rounded(one.objective.mean**0.5)}<" in confirmed._repr_html_()
    assert f"training: RMSE {readable(model.about['training']['loss'] ** 0.5)}, R² " in repr(model)
    html = study.best._repr_html_()
    assert "RMSE over the splits" in html
    best = curves[curves["trial"] == study.best.result.number].groupby("epoch")
    least = float(best[["training_loss", "validation_loss"]].mean().min().min())
    assert f">{rounded(least**0.5)}<" in html


def test_studies_are_listed_with_their_scores_as_headlines_show_them(urls: dict[str, str]) -> None:
    shown = views.studies_view(urls["sine"]).set_index("study")
    whole = tables.studies_table(urls["sine"]).set_index("study")
    assert shown["score"].to_dict() == {"small": "validation loss", "sine": "RMSE"}
    for name in ("best_value", "corrected", "corrected_low", "corrected_high"):
        assert shown.loc["small", name] == whole.loc["small", name]
        assert shown.loc["sine", name] == pytest.approx(whole.loc["sine", name] ** 0.5)
    assert shown["trials"].to_dict() == whole["trials"].to_dict()
