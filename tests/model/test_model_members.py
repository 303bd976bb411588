"""Ensembles: members alone are members together; their average loses no more; how far they disagree."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Outcome
from random_bundles import random_bundle, random_raws

import hpsearch as package
from hpsearch import Bundle, BundleError, DefinitionError, DivergedError, seeds
from hpsearch.data.dataset import Dataset
from hpsearch.model.fit import EarlyStopping, Fit, ResumableEnsemble, fit, set_aside
from hpsearch.model.predict_file import predict_file
from hpsearch.model.retrain import fit_prepared
from hpsearch.nn.losses import LOSSES
from hpsearch.nn.trainer import Checkpoint
from hpsearch.results.best_study import export
from hpsearch.results.nested import outer_studies
from hpsearch.search.objective import prepare
from hpsearch.validation.config import Config

Call = Callable[..., Outcome]

each_seed = pytest.mark.parametrize("seed", [0, 7])
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
STOPPING = EarlyStopping(validation_fraction=0.25, patience=4, tolerance=0.0)


def rows_for(loss: str, seed: int = 0, count: int = 90) -> Dataset:
    """Noisy rows, so that networks disagree; two classes, three, or numbers far from 0."""
    draw = np.random.default_rng(seed)
    features = draw.standard_normal((count, 3))
    signal = features @ [1.0, -1.0, 0.5] + draw.normal(0, 1.5, count)
    if LOSSES[loss].regression:
        return Dataset.of(features, 300 + 40 * signal, task="regression")
    edges = [0.0] if loss == "binary_cross_entropy" else [-0.7, 0.7]
    return Dataset.of(features, np.digitize(signal, edges))


def config(loss: str = "cross_entropy", **values: Any) -> Config:
    base = {"neurons": (8, 4), "epochs": 12, "evaluate_every": 2, "batch_size": 16, "init": "he", "loss": loss}
    return Config.model_validate({**base, "dropout": 0.1, "learning_rate": 0.02, **values})


def alone(config: Config, data: Dataset, seed: int, member: int) -> ResumableEnsemble:
    """One member by itself."""
    ensemble = ResumableEnsemble.initial(config, data, seed, [member])
    assert all(not point.diverged.any() for point in ensemble.train(config, data))
    return ensemble


@each_seed
@each_dtype
@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize(("batch_size", "scaling"), [(16, "standard"), (16, "power"), ("full", "standard")])
def test_members_alone_have_the_bits_of_members_together(
    batch_size: Any, scaling: str, loss: str, dtype: str, seed: int
) -> None:
    train, data = config(loss, batch_size=batch_size, scaling=scaling, dtype=dtype), rows_for(loss)
    together = fit(train, data, seed, members=3)
    assert together.ensemble.parameters.shape[0] == together.ensemble.members == 3
    for member in range(3):
        by_itself = alone(train, data, seed, member).parameters
        assert together.ensemble.parameters[member].tobytes() == by_itself.tobytes()
    single = fit(train, data, seed)
    assert single.ensemble.parameters.tobytes() == together.ensemble.parameters[:1].tobytes(), "member 0 is the network"
    assert len({row.tobytes() for row in together.ensemble.parameters}) == 3
    bundle, first = together.ensemble.bundle(data, {}), single.ensemble.bundle(data, {})
    assert bundle.member_predictions(data.features)[0].tobytes() == first.predictions(data.features).tobytes()


@each_dtype
def test_members_alone_have_the_bits_of_members_together_where_lanes_are_grouped(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, data = config(dtype=dtype, optimizer="adam", decay=1e-3), rows_for("cross_entropy")
    whole = fit(train, data, 3, members=5).ensemble
    monkeypatch.setattr("hpsearch.nn.trainer.CACHE_BYTES", 1)  # each lane is a group
    grouped = fit(train, data, 3, members=5).ensemble
    assert grouped.parameters.tobytes() == whole.parameters.tobytes()
    assert grouped.descent.step == whole.descent.step == 12 * 6
    for ours, theirs in zip((grouped.descent.state or ())[:2], (whole.descent.state or ())[:2], strict=True):
        assert ours.tobytes() == theirs.tobytes()  # the third only holds what an update computes on its way
    assert len(whole.descent.state or ()) == 3
    longer = fit(train.replaced({"epochs": 20}), data, 3, members=5).ensemble
    assert len(list(grouped.train(train.replaced({"epochs": 8}), data))) == 4
    assert grouped.parameters.tobytes() == longer.parameters.tobytes(), "grouped or not, training goes on"


@each_seed
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_the_average_loses_no_more_than_the_members_do_on_average(loss: str, seed: int) -> None:
    data, new = rows_for(loss, seed), rows_for(loss, seed + 100, 400)
    bundle = fit(config(loss, epochs=40, dtype="float64"), data, seed, members=4).ensemble.bundle(data, {})
    for rows in (data, new):
        members = [replace(bundle, parameters=bundle.parameters[m : m + 1]).row_losses(rows) for m in range(4)]
        mean = np.mean(members, axis=0)
        assert (bundle.row_losses(rows) <= mean + 1e-12 * (1 + mean)).all()
        assert bundle.row_losses(rows).mean() < mean.mean()


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_predictions_are_the_mean_of_the_members_and_the_spread_their_deviation(loss: str) -> None:
    bundle = random_bundle(loss, dtype="float64", members=4)
    features, _ = bundle.plan.expand(random_raws(bundle, 700))
    each = np.stack([replace(bundle, parameters=row[np.newaxis]).predictions(features) for row in bundle.parameters])
    np.testing.assert_array_equal(bundle.member_predictions(features), each)
    predictions = bundle.predictions(features)
    np.testing.assert_allclose(predictions, each.mean(axis=0), rtol=1e-12)
    chosen = predictions.argmax(axis=1)
    expected = [np.std(each[:, row, chosen[row]], ddof=1) for row in range(700)]
    spread = bundle.spread_of(each)
    np.testing.assert_allclose(spread, expected, rtol=1e-9)
    assert spread.shape == (700,)
    assert (spread > 0).all()
    if bundle.class_names:
        np.testing.assert_allclose(predictions.sum(axis=1), 1, rtol=1e-12)


def test_a_single_member_has_nothing_to_disagree_with() -> None:
    bundle = random_bundle()
    with pytest.raises(BundleError, match=r"several members.* has one\. Retrain it with more members"):
        bundle.spread(np.zeros((1, len(bundle.plan.names))))


# --- early stopping


@each_seed
@each_dtype
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_every_member_keeps_the_one_checkpoint_where_the_average_validates_best(
    loss: str, dtype: str, seed: int
) -> None:
    train, data = config(loss, epochs=60, learning_rate=0.05, dtype=dtype), rows_for(loss, seed)
    stopped = fit(train, data, seed, members=3, early_stopping=STOPPING)
    losses = stopped.validation_losses
    best = int(np.argmin(losses))
    training, validation = map(data.take, set_aside(data, STOPPING.validation_fraction, seed))
    shorter = train.replaced({"epochs": stopped.checkpoints[best].epoch})
    for member in range(3):
        kept = stopped.ensemble.parameters[member]
        assert kept.tobytes() == alone(shorter, training, seed, member).parameters.tobytes()
    score = stopped.ensemble.bundle(data, {}).row_losses(validation).mean()
    assert losses[best] == pytest.approx(score, rel=1e-5)
    assert len(losses) == len(stopped.checkpoints) <= best + STOPPING.patience + 1


# --- members that diverge


def initially_lost(monkeypatch: pytest.MonkeyPatch, *repeats: int) -> None:
    """Members of these repeats begin with weights that no network comes back from."""
    drawn = seeds.generator

    class Lost:
        def standard_normal(self, count: int) -> Any:
            return np.full(count, 1e30)

    def generator(seed: int, stream: str, repeat: int = 0, split: int = 0) -> Any:
        return Lost() if stream == "retrain-weights" and repeat in repeats else drawn(seed, stream, repeat, split)

    monkeypatch.setattr(seeds, "generator", generator)


DIVERGING: dict[str, tuple[tuple[int, ...], int, list[int]]] = {
    "one": ((1,), 1, [0, 3, 2]),
    "one twice": ((1, 3), 2, [0, 4, 2]),
    "two": ((0, 2), 2, [3, 1, 4]),
    "two, one of them twice": ((0, 2, 3), 3, [5, 1, 4]),
    "all": ((0, 1, 2), 3, [3, 4, 5]),
}


@pytest.mark.parametrize("case", DIVERGING)
@pytest.mark.parametrize("early_stopping", [None, STOPPING])
def test_a_member_that_diverges_is_trained_again_from_the_next_seed(
    case: str, early_stopping: EarlyStopping | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, again, members = DIVERGING[case]
    train, data = config(), rows_for("cross_entropy")
    initially_lost(monkeypatch, *lost)
    done = fit(train, data, 2, members=3, early_stopping=early_stopping)
    assert done.trained_again == again
    assert not done.diverged.any()
    if early_stopping is None:
        for place, member in enumerate(members):
            assert done.ensemble.parameters[place].tobytes() == alone(train, data, 2, member).parameters.tobytes()


@pytest.mark.parametrize("early_stopping", [None, STOPPING])
@pytest.mark.parametrize(("members", "lost"), [(1, (0, 1, 2)), (3, (1, 3, 4))])
def test_a_member_that_diverges_with_three_seeds_ends_it(
    members: int, lost: tuple[int, ...], early_stopping: EarlyStopping | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    initially_lost(monkeypatch, *lost)
    with pytest.raises(DivergedError) as refused:
        fit(config(), rows_for("cross_entropy"), 2, members=members, early_stopping=early_stopping)
    line = str(refused.value)
    assert "must keep a finite loss" in line
    assert "with 3 seeds in turn" in line
    assert ("of 1 of 3 networks" in line) == (members == 3)


def test_a_loss_that_was_infinite_once_is_a_divergence_though_it_came_back() -> None:
    ensemble = ResumableEnsemble.initial(config(), rows_for("cross_entropy"), 0, range(3))
    losses = [[1.0, 1.0, 1.0], [0.9, np.inf, 0.8], [0.8, 0.7, 0.7]]
    points = [Checkpoint(epoch, np.ones(3), np.array(of_lanes), np.zeros(3)) for epoch, of_lanes in enumerate(losses)]
    assert Fit(ensemble, points).diverged.tolist() == [False, True, False]


def test_where_all_members_have_diverged_training_ends() -> None:
    train, data = config(learning_rate=1e30, optimizer="sgd", epochs=1000), rows_for("cross_entropy")
    ensemble = ResumableEnsemble.initial(train, data, 0, range(3))
    points = list(ensemble.train(train, data))
    assert points[-1].diverged.all()
    assert len(points) < 10


# --- what a study file says


def study(**retrain: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {"study": {"name": "x", "seed": 3}, "data": {"source": "sklearn:iris"}}
    raw |= {"train": {"neurons": 5, "epochs": 10, "init": "he"}, "holdout": {"fraction": 0.2}}
    return {**raw, "retrain": retrain} if retrain else raw


def test_members_are_no_part_of_what_a_study_or_a_configuration_is() -> None:
    ours, theirs = (package.StudyDefinition.from_mapping(raw) for raw in (study(), study(members=3)))
    assert ours.retrain.members == 8
    assert theirs.retrain.members == 3
    assert ours.identity() == theirs.identity()
    assert not any("retrain" in key or "members" in key for key in ours.identity())
    assert ours.train.fingerprint == theirs.train.fingerprint


@pytest.mark.parametrize("members", [0, -1, 65, 2.0, "8", True])
def test_members_out_of_range_are_refused(members: Any) -> None:
    with pytest.raises(DefinitionError, match=r"\[retrain\] members must be"):
        package.StudyDefinition.from_mapping(study(members=members))
    with pytest.raises(DefinitionError, match="members must be"):
        package.retrain(package.StudyDefinition.from_mapping(study()), members=members)


def test_retrain_fits_the_members_of_the_file_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    definition = package.StudyDefinition.from_mapping(study(members=3))
    three, two, one = (package.retrain(definition, members=members) for members in (None, 2, 1))
    assert [model.members for model in (three, two, one)] == [3, 2, 1]
    assert three.parameters[:2].tobytes() == two.parameters.tobytes()
    assert two.parameters[:1].tobytes() == one.parameters.tobytes()
    assert (three.about["members"], three.about["trained_again"]) == (3, 0)
    held_out = prepare(definition).held_out
    assert held_out is not None
    for model in (three, two, one):
        score = model.score(held_out)
        assert model.about["holdout"]["loss"] == pytest.approx(score["loss"])
        assert model.about["holdout"]["accuracy"] == score["accuracy"]


def test_nested_cross_validation_scores_what_would_be_shipped() -> None:
    prepared = prepare(package.StudyDefinition.from_mapping(study(members=3)))
    for _, inner in outer_studies(prepared, 2):
        assert fit_prepared(inner, inner.definition.train).members == 3


def test_an_exported_configuration_has_the_members_of_its_study(small: Path, hpsearch: Call) -> None:
    found = package.run(small, trials=2)
    export(found.best, small.parent / "without.toml")
    assert "[retrain]" not in Path("without.toml").read_text()
    assert found.retrain(members=1).members == 1
    small.write_text(small.read_text() + "\n[retrain]\nmembers = 2\n")
    assert package.run(small, trials=3).retrain().members == 2, "what a study is is the same"
    assert hpsearch("best", "small", "-o", "best.toml").status == 0
    assert package.StudyDefinition.from_file("best.toml").retrain.members == 2


# --- the commands


@pytest.mark.parametrize(("source", "column"), [("iris", "class"), ("diabetes", "prediction")])
def test_the_commands_train_members_and_say_how_far_they_disagree(
    source: str, column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hpsearch: Call
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text(
        f'[study]\nname = "x"\n[data]\nsource = "sklearn:{source}"\n[train]\nepochs = 10\ninit = "he"\n'
    )
    done = hpsearch("retrain", "study.toml", "--members", "3")
    assert done.status == 0, done.err
    assert "Trained 3 networks, whose predictions are averaged, for 10 epochs" in done.out
    model = Bundle.load("model")
    assert model.members == 3
    rows = prepare(package.StudyDefinition.from_file("study.toml")).search.features[:20]
    pd.DataFrame(rows, columns=list(model.plan.names)).to_csv("rows.csv", index=False)
    without, with_spread = (hpsearch("predict", "model", "rows.csv", "--json", *more) for more in ((), ("--spread",)))
    assert (without.status, with_spread.status) == (0, 0), with_spread.err
    plain, spread = json.loads(without.out), json.loads(with_spread.out)
    assert [{key: value for key, value in row.items() if key != "spread"} for row in spread] == plain
    assert list(spread[0]) == [*plain[0], "spread"]
    frame = pd.read_csv("rows.csv")
    np.testing.assert_allclose([row["spread"] for row in spread], model.spread(frame), rtol=1e-5)
    assert predict_file(model, Path("rows.csv"), spread=True).columns[0] == column
    assert package.export("model").largest_difference < 1e-5

    done = hpsearch("retrain", "study.toml", "--members", "1", "-o", "one", "--json")
    assert json.loads(done.out)["members"] == 1
    refused = hpsearch("predict", "one", "rows.csv", "--spread")
    assert (refused.status, refused.out) == (2, "")
    assert "must have several members for how far they disagree, but has one." in refused.err
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize("members", ["0", "65", "many"])
def test_the_command_refuses_members_out_of_range(members: str, small: Path, hpsearch: Call) -> None:
    text = small.read_text()
    small.write_text(text[: text.index("[space]")])
    done = hpsearch("retrain", small, "--members", members)
    assert (done.status, done.out) == (2, "")
    assert "members" in done.err
    assert not Path("model").exists()
    if members != "many":
        assert done.err.count("\n") == 1


def test_a_member_trained_again_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hpsearch: Call) -> None:
    monkeypatch.chdir(tmp_path)
    Path("study.toml").write_text('[study]\nname = "x"\n[data]\nsource = "sklearn:iris"\n[train]\nepochs = 5\n')
    initially_lost(monkeypatch, 1)
    done = hpsearch("retrain", "study.toml", "--members", "2")
    assert done.status == 0, done.err
    assert "A training diverged once and was begun again with the next seed." in done.out
    assert Bundle.load("model").about["trained_again"] == 1
    initially_lost(monkeypatch, *range(10))
    done = hpsearch("retrain", "study.toml", "--members", "2", "-o", "other")
    assert (done.status, Path("other").exists()) == (1, False)
    assert "must keep a finite loss" in done.err


# --- estimators


def test_an_estimator_of_members_is_their_average() -> None:
    data = rows_for("cross_entropy")
    X, y = data.features, data.labels
    given = {"neurons": 6, "epochs": 12, "init": "he", "random_state": 4, "batch_size": 16}
    fitted = package.MLPClassifier(**given, members=3).fit(X, y)
    assert [weights.shape for weights in fitted.coefs_] == [(3, 3, 6), (3, 6, 3)]
    assert [biases.shape for biases in fitted.intercepts_] == [(3, 6), (3, 3)]
    each = fitted.bundle_.member_predictions(X)
    assert package.MLPClassifier(**given).fit(X, y).predict_proba(X).tobytes() == each[0].tobytes()
    np.testing.assert_allclose(fitted.predict_proba(X), each.mean(axis=0), rtol=1e-6)
    parts = package.MLPClassifier(**given, members=3)
    for _ in range(12):
        parts.partial_fit(X, y, classes=np.unique(y))
    assert parts.predict_proba(X).tobytes() == fitted.predict_proba(X).tobytes()
    with pytest.raises(DefinitionError, match="members that it began with"):
        parts.set_params(members=2).partial_fit(X, y)
    for members in (0, 65, 1.5, "two"):
        with pytest.raises(DefinitionError, match="MLPClassifier: members must be"):
            package.MLPClassifier(members=members).fit(X, y)  # type: ignore[arg-type]


@pytest.mark.parametrize(("of_search", "of_estimator", "expected"), [(None, 1, 8), (None, 3, 3), (1, 3, 1), (2, 1, 2)])
def test_a_search_refits_the_members_that_it_is_asked_for(
    of_search: int | None, of_estimator: int, expected: int
) -> None:
    data, space = rows_for("squared_error"), {"learning_rate": {"float": [1e-3, 1e-1], "log": True}}
    network = package.MLPRegressor(4, epochs=5, members=of_estimator)
    found = package.KFoldSearchCV(network, space, n_trials=2, cv=2, members=of_search, random_state=1)
    found.fit(data.features, data.labels)
    assert found.best_estimator_.bundle_.members == expected
    with pytest.raises(DefinitionError, match="members must be"):
        found.set_params(members=0).fit(data.features, data.labels)


def test_partial_fit_does_not_go_on_with_a_member_that_diverged() -> None:
    data = rows_for("squared_error")
    network = package.MLPRegressor(4, learning_rate=1e30, optimizer="sgd", members=2, random_state=0)
    with pytest.raises(DivergedError, match="of 2 of 2 networks"):
        [network.partial_fit(data.features, data.labels) for _ in range(5)]


def test_a_fit_keeps_what_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members that another fit replaced do not come back: the next fit of the same seed is the same."""
    initially_lost(monkeypatch, 0)
    train, data = config(), rows_for("cross_entropy")
    first, second = (fit(train, data, 5, members=2) for _ in range(2))
    assert isinstance(first, Fit)
    assert first.ensemble.parameters.tobytes() == second.ensemble.parameters.tobytes()


@pytest.mark.parametrize("scaling", ["standard", "power"])
def test_lanes_that_see_rows_alike_share_them(scaling: str) -> None:
    """One copy of the scaled rows, whatever the members; more than one is what each lane would have."""
    data = rows_for("cross_entropy")
    ensemble = ResumableEnsemble.initial(config(scaling=scaling), data, 0, range(6))
    lanes = ensemble.lanes(data)
    rows = np.tile(np.arange(data.rows), (6, 1))
    inputs = np.ones((6, data.rows, 4), np.float32)
    targets = np.empty((6, 3, data.rows), np.float32)
    lanes.gather(rows, inputs, targets)
    scaled = ensemble.scaling.apply(data.features)
    for lane in range(6):
        np.testing.assert_allclose(inputs[lane, :, :3], scaled, rtol=1e-5, atol=1e-6)
        assert inputs[lane].tobytes() == inputs[0].tobytes()
    assert [kept.shape for kept in lanes._scaled.values()] == [(1, data.rows, 4)]
    part = lanes.only(slice(1, 3), np.dtype(np.float32))
    assert part.lanes == 2
    part.gather(rows[:2], inputs[:2], targets[:2])
    assert inputs[1].tobytes() == inputs[5].tobytes()
