"""The best configuration of a study, and the complete study file that it exports to."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit

from hpsearch import seeds
from hpsearch.definition.space import split_name
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import HpsearchError, StorageError, did_you_mean
from hpsearch.search.objective import data_fingerprint
from hpsearch.storage.storage import SCORINGS, StoredStudy, result_of
from hpsearch.storage.trials import TrialResult, best_of, one_se_of
from hpsearch.validation.config import PER_LAYER, Config, used_by
from hpsearch.validation.metric import AdditiveMetric, Metric
from hpsearch.validation.metrics import BESIDE
from hpsearch.validation.selection import FEWEST_UNITS, MOST_WORK, Corrected, corrected


@dataclass(frozen=True)
class Best:
    """The complete trial with the best objective value, "lowest" where that is to be minimised.

    Attributes:
        definition: the study's.
        chosen: what the search chose for this trial.
        config: the whole configuration; its ``epochs`` are those of the chosen checkpoint.
        result: the trial's outcome.
        trials: how many trials had been told: the value is the best of the complete ones among them.
        data_fingerprint: of the rows searched with and those held out.
        rule: by which it was chosen, of ``RULES``.
        corrected: what the best value is without the luck of having been the best; None where it cannot be told.
        uncorrected: why it cannot.
        scorings: how often the study's hold-out has been scored.
    """

    definition: StudyDefinition
    chosen: dict[str, Any]
    config: Config
    result: TrialResult
    trials: int
    data_fingerprint: str
    rule: str
    corrected: Corrected | None
    uncorrected: str | None
    scorings: int

    @property
    def beside(self) -> tuple[str, float | None]:
        """The name and the value of the number that stands beside the loss."""
        name = BESIDE[self.definition.data.predicts]
        return name, getattr(self.result, name)

    def settings(self) -> dict[str, tuple[Any, str]]:
        """Every hyperparameter that this configuration uses, and where its value came from."""
        searched, layered = set(self.chosen), {split_name(name)[1] for name in self.chosen if "." in name}
        values = {}
        for name in Config.model_fields:
            if not used_by(name, [self.config.optimizer], [self.config.activation]):
                continue
            value: Any = getattr(self.config, name)
            if name in PER_LAYER:
                layers = self.config.by_layer(name)
                value = layers[0] if len(set(layers)) == 1 else list(layers)
            if name == "hidden_layers":
                value = self.config.depth
            if name == "evaluate_every":
                value = self.definition.evaluate_every
            if name == "epochs":
                origin = f"the chosen checkpoint of trial {self.result.number}, which ran {self.result.epochs[-1]}"
            elif name in searched or name in layered:
                origin = f"searched: trial {self.result.number}"
            else:
                origin = "set in the study file" if name in self.definition.train.model_fields_set else "default"
            if value is not None:  # of a setting that is off there is nothing to say
                values[name] = value, origin
        return values

    @property
    def choice(self) -> str:
        """How the search score came about, and so what it is worth."""
        if self.uncorrected == _ONE:
            return "of the one candidate there was"
        among = f"{self.corrected.trials} complete trials" if self.corrected else f"{self.trials} trials"
        rule = "" if self.rule == "lowest" else f" by {self.rule}"
        return f"optimistic: chosen among {among}{rule}"

    @property
    def has_holdout(self) -> bool:
        holdout = self.definition.holdout
        return holdout.fresh or holdout.fraction is not None

    def summary(self) -> dict[str, Any]:
        """The best trial and its configuration in plain values."""
        return {
            "study": self.definition.name,
            "trial": self.result.number,
            "trials_told": self.trials,
            "rule": self.rule,
            "objective": self.definition.search.objective,
            "value": self.result.value,
            "corrected": self.corrected and asdict(self.corrected),
            "uncorrected": self.uncorrected,
            "holdout_scorings": self.scorings if self.has_holdout else None,
            **dict([self.beside]),
            "best_epoch": self.result.best_epoch,
            "parameters": self.result.parameters,
            "config": {name: value for name, (value, _) in self.settings().items()},
        }

    def _repr_html_(self) -> str:
        from hpsearch.results.words import best_html

        return best_html(self)


def load_definition(stored: StoredStudy) -> StudyDefinition:
    """The definition that a stored study was begun with."""
    attributes = stored.attributes
    return StudyDefinition.from_mapping(attributes["definition"], Path(attributes["folder"]))


_CORRECTED = "corrected"  # an attribute of the study
_ONE = "nothing was chosen: there is one candidate"

# How a trial is chosen among those told, given the objective; what is lowest is highest where it is to be maximised.
RULES: dict[str, Callable[[Sequence[TrialResult], Metric], TrialResult | None]] = {
    "lowest": best_of,
    "one-se": one_se_of,
}


def find_best(stored: StoredStudy, rule: str = "lowest") -> Best:
    """The best configuration of a study.

    Args:
        stored: the study.
        rule: ``lowest`` objective value (highest if it is to be maximised), or ``one-se``: the fewest parameters
            within one standard error of it.

    Raises:
        HpsearchError: no trial is complete, no such rule, or a rule that needs more than one split.
    """
    if rule not in RULES:
        raise HpsearchError(f"Unknown rule {rule!r}. {did_you_mean(rule, RULES)}")
    trials = [trial for trial in stored.trials() if trial.state.is_finished()]
    results = [result_of(trial) for trial in trials]
    definition = load_definition(stored)
    lowest = best_of(results, definition.metric)
    if rule == "one-se" and lowest is not None and len(lowest.folds) == 1:
        raise HpsearchError(
            f"The rule one-se needs a standard error over splits, but {stored.name!r} has a single split. "
            "Use --rule lowest."
        )
    best = RULES[rule](results, definition.metric)
    if best is None:
        raise HpsearchError(
            f"The study {stored.name!r} must have a complete trial to have a best one, but has none among "
            f"{len(results)} that ended. Run it on, or see its trials' reasons."
        )
    chosen = dict(trials[best.number].params)
    exact = {"epochs": best.best_epoch, "evaluate_every": definition.evaluate_every}
    config = definition.config(chosen).replaced(exact)
    identity = stored.attributes["identity"]
    data = data_fingerprint(identity["data.fingerprint"], identity["holdout.fingerprint"])
    corrected, reason = correct(stored, definition, results)
    scorings = len(stored.attributes.get(SCORINGS, ()))
    return Best(definition, chosen, config, best, len(results), data, rule, corrected, reason, scorings)


def correct(
    stored: StoredStudy, definition: StudyDefinition, results: Sequence[TrialResult]
) -> tuple[Corrected | None, str | None]:
    """The best value corrected for having been chosen, or why that cannot be told."""
    if (known := kept_corrected(stored.attributes, len(results))) is not None:
        return known, None
    try:
        whole = stored.kept.layout()
        layout = whole.take(whole.counted())
        if layout.units is None:
            return None, "rows that follow each other in time cannot be drawn independently"
        if len(np.unique(layout.units)) < FEWEST_UNITS:
            return None, f"that takes at least {FEWEST_UNITS} independent rows or groups"
        classes = np.unique(np.stack([layout.labels, layout.units]), axis=1)[0]  # of each unit, those it has
        if definition.metric.needs_every_class and np.bincount(classes).min() < FEWEST_UNITS:
            return None, f"that takes at least {FEWEST_UNITS} independent rows or groups of each class"
        complete = [result for result in results if result.value is not None]
        last_only = definition.validation.checkpoint == "last"
        candidates = len(complete) * (1 if last_only else len(complete[0].epochs))
        if candidates == 1:
            return None, _ONE
        work = len(layout.rows) * max(1, layout.classes) * candidates
        if not isinstance(definition.metric, AdditiveMetric) and work > MOST_WORK:
            return None, f"with {definition.metric.title} it would take long for so many rows, classes and trials"
        kept = (stored.kept.of(result).of_objective[-1 if last_only else 0 :] for result in complete)
        return corrected(kept, whole, definition.metric, seeds.integer_seed(definition.seed, "resamples")), None
    except StorageError as error:
        return None, f"{error}".rstrip(".")


def keep_corrected(stored: StoredStudy) -> None:
    """Keep a study's corrected score with it, for tables and for readers who do not have its files."""
    results = [result_of(trial) for trial in stored.trials() if trial.state.is_finished()]
    if any(result.value is not None for result in results):
        found, _ = correct(stored, load_definition(stored), results)
        if found is None and stored.attributes.get(_CORRECTED):
            return  # one of fewer trials is better than none
        stored.refresh({_CORRECTED: {"told": len(results), "corrected": found and asdict(found)}})


