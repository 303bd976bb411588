"""A fitted model: it predicts, it is saved and loaded (how it lies on disk is :mod:`hpsearch.model.format`'s)."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.arguments import require_kind
from hpsearch.arrays import FloatArray
from hpsearch.data.cells import Types
from hpsearch.data.columns import Plan
from hpsearch.data.csv_format import CsvFormat
from hpsearch.data.dataset import Dataset, Task
from hpsearch.data.frame_table import require_frame
from hpsearch.data.frames import expand_frame
from hpsearch.data.preprocess import Scaling
from hpsearch.data.target_scaling import to_plain
from hpsearch.errors import BundleError, DataError, Setting, listed, located, quoted, reason
from hpsearch.markup import learning_curve, table
from hpsearch.model.format import encode, pack, read
from hpsearch.model.manifest import ARRAYS, REST
from hpsearch.nn.network import NetworkShape
from hpsearch.nn.passes import Architecture, averaged, predict
from hpsearch.numbers import plural
from hpsearch.target_transform import TargetTransform, in_own_unit
from hpsearch.temporary import OLD, beside
from hpsearch.threads import one_thread
from hpsearch.transform import Encoding
from hpsearch.validation.metrics import METRICS, objective_metric, shown
from hpsearch.validation.score import SCORE_NAMES

if TYPE_CHECKING:
    from hpsearch.model.threshold import Threshold
    from hpsearch.validation.metric import Metric

_PLAIN = CsvFormat()


@dataclass(frozen=True)
class Bundle:
    """A fitted ensemble of networks, or one network, with all it takes to predict from raw rows.

    Every prediction is the mean of the members': of their probabilities, or of their regression predictions.

    >>> import hpsearch
    >>> definition = hpsearch.StudyDefinition.from_file("studies/tutorial-a.toml", ["train.epochs=200"])
    >>> model = hpsearch.retrain(definition)
    >>> model.save("model", force=True)
    >>> again = Bundle.load("model")
    >>> again.predict([[0.0, 0.5]]).tolist() == model.predict([[0.0, 0.5]]).tolist()
    True

    Attributes:
        architecture: shape, activation, number type, shared by all members.
        parameters: (M, P), one row a member.
        scaling: of the features, and what fills missing values; fitted on the rows it was trained on.
        plan: the columns it was trained with, and the features that they become.
        class_names, target_name: the classes, none of a regression, and what the target is called.
        about: how it came to be: configuration, scores, origin; plain JSON values.
        target_centre, target_scale: of a regression: a member's prediction is its output, times the scale, plus the
            centre.
        target_transform: of one lane: the prediction is what that is the transform of; None if there is none.
        csv: how CSV files of raw rows are written: as the file that it was trained on.
    """

    architecture: Architecture
    parameters: FloatArray
    scaling: Scaling
    plan: Plan
    class_names: tuple[str, ...]
    target_name: str
    about: Mapping[str, Any]
    target_centre: float = 0.0
    target_scale: float = 1.0
    target_transform: TargetTransform | None = None
    csv: CsvFormat = _PLAIN

    def __repr__(self) -> str:
        (_, predicts), *others = self._facts()
        return "\n".join([f"Bundle that predicts {predicts}", *(f"  {name}: {value}" for name, value in others)])

    def _repr_html_(self) -> str:
        shown_facts = table(["", ""], self._facts(), f"A model that predicts {quoted(self.target_name)}")
        if not (curve := self.about.get("learning_curve")):
            return shown_facts
        root = objective_metric("loss", self.architecture.loss).root
        one_each = [[loss] for loss in curve["training_loss"]]
        name = None if root is None else root.title
        return shown_facts + learning_curve("the networks", curve["epochs"], one_each, [[]] * len(one_each), None, name)

    def _facts(self) -> list[tuple[str, str]]:
        """What it is, for reading."""
        network, about = self.architecture.network, self.about
        widths = " → ".join(map(str, (network.inputs, *network.neurons, network.outputs)))
        kind = f"one of {listed(self.class_names)}" if self.class_names else "a number"
        names = listed(self.plan.names)
        facts = [
            ("predicts", f"{quoted(self.target_name)}, {kind}"),
            ("from", names),
            ("networks", f"{self.members} × {widths}"),
        ]
        loss, name_of_score = objective_metric("loss", self.architecture.loss), SCORE_NAMES[self.task]
        titles = {"loss": "loss" if loss.root is None else loss.root.title, name_of_score: METRICS[name_of_score].title}
        for name in ("training", "holdout"):
            if score := about.get(name):
                said = [
                    f"{title} {shown(score[key], loss if key == 'loss' else METRICS[key])}"
                    for key, title in titles.items()
                    if score.get(key) is not None
                ]
                of = plural(score["rows"], "row")
                facts.append((name.replace("holdout", "hold-out"), f"{', '.join(said)} on {of}"))
        if about.get("study"):
            facts.append(("study", str(about["study"])))
        return facts

    @property
    def types(self) -> Types:
        """How the cells of raw rows are understood."""
        return Types.of(self.plan, self.csv)

    @property
    def members(self) -> int:
        """M, how many networks predict together."""
        return len(self.parameters)

    @property
    def task(self) -> Task:
        """What it predicts."""
        return "classification" if self.class_names else "regression"

    def predict(
        self,
        rows: Any,
        notice: Callable[[str], None] | None = None,
        *,
        threshold: Mapping[str, float] | None = None,
    ) -> NDArray[Any]:
        """The most probable class of each row, by name, or the predicted target in its own unit: (N,).

        Args:
            rows: raw rows: an array with the model's columns in their order, or a DataFrame, whose columns are taken
                by name. Missing values (nan, None) are filled as in training.
            notice: told a line on each thing that training did not meet: a category, or a missing value in a column
                that had none; by default it is a warning.
            threshold: of two classes, ``{"yes": 0.09}`` predicts "yes" where its probability is at least that.

        Raises:
            DataError: other columns, another shape, or a value that is not of its column's kind; a threshold of other
                than two classes.
        """
        from hpsearch.model.threshold import Threshold

        given = None if threshold is None else Threshold.of(self.class_names, threshold)
        return self.targets_of(self.predictions(self._features(rows, notice)), given)

    def targets_of(self, predictions: FloatArray, threshold: Threshold | None = None) -> NDArray[Any]:
        """What :meth:`predict` gives, (N,), of what :meth:`predictions` gives; of two classes by a threshold."""
        if not self.class_names:
            return predictions[:, 0]
        labels = predictions.argmax(axis=1) if threshold is None else threshold.labels(self.class_names, predictions)
        return np.array(self.class_names)[labels]

    def probabilities(self, rows: Any, notice: Callable[[str], None] | None = None) -> FloatArray:
        """The probability of each class, (N, C), of rows as :meth:`predict` takes them.

        Raises:
            DataError: as there, or a model of a regression.
        """
        if not self.class_names:
            got = f"this model predicts the regression target {quoted(self.target_name)}"
            raise DataError("Probabilities need classes", got, "Use predict.")
        return self.predictions(self._features(rows, notice))

    def spread(self, rows: Any, notice: Callable[[str], None] | None = None) -> FloatArray:
        """How far the members disagree on each row, (N,), of rows as :meth:`predict` takes them.

        The standard deviation over the members (with M - 1) of the predicted class's probability, or of the regression
        prediction, in the target's own unit.

        Raises:
            DataError: as there.
            BundleError: a model of one member.
        """
        self.require_several()
        return self.spread_of(self.member_predictions(self._features(rows, notice)))

    def require_several(self) -> None:
        """Refuse a model of one member.

        Raises:
            BundleError: it is one.
        """
        if self.members == 1:
            must = "A model must have several members for how far they disagree"
            raise BundleError(must, "has one", ("Retrain it with more ", Setting("members"), "."))

    def spread_of(self, member_predictions: FloatArray) -> FloatArray:
        """What :meth:`spread` gives, (N,), of what :meth:`member_predictions` gives."""
        of_rows = member_predictions[:, :, 0]
        if self.class_names:
            predicted = averaged(member_predictions).argmax(axis=1)
            of_rows = np.take_along_axis(member_predictions, predicted[np.newaxis, :, np.newaxis], axis=2)[:, :, 0]
        deviations: FloatArray = of_rows.std(axis=0, ddof=1)
        return deviations

    def _features(self, rows: Any, notice: Callable[[str], None] | None) -> NDArray[Any]:
        if hasattr(rows, "to_pandas"):  # another library's table
            rows = require_frame(rows)
        if not hasattr(rows, "columns"):
            import pandas as pd

            array = np.asarray(rows)
            if array.ndim != 2 or array.shape[1] != len(self.plan.columns):
                must = f"The rows must be a table of {plural(len(self.plan.columns), 'column')}"
                raise DataError(must, f"have shape {array.shape}")
            rows = pd.DataFrame(array, columns=list(self.plan.names))
        with located("the rows"):
            features, notices = expand_frame(self.plan, rows)
        for line in notices:
            (notice or warnings.warn)(line)
        return features

    def far_outside(self, features: NDArray[Any]) -> list[str]:
        """A line on each column with numbers farther outside the training rows' range than this is wide.

        There the network was never told what to predict, and predicts something all the same.

        Args:
            features: (N, D), as the plan gives them.
        """
        lines = []
        for name, (low, high) in self.about.get("ranges", {}).items():
            if name not in self.plan.places:
                continue
            values = features[:, self.plan.places[name].start]
            far = np.flatnonzero((values < low - (high - low)) | (values > high + (high - low)))
            if len(far):
                rows = plural(len(far), "row has", "rows have")
                first = f"{values[far[0]]:.6g} for prediction {far[0] + 1}"
                trained = f"far outside what was trained on, {low:.6g} to {high:.6g}"
                lines.append(
                    f"Column {quoted(name)}: {rows} a value {trained}, the first {first}: such predictions are guesses."
                )
        return lines

    def predictions(self, features: NDArray[Any]) -> FloatArray:
        """The probability of each class, (N, C), or the predicted target, (N, 1), of features (N, D) of the plan."""
        return averaged(self.member_predictions(features))

    def member_predictions(self, features: NDArray[Any]) -> FloatArray:
        """What each member alone predicts, (M, N, C) or (M, N, 1), of features (N, D) of the plan."""
        with one_thread():
            predictions = predict(self.architecture, self.parameters, self.scaling.apply(features))
        if self.class_names:
            return predictions
        centre, scale = np.array([self.target_centre]), np.array([self.target_scale])
        return in_own_unit(predictions, centre, scale, self.target_transform)

    answers = predictions  # its name before 0.1.0

    @property
    def preprocessing(self) -> list[dict[str, Any]]:
        """What becomes of each column: kind, fill, indicator, centre, scale, categories; ``lambda`` if any has one."""
        return self.scaling.table(self.plan)

    def score(self, data: Dataset) -> dict[str, Any]:
        """Rows, data loss, and accuracy or R², on labelled rows, which count by their weights if they have any."""
        name = SCORE_NAMES[self.task]
        loss = float(np.average(self.row_losses(data), weights=data.weights))
        return {"rows": data.rows, "loss": loss, name: self.measure(data, METRICS[name])}

    def measure(self, data: Dataset, metric: Metric) -> float | None:
        """A metric on labelled rows of the same columns and classes; None where it is undefined."""
        value = metric.score(data.labels, self.predictions(data.features), len(self.class_names), data.weights)
        return value if math.isfinite(value) else None

    def row_losses(self, data: Dataset) -> NDArray[np.float64]:
        """The data loss of each row, (N,): nats, or the unit of the target (squared in a squared error)."""
        return self.architecture.head.of_labels(data.labels, self.predictions(data.features))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What the safetensors file holds."""
        views = self.architecture.network.named(self.parameters)
        named = {name: np.ascontiguousarray(values) for name, values in views.items()}
        learnt = {name: getattr(self.scaling, name) for name in ("fill", "lambdas", "centre", "scale")}
        learnt |= {
            f"encoding{number}": encoding.tables[-1].astype(np.float64)
            for number, encoding in enumerate(self.scaling.encodings, start=1)
        }
        return {**named, **{name: values for name, values in learnt.items() if values is not None}}

    @property
    def arrays_sha256(self) -> str:
        """The SHA-256 of the safetensors file, by which a bundle and what was made of it know each other."""
        return hashlib.sha256(pack(self.arrays())).hexdigest()

    def save(self, folder: str | Path, force: bool = False) -> None:
        """Write the bundle to ``folder``: complete or not at all.

        Raises:
            BundleError: the folder exists and ``force`` is not set, or it cannot be written.
        """
        folder = Path(folder)
        require_free(folder, force)
        network = self.architecture.network
        parts = {
            "network": {
                "members": self.members,
                "inputs": network.inputs,
                "neurons": list(network.neurons),
                "outputs": network.outputs,
                "loss": self.architecture.loss,
                "activation": self.architecture.activation,
                "leaky_slope": self.architecture.leaky_slope,
                "dtype": self.architecture.dtype.name,
            },
            "preprocessing": self.plan.to_plain(),
            **({"csv": changes} if (changes := self.csv.changes()) else {}),
            "target": {
                "name": self.target_name,
                "classes": list(self.class_names),
                "centre": self.target_centre,
                "scale": self.target_scale,
                **({} if (form := self.target_transform) is None else {"transform": to_plain(form)}),
            },
            "about": dict(self.about),
        }
        rest, arrays = encode(parts, self.arrays())
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with beside(folder, folder=True) as temporary:
                new = temporary / "new"
                new.mkdir()
                (new / ARRAYS).write_bytes(arrays)
                (new / REST).write_bytes(rest)
                new.chmod(0o755)
                _replace(new, temporary / OLD, folder)
        except OSError as error:
            raise BundleError("must be a folder that can be written", reason(error), where=str(folder)) from error

    @classmethod
    def load(cls, folder: str | Path) -> Bundle:
        """Read a bundle and check that it is whole; see :mod:`hpsearch.model.format`.

        Raises:
            BundleError: no bundle there, one of another version, or anything in it that is not as the format says.
        """
        require_kind("folder", folder, "the folder that a model was saved in", str, Path)
        manifest, arrays = read(Path(folder))
        part, target = manifest.network, manifest.target
        network = NetworkShape(part.inputs, tuple(part.neurons), part.outputs)
        dtype = np.dtype(part.dtype)
        parameters = np.zeros((part.members, network.size), dtype)
        for name, view in network.named(parameters).items():
            view[:] = arrays[name]  # of version 3 without the axis of its one member
        plan = Plan.from_plain(manifest.preprocessing.model_dump())
        encoded = [plan.places[column.name].start for column in plan.columns if column.encoding is not None]
        encodings = (
            Encoding(first, arrays[f"encoding{number}"][np.newaxis]) for number, first in enumerate(encoded, start=1)
        )
        return cls(
            Architecture(network, part.activation, part.leaky_slope, dtype, part.loss),
            parameters,
            Scaling(arrays["centre"], arrays["scale"], arrays["fill"], arrays.get("lambdas"), tuple(encodings)),
            plan,
            tuple(target.classes),
            target.name,
            manifest.about,
            target.centre,
            target.scale,
            target.read_transform(),
            manifest.csv.read(),
        )


def require_free(folder: Path, force: bool) -> None:
    """Refuse to replace what is there.

    Raises:
        BundleError: nothing can be written there; or the folder exists, and ``force`` is not set or it is no model.
    """
    if not folder.exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with beside(folder, folder=True):
                pass
        except OSError as error:
            raise BundleError("must be in a folder that can be written", reason(error), where=str(folder)) from error
        return
    forced = Setting("force", True)
    if not force:
        do = "Choose another folder, or replace it with ", forced, "."
        raise BundleError("must not exist yet", "does", do, where=str(folder))
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / REST).exists()):
        raise BundleError(("must be a saved model for ", forced, " to replace it"), "is not", where=str(folder))


def _replace(new: Path, old: Path, folder: Path) -> None:
    """Put a folder in another's place; whatever stops it leaves one of the two, or the next process puts it back."""
    if not folder.exists():
        os.rename(new, folder)
        return
    try:
        os.rename(folder, old)
        os.rename(new, folder)
    except BaseException:
        if not folder.exists():
            os.rename(old, folder)
        raise
