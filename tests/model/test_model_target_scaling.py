"""A model of a transformed target: retrained, saved, read by the specification alone, and exported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from random_bundles import random_bundle, random_raws
from sklearn.datasets import load_diabetes

import hpsearch
from hpsearch import Bundle, BundleError
from hpsearch.data.dataset import Dataset
from hpsearch.data.target_scaling import FittedTarget, fit_target
from hpsearch.model.export import check
from hpsearch.model.format import decode, encode, sign
from hpsearch.model.manifest import ARRAYS, REST, UNSIGNED
from hpsearch.model.onnx import OnnxModel, to_onnx
from hpsearch.model.retrain import fit_prepared
from hpsearch.search.objective import divide

FEATURES, TARGETS = load_diabetes(return_X_y=True)
# Training targets that lambdas of all kinds are learnt from, 0 and 2 among them, where there are logarithms.
TAILS = {
    "log": np.exp(np.random.default_rng(0).normal(5, 2, 90)),
    "power": TARGETS,
    "power, long tail": np.exp(np.random.default_rng(0).normal(size=90)),
    "power, long tail below": -1e6 * np.exp(np.random.default_rng(0).normal(size=90)),
}
each_tail = pytest.mark.parametrize("tail", TAILS)
each_target = pytest.mark.parametrize("target", ["log", "power"])


def with_target(bundle: Bundle, fitted: FittedTarget) -> Bundle:
    centre, scale, transform = fitted
    return replace(bundle, target_centre=centre, target_scale=scale, target_transform=transform)


def transformed(tail: str, dtype: str = "float32", members: int = 3) -> Bundle:
    """A random model, whose outputs leave the range of the training targets."""
    bundle = with_target(
        random_bundle("squared_error", dtype=dtype, members=members), fit_target(tail.partition(",")[0], TAILS[tail])
    )
    layer = bundle.architecture.network.layers[-1]
    parameters = bundle.parameters.copy()
    parameters[:, layer.weights] *= 8
    parameters[:, layer.biases] = 0
    return replace(bundle, parameters=parameters)


def saved(bundle: Bundle, folder: Path) -> tuple[bytes, bytes]:
    bundle.save(folder, force=True)
    return (folder / REST).read_bytes(), (folder / ARRAYS).read_bytes()


@each_tail
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_saved_is_loaded_as_it_was(tmp_path: Path, tail: str, dtype: str) -> None:
    bundle = transformed(tail, dtype)
    first = saved(bundle, tmp_path / "model")
    loaded = Bundle.load(tmp_path / "model")
    features, _ = bundle.plan.expand(random_raws(bundle, 300))
    predictions = bundle.predictions(features)
    assert loaded.predictions(features).tobytes() == predictions.tobytes()
    assert saved(loaded, tmp_path / "again") == first
    width = np.ptp(TAILS[tail])
    assert predictions.min() >= TAILS[tail].min() - width
    assert predictions.max() <= TAILS[tail].max() + width
    alone = bundle.member_predictions(features)
    beyond = (alone < TAILS[tail].min()) | (alone > TAILS[tail].max())
    assert 0 < beyond.mean() < 0.9, "some outputs lead out of the range of the training targets"


@each_tail
def test_members_are_averaged_in_the_target_s_own_unit(tail: str) -> None:
    bundle = transformed(tail)
    features, _ = bundle.plan.expand(random_raws(bundle, 300))
    alone = [replace(bundle, parameters=bundle.parameters[[number]]).predictions(features) for number in range(3)]
    np.testing.assert_allclose(bundle.predictions(features), np.mean(alone, axis=0), rtol=1e-12)
    np.testing.assert_array_equal(bundle.member_predictions(features), alone)


def test_a_model_without_a_transform_is_written_as_before(tmp_path: Path) -> None:
    rest, _ = saved(random_bundle("squared_error"), tmp_path / "model")
    assert json.loads(rest)["target"].keys() == {"name", "classes", "centre", "scale"}
    assert Bundle.load(tmp_path / "model").target_transform is None


@each_tail
def test_a_reader_that_knows_the_format_alone_comes_back_to_the_same_predictions(tmp_path: Path, tail: str) -> None:
    """From the specification: nothing of ours is used but ``model.json``, and the outputs of the network."""
    bundle = transformed(tail, "float64", members=1)
    target = json.loads(saved(bundle, tmp_path / "model")[0])["target"]
    features, _ = bundle.plan.expand(random_raws(bundle, 300))
    plain = with_target(bundle, FittedTarget(0.0, 1.0, None))
    values = plain.predictions(features)[:, 0] * target["scale"] + target["centre"]
    form = target["transform"]
    with np.errstate(over="ignore"):
        if form["scaling"] == "log":
            found = np.exp(values)
        else:
            powers = np.where(values >= 0, form["power"], 2 - form["power"])
            kept = np.where(powers == 0, 1, powers)
            sizes = np.where(powers == 0, np.expm1(np.abs(values)), (1 + kept * np.abs(values)) ** (1 / kept) - 1)
            found = np.sign(values) * sizes * form["deviation"] + form["mean"]
    found = found.clip(form["low"], form["high"])
    np.testing.assert_allclose(found, bundle.predictions(features)[:, 0], rtol=1e-9)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another name": ({"scaling": "logg"}, "Did you mean 'log'"),
    "none": ({"scaling": "standard"}, "the constants of target.transform must be those of its scaling"),
    "one constant too many": ({"mean": 1.0}, "the constants of target.transform must be those of its scaling"),
    "one key too many": ({"more": 1.0}, "target.transform.more"),
    "bounds the wrong way round": ({"low": 2.0, "high": 1.0}, "target.transform.low must be at most"),
    "no deviation": ({"deviation": 0.0}, "target.transform.deviation"),
    "no bound": ({"low": None}, "target.transform.low"),
    "no number": ({"scaling": "power", "mean": None, "power": 1.0}, "target.transform.mean"),
    "a power beyond": ({"scaling": "power", "mean": 0.0, "power": 2.5}, "target.transform.power"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_transform_that_cannot_be_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    rest, packed = saved(transformed("log"), tmp_path / "model")
    changes, said = WRONG[kind]
    plain = json.loads(rest)
    plain["target"]["transform"] |= changes
    plain["sha256"] = UNSIGNED
    with pytest.raises(BundleError) as caught:
        decode(sign(json.dumps(plain, indent=2).encode()), packed, "model")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_classes_have_no_transform(tmp_path: Path) -> None:
    bundle = random_bundle()
    rest, packed = saved(bundle, tmp_path / "model")
    plain = json.loads(rest)
    form = json.loads(saved(transformed("log"), tmp_path / "other")[0])["target"]["transform"]
    parts = {name: plain[name] for name in ("network", "preprocessing", "target", "about")}
    with pytest.raises(BundleError, match=r"target\.transform must be left out with classes"):
        encode({**parts, "target": {**parts["target"], "transform": form}}, bundle.arrays())
    decode(rest, packed, "model")


# --- retrained


@each_target
@pytest.mark.parametrize("loss", ["absolute_error", "squared_error"])
def test_what_is_fitted_for_good_is_scaled_as_in_the_search(target: str, loss: str) -> None:
    train = {"neurons": 6, "epochs": 30, "loss": loss, "target_scaling": target}
    raw: dict[str, Any] = {"study": {"name": "x"}, "data": {"source": "memory", "task": "regression"}, "train": train}
    raw["retrain"] = {"members": 2}
    definition = hpsearch.StudyDefinition.from_mapping(raw, Path())
    data = Dataset.of(FEATURES, TARGETS, task="regression")
    bundle = fit_prepared(divide(definition, data, None), definition.train)
    assert bundle.members == 2
    expected = fit_target(target, TARGETS)
    assert (bundle.target_centre, bundle.target_scale) == (expected.centre, expected.scale)
    assert type(bundle.target_transform) is type(expected.transform)
    errors = bundle.predictions(FEATURES)[:, 0] - TARGETS
    losses = errors**2 if loss == "squared_error" else np.abs(errors)
    assert bundle.about["training"]["loss"] == pytest.approx(losses.mean(), rel=1e-12)
    assert bundle.about["training"]["r2"] > 0.4


# --- exported


@each_tail
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_graph_predicts_every_row_alike(tail: str, dtype: str) -> None:
    bundle = transformed(tail, dtype)
    raws = random_raws(bundle, 2000)
    content = to_onnx(bundle).SerializeToString()
    assert check(bundle, OnnxModel(content), raws) < {"float32": 1e-5, "float64": 1e-12}[dtype]
    (output,) = onnxruntime.InferenceSession(content).get_outputs()
    assert (output.name, output.type) == ("prediction", "tensor(double)")


@each_tail
def test_the_check_sees_a_prediction_that_is_another(tail: str) -> None:
    bundle = transformed(tail)
    raws, other = random_raws(bundle, 200), with_target(bundle, fit_target("standard", TAILS[tail]))
    exported = OnnxModel(to_onnx(other).SerializeToString())
    with pytest.raises(hpsearch.ExportError, match="must predict every row within"):
        check(bundle, exported, raws)