def kept_corrected(attributes: Mapping[str, Any], told: int) -> Corrected | None:
    """The corrected score that is kept with a study, if it is of so many trials."""
    known = attributes.get(_CORRECTED)
    return Corrected(**known["corrected"]) if known and known["told"] == told and known["corrected"] else None


def export(best: Best, path: Path, force: bool = False) -> None:
    """Write :func:`to_toml` to a file, whole or not at all; an earlier export may be replaced.

    Raises:
        HpsearchError: the file cannot be written, or is there and no export, and ``force`` is not set.
    """
    text = to_toml(best, path.parent.resolve())
    if path.exists() and not force and not _is_export(path):
        raise HpsearchError(
            f"{path}: must not exist yet or be an earlier export, but is neither. Replace it with --force."
        )
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
            file.write(text)
        os.replace(file.name, path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise HpsearchError(f"{path}: must be a file that can be written, but {reason}.") from error


def exported(best: Best) -> StudyDefinition:
    """The definition that an export of the best configuration reads as, without a file."""
    folder = best.definition.folder
    return StudyDefinition.from_mapping(tomllib.loads(to_toml(best, folder)), folder)


def _is_export(path: Path) -> bool:
    try:
        return "origin" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _inline(table: dict[str, Any]) -> Any:
    """A table on one line: a section of its own would take in the keys after it."""
    inline = tomlkit.inline_table()
    inline.update(table)
    return inline


def to_toml(best: Best, folder: Path) -> str:
    """A complete study file of the best configuration, without a search space; paths are relative to ``folder``."""
    raw, result = best.definition.raw, best.result
    document = tomlkit.document()
    document.add(tomlkit.comment(f"The best of {best.trials} trials of the study {best.definition.name!r}."))
    document.add(tomlkit.comment("`hpsearch retrain` fits it on all rows that are not held out."))
    name = f"{best.definition.name[:95]}-best"
    document["study"] = {"name": name, "seed": best.definition.seed}
    document["data"] = best.definition.data.moved(best.definition.folder, folder)
    for section in ("holdout", "validation"):
        if section in raw:
            document[section] = dict(raw[section])
    if best.definition.search.objective != "loss":
        document["search"] = {"objective": best.definition.search.objective}
    train = tomlkit.table()
    for key, (value, origin) in best.settings().items():
        train.add(key, _inline(value) if isinstance(value, dict) else value)
        train[key].comment(origin)
    document["train"] = train
    origins = tomlkit.table()
    origins["study"], origins["trial"], origins["trials"] = best.definition.name, result.number, best.trials
    origins["objective"] = best.definition.search.objective
    origins["objective_value"] = result.value
    name, value = best.beside
    if value is not None:
        origins[name] = value
    origins["configuration"] = best.config.fingerprint
    origins["data_fingerprint"] = best.data_fingerprint
    origins["rule"] = best.rule
    origins["objective_value"].comment(
        f"mean {best.definition.metric.title}, chosen among {best.trials} trials: optimistic"
    )
    if best.corrected is not None:
        for key in ("value", "low", "high"):
            origins[f"corrected_{key}"] = getattr(best.corrected, key)
        origins["corrected_value"].comment("the best value without the luck of having been it, and its interval")
    document["origin"] = origins
    return tomlkit.dumps(document)
