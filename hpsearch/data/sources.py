"""Where rows come from. One class a source, with its options as fields, and its row in ``SOURCES``."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import ConfigDict, Field

from hpsearch.data.cells import Types
from hpsearch.data.columns import Plan
from hpsearch.data.dataset import Dataset, Task
from hpsearch.data.source import Source
from hpsearch.data.table_file import check_filled
from hpsearch.data.table_sources import Csv, Parquet, with_marks
from hpsearch.data.typed import as_text, frame_columns, has_plain_numbers
from hpsearch.errors import DataError, DefinitionError, did_you_mean


class Toy(Source):
    """``nnfs:spiral`` and ``nnfs:vertical``: generated two-dimensional classes (Kinsley & Kukiela 2020)."""

    KINDS: ClassVar = ("spiral", "vertical")

    samples: Annotated[int, Field(ge=1, description="rows of each class")] = 100
    classes: Annotated[int, Field(ge=2, description="classes")] = 3

    @property
    def predicts(self) -> Task:
        return "classification"

    @property
    def redrawable(self) -> bool:
        return True

    @property
    def not_features(self) -> tuple[str, ...]:
        return ()

    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        return self.model_dump()

    def load(self, folder: Path, seed: int) -> Dataset:
        import nnfs.datasets

        draw = getattr(nnfs.datasets, f"{self.source.removeprefix('nnfs:')}_data")
        # nnfs draws from NumPy's global generator: lend it one, and give it back as it was.
        before = np.random.get_state()  # noqa: NPY002
        try:
            np.random.seed(seed)  # noqa: NPY002
            features, labels = draw(self.samples, self.classes)
        finally:
            np.random.set_state(before)  # noqa: NPY002
        return Dataset.of(features, labels, target_name="class", origin=self.source)


class Sine(Source):
    """``nnfs:sine``: one period of the sine on equidistant points, a quantity (Kinsley & Kukiela 2020)."""

    samples: Annotated[int, Field(ge=2, description="rows")] = 1000

    @property
    def predicts(self) -> Task:
        return "regression"

    @property
    def redrawable(self) -> bool:
        return False

    @property
    def not_features(self) -> tuple[str, ...]:
        return ()

    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        return self.model_dump()

    def load(self, folder: Path, seed: int) -> Dataset:
        import nnfs.datasets

        features, targets = nnfs.datasets.sine_data(self.samples)
        return Dataset.of(
            features, targets, feature_names=["x"], target_name="sine", origin=self.source, task="regression"
        )


class Bundled(Source):
    """The data sets that come with scikit-learn."""

    CLASSES: ClassVar = ("breast_cancer", "digits", "iris", "wine")
    QUANTITIES: ClassVar = {"diabetes": "progression"}  # and what the target is called

    @property
    def _name(self) -> str:
        return self.source.removeprefix("sklearn:")

    @property
    def predicts(self) -> Task:
        return "regression" if self._name in self.QUANTITIES else "classification"

    @property
    def redrawable(self) -> bool:
        return False

    @property
    def not_features(self) -> tuple[str, ...]:
        return ()

    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        return self.model_dump()

    def load(self, folder: Path, seed: int) -> Dataset:
        import sklearn.datasets

        bunch = getattr(sklearn.datasets, f"load_{self._name}")()
        classes = [str(name) for name in bunch.target_names] if self.predicts == "classification" else None
        return Dataset.of(
            bunch.data,
            bunch.target,
            feature_names=[str(name) for name in bunch.feature_names],
            class_names=classes,
            target_name=self.QUANTITIES.get(self._name, "class"),
            origin=self.source,
            task=self.predicts,
        )


class PythonFunction(Source):
    """``python:module:function``: a function that returns (features, targets); further keys are its arguments.

    A dict of what else is known of the rows may be its third: ``group``, ``time``, ``fold`` and ``weight``, one value
    a row.
    Of a pandas table booleans, text, categories and missing values are taken as those of a file; of an array, numbers.

    The module is looked up beside the study file first. A function with an argument ``seed`` gets one, unless the study
    file sets it, and may then be drawn afresh for the hold-out.
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)

    task: Annotated[Task, Field(description="what the targets are: classes, or a quantity")] = "classification"

    @property
    def options(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @property
    def predicts(self) -> Task:
        return self.task

    @property
    def redrawable(self) -> bool:
        return "seed" not in self.options

    @property
    def not_features(self) -> tuple[str, ...]:
        return ()

    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        if folder.resolve() != to.resolve():
            raise DataError(f"{self.source}: a study file must stand beside its module. Put it into {folder}.")
        return {**self.model_dump(), **self.options}

    def load(self, folder: Path, seed: int) -> Dataset:
        parts = self.source.split(":")
        if len(parts) != 3 or not all(name.isidentifier() for name in [*parts[1].split("."), parts[2]]):
            raise DefinitionError(f"[data] source must read 'python:module:function', but is {self.source!r}.")
        try:
            with _importing_beside(folder):
                answer = self._call(getattr(importlib.import_module(parts[1]), parts[2]), seed)
        except Exception as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{self.source}: must give rows, but raised {type(error).__name__}: {reason}") from error
        if not isinstance(answer, tuple) or len(answer) not in (2, 3):
            raise DataError(f"{self.source}: must return (features, targets), but returned {type(answer).__name__}.")
        features, targets, *marks = answer
        names, plan = getattr(features, "columns", None), None
        if names is not None:
            names = [str(name) for name in names]
            if not has_plain_numbers(features):
                raws = frame_columns(features, Types(), self.source)
                plan = Plan.declare(raws)
                features, _ = plan.expand(raws)
        data = Dataset.of(
            features,
            targets,
            feature_names=names,
            target_name=str(getattr(targets, "name", None) or "target"),
            plan=plan,
            origin=self.source,
            task=self.task,
        )
        return self._with_marks(data, marks[0]) if marks else data

    def _with_marks(self, data: Dataset, marks: Any) -> Dataset:
        if not isinstance(marks, Mapping) or not set(marks) <= {"group", "time", "fold", "weight"}:
            raise DataError(
                f"{self.source}: must return as its third a dict of group, time, fold and weight, each optional, but "
                f"returned {', '.join(map(repr, marks)) if isinstance(marks, Mapping) else type(marks).__name__}."
            )
        texts = {name: [as_text(value) for value in values] for name, values in marks.items()}
        for name, values in texts.items():
            if len(values) != data.rows:
                raise DataError(
                    f"{self.source}: {name!r} must have {data.rows} values like the rows, but has {len(values)}."
                )
            check_filled(self.source, name, values, range(data.rows), Types())
        return with_marks(data, texts, self.source, **{name: name for name in texts})

    def _call(self, function: Any, seed: int) -> Any:
        options = self.options
        if "seed" not in options and "seed" in inspect.signature(function).parameters:
            options["seed"] = seed
        return function(**options)


@contextmanager
def _importing_beside(folder: Path) -> Iterator[None]:
    """Imports find the modules in ``folder`` first; afterwards all is as it was, for the next study has modules too."""
    names = {file.stem for file in folder.glob("*.py")}

    def loaded() -> list[str]:
        return [name for name in sys.modules if name.partition(".")[0] in names]

    hidden = {name: sys.modules.pop(name) for name in loaded()}
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in loaded():
            del sys.modules[name]
        sys.modules.update(hidden)


class Memory(Source):
    """``memory``: rows that were given from Python. A stored study says so, and cannot load them again."""

    NAME: ClassVar = "memory"

    task: Annotated[Task, Field(description="what the targets are: classes, or a quantity")] = "classification"

    @property
    def predicts(self) -> Task:
        return self.task

    @property
    def redrawable(self) -> bool:
        return False

    @property
    def not_features(self) -> tuple[str, ...]:
        return ()

    def moved(self, folder: Path, to: Path) -> dict[str, Any]:
        raise self._gone()

    def load(self, folder: Path, seed: int) -> Dataset:
        raise self._gone()

    def _gone(self) -> DataError:
        return DataError(
            "[data] source must say where the rows come from, but those of this study were given from Python and are "
            "kept nowhere. Go on with them in Python, or name a file or function."
        )


SOURCES: dict[str, type[Source]] = {
    "csv": Csv,
    "nnfs:sine": Sine,
    **{f"nnfs:{kind}": Toy for kind in Toy.KINDS},
    "parquet": Parquet,
    "python:module:function": PythonFunction,
    **{f"sklearn:{kind}": Bundled for kind in (*Bundled.CLASSES, *Bundled.QUANTITIES)},
}


def source_class(name: str) -> type[Source]:
    """The class of a source by its name. ``memory`` is no choice of a study file's: see :class:`Memory`.

    Raises:
        DefinitionError: no such source.
    """
    if name == Memory.NAME:
        return Memory
    if name.startswith("python:"):
        return PythonFunction
    if name not in SOURCES:
        raise DefinitionError(f"[data] Unknown source {name!r}. {did_you_mean(name, SOURCES)}")
    return SOURCES[name]
