"""The best configuration of a study, and what its numbers mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hpsearch.definition.space import split_name
from hpsearch.definition.study import StudyDefinition
from hpsearch.errors import HpsearchError, Setting, StorageError, did_you_mean, quoted
from hpsearch.markup import learning_curve, table, text
from hpsearch.numbers import plural, rounded, score_text, setting_text, times
from hpsearch.results.diagnosis import Diagnosis, Observed, diagnose
from hpsearch.search.baselines import Comparison, Shipped, shipped_predictions, stored_comparison
from hpsearch.search.correction import Correction, correct, correct_shipped, definition_of
from hpsearch.search.finals import Choice, choose, finals
from hpsearch.search.objective import data_fingerprint
from hpsearch.storage.stored_results import stored_result
from hpsearch.storage.stored_study import SCORINGS, StoredStudy
from hpsearch.storage.trial_result import TrialResult, best_result, one_se_result
from hpsearch.validation.config import PER_LAYER, Config, used_by
from hpsearch.validation.metric import Metric
from hpsearch.validation.metrics import METRICS, objective_metric, shown
from hpsearch.validation.score import SCORE_NAMES
from hpsearch.validation.selection import Corrected

# What stands above them, wherever they are shown.
BASELINES_TITLE = "Without a search, on the same splits"
DIAGNOSES_TITLE = "What the results say about the study file"


@dataclass(frozen=True)
class Best:
    """The best configuration of a study: what the finals chose, or the complete trial with the best objective value.

    Attributes:
        definition: the study's.
        chosen: what the search chose for this trial.
        config: the whole configuration; its ``epochs`` are those of the chosen checkpoint.
        result: the trial's outcome in the search.
        trials: how many trials had been told.
        complete: how many of them are complete: the value is the best of theirs.
        data_fingerprint: of the rows searched with and those held out.
        rule: by which it was chosen, of ``RULES``.
        correction: what is shipped scores on new rows, or the best trial of the search, or why that cannot be told.
        scorings: how often the study's hold-out has been scored.
        final: what the finals chose; None where they did not choose.
        at_most: the most parameters of the trials that it was chosen among; None where it was among all.
        comparison: with models without a search, of which the networks' own number is the corrected one; None where
            there is none of these networks.
        diagnoses: what the results say about the study file.
    """

    definition: StudyDefinition
    chosen: dict[str, Any]
    config: Config
    result: TrialResult
    trials: int
    complete: int
    data_fingerprint: str
    rule: str
    correction: Correction
    scorings: int
    final: Choice | None = None
    at_most: int | None = None
    comparison: Comparison | None = None
    diagnoses: tuple[Diagnosis, ...] = ()

    @property
    def corrected(self) -> Corrected | None:
        """The corrected score, if there is one."""
        return self.correction.score

    @property
    def of_ensemble(self) -> bool:
        """Whether the finals chose for an ensemble, which the corrected score is then about."""
        return self.final is not None and self.final.of_ensemble

    @property
    def members(self) -> int:
        """How many networks are shipped."""
        return self.definition.retrain.members

    @property
    def score_name(self) -> str:
        """The name of the result's score."""
        return SCORE_NAMES[self.definition.data.predicts]

    @property
    def uncorrected(self) -> str | None:
        """Why there is no corrected score; None if there is one."""
        return self.correction.missing

    def settings(self) -> dict[str, tuple[Any, str]]:
        """Every hyperparameter that this configuration uses, and where its value came from."""
        searched, layered = set(self.chosen), {split_name(name)[1] for name in self.chosen if "." in name}
        values = {}
        for name in Config.model_fields:
            if not used_by(name, [self.config.optimizer], [self.config.activation]):
                continue
            if name == "target_scaling" and self.definition.data.predicts == "classification":
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
                if self.final is None:
                    origin = f"the chosen checkpoint of trial {self.result.number}, which ran {self.result.epochs[-1]}"
                else:
                    origin = f"the chosen checkpoint of the finals, which ran {self.final.final.epochs[-1]}"
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
        if self.final is None and self.correction.candidates == 1:
            return "of the one candidate there was"
        among = plural(self.complete, "complete trial")
        among += "" if self.at_most is None else f" of at most {plural(self.at_most, 'parameter')}"
        if self.final is not None:
            return f"optimistic: a finalist among {among}"
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
            **({} if self.at_most is None else {"at_most": self.at_most}),
            "objective": self.definition.search.objective,
            "value": self.result.value,
            "corrected": self.corrected and asdict(self.corrected),
            "uncorrected": self.uncorrected,
            "members": self.members,
            "final": self.final and {"value": self.final.value, "of_ensemble": self.final.of_ensemble},
            "corrected_is_about": self.about,
            "holdout_scorings": self.scorings if self.has_holdout else None,
            self.score_name: self.result.score,
            "best_epoch": self.config.epochs,
            "parameters": self.result.parameters,
            "baselines": self.comparison and self._compared(self.comparison),
            "findings": [asdict(finding) for finding in self.diagnoses],
            "config": {name: value for name, (value, _) in self.settings().items()},
        }

    def scores(self) -> list[tuple[str, str, str]]:
        """The numbers of the study for reading: name, value, what it is."""
        fixed, splits, metric = self.corrected, len(self.result.folds), self.definition.metric
        over = f"over {plural(splits, 'split')}" if splits > 1 else "on a single split"
        over = over if metric.root is None else f"{metric.root.title} {over}"
        rows = [("search score", shown(self.result.value or 0.0, metric), f"{over}; {self.choice}")]
        if self.final is not None and (fixed is None or not self.of_ensemble):
            rows.append(("finals", shown(self.final.value, metric), f"{self._judged}; the best of the finalists"))
        if fixed is None:
            rows.append(("corrected score", "none", f"{self.uncorrected}"))
        else:
            rows.append(("corrected score", shown(fixed.value, metric), f"{self._interval(fixed)}; of {self.about}"))
        return [*rows, ("hold-out", *self._holdout())]

    @property
    def _judged(self) -> str:
        """What the finals looked at."""
        repeats = self.definition.search.finalist_repeats
        networks = f"{plural(repeats, 'network')} averaged" if self.of_ensemble and repeats > 1 else "one network"
        return f"{networks}, on {plural(repeats, 'fresh repeat')} of the splits"

    @property
    def about(self) -> str | None:
        """What the corrected score is about; None if there is none."""
        if self.corrected is None:
            return None
        if not self.of_ensemble:
            whose = "these networks" if self.rule == "lowest" else "the search's best trial"
            return f"{whose}, one a split"
        rows = (
            "all rows"
            if self.corrected.more_rows is not None
            else f"the rows of a split, as {self.correction.no_curve}"
        )
        return f"{self._averaged}, trained on {rows}"

    @property
    def _averaged(self) -> str:
        """The networks that the corrected score of an ensemble is about: those of the finals, if fewer are shipped."""
        repeats = self.definition.search.finalist_repeats
        if repeats > self.members:
            return f"{plural(repeats, 'network')} averaged, of which {plural(self.members, 'is', 'are')} shipped"
        return f"{plural(self.members, 'network')} averaged"

    def _interval(self, score: Corrected) -> str:
        low, high = (shown(value, self.definition.metric) for value in (score.low, score.high))
        return f"95 % interval {low} to {high}"

    def _holdout(self) -> tuple[str, str]:
        if not self.has_holdout:
            return "none", "no rows were held out"
        if not self.scorings:
            return "not opened", "retrain scores it, once"
        return "opened", f"scored {times(self.scorings)}"

    def belief(self) -> str:
        """What to believe, in a sentence or two, each on a line of its own."""
        if self.has_holdout and self.scorings == 1:
            return "Believe the hold-out's score: no choice was made with it."
        if self.has_holdout and self.scorings > 1 and self.corrected is None:
            return f"The hold-out was scored {times(self.scorings)}: it is no longer untouched."
        if (fixed := self.corrected) is not None:
            metric = self.definition.metric
            if self.of_ensemble:
                whose = self._averaged
            else:
                whose = "these networks" if self.rule == "lowest" else "the best trial's networks"
            headline = metric.headline
            if metric.root is not None:
                verb = f"have an {headline.title} of"
            else:
                verb = "lose" if self.definition.search.objective == "loss" else f"have a mean {metric.title} of"
            unit = f" {headline.unit}" if headline.unit else ""
            value, low, high = (shown(one, metric) for one in (fixed.value, fixed.low, fixed.high))
            between = f"with 95 % confidence between {low} and {high}."
            if fixed.bound is not None:
                most = "at most" if metric.direction == "minimize" else "at least"
                between += f"\nOne-sided, with the same confidence: {most} {shown(fixed.bound, metric)}."
            return f"Believe the corrected score: on new rows {whose} {verb} about {value}{unit}, {between}"
        optimistic = "Do not believe the search score, which is optimistic:"
        if self.has_holdout and not self.scorings:
            return f"{optimistic} retrain the best, which scores the hold-out once."
        return f"{optimistic} hpsearch nested estimates it without the luck."

    def baselines(self) -> list[tuple[str, str, str]]:
        """The networks beside models without a search, for reading: name, value, how they compare; none if unknown."""
        if self.comparison is None:
            return []
        metric, comparison = self.definition.metric, self.comparison
        own = metric.in_headline(comparison.value)
        rows = [(self._who, shown(comparison.value, metric), "what is shipped, trained on the rows of a split")]
        for one in comparison.baselines:
            if one.value is None or one.difference is None:
                rows.append((one.title, "none", f"left out: {one.missing}"))
                continue
            # Of roots: a² - b² = (a - b)(a + b), and the same for the interval, near enough.
            unit = 1.0 if metric.root is None else own + metric.in_headline(one.value)
            gain = -metric.sign * one.difference / unit
            note = f"the {self._who} is {rounded(abs(gain))} {'better' if gain >= 0 else 'worse'}"
            if one.half is not None:
                half = one.half / unit
                note += f", 95 % interval {rounded(gain - half)} to {rounded(gain + half)}"
            rows.append((one.title, shown(one.value, metric), note))
        return rows

    @property
    def _who(self) -> str:
        return "ensemble" if self.comparison is not None and self.comparison.of_ensemble else "network"

    def against(self) -> str | None:
        """The one sentence on whether the networks are better than models without a search; None if unknown."""
        if self.comparison is None:
            return None
        comparison, metric = self.comparison, self.definition.metric
        known = [one for one in comparison.baselines if one.value is not None]
        verdicts = {
            verdict: [one.phrase for one in known if one.verdict(metric) == verdict]
            for verdict in ("better", "worse", "alike")
        }
        if not any(verdicts.values()):
            return "How sure these differences are cannot be told."
        count = comparison.units or comparison.rows
        what = "rows" if count == comparison.rows else "independent groups of rows"
        parts = [f"{word} than {_and(verdicts[word])}" for word in ("better", "worse") if verdicts[word]]
        proven = f"the {self._who} is {' and '.join(parts)}" if parts else ""
        apart = f"{'it' if parts else f'the {self._who}'} cannot be told apart" if verdicts["alike"] else ""
        alike = f"from {_and(verdicts['alike'])} {apart}" if apart else ""
        return f"With {count:,} {what}, {'; '.join(filter(None, (proven, alike)))}."

    def _compared(self, comparison: Comparison) -> dict[str, Any]:
        """The comparison in plain values, with its verdicts."""
        metric = self.definition.metric
        others = [
            {"name": one.name, "title": one.title, "value": one.value, "difference": one.difference}
            | {"low": None, "high": None, "verdict": one.verdict(metric), "missing": one.missing}
            | (
                {}
                if one.difference is None or one.half is None
                else {"low": one.difference - one.half, "high": one.difference + one.half}
            )
            for one in comparison.baselines
        ]
        return {"value": comparison.value, "units": comparison.units, "compared": others}

    def findings_html(self) -> str:
        """The baselines and what the results say about the study file, as HTML; nothing where nothing is known."""
        parts = []
        if self.comparison is not None:
            heads = ["model", self.definition.metric.title_of_mean, "difference"]
            shown = table(heads, self.baselines(), BASELINES_TITLE, hidden=True)
            parts.append(f"<h3>{BASELINES_TITLE}</h3>{shown}<p>{text(self.against())}</p>")
        if self.diagnoses:
            found = "".join(f'<div class="finding warning"><p>{text(finding)}</p></div>' for finding in self.diagnoses)
            parts.append(f"<h3>{DIAGNOSES_TITLE}</h3>{found}")
        return "".join(parts)

    def settings_html(self) -> str:
        """The configuration and where each value came from, as an HTML table."""
        rows = [(name, setting_text(value), origin) for name, (value, origin) in self.settings().items()]
        return table(["hyperparameter", "value", "where from"], rows, "The best configuration", hidden=True)

    def __repr__(self) -> str:
        scores = "\n".join(f"  {name}: {value} ({note})" for name, value, note in self.scores())
        chosen = ", ".join(f"{name} {setting_text(value)}" for name, value in self.chosen.items())
        head = f"Best of {quoted(self.definition.name)}: trial {self.result.number} of {self.trials}"
        return f"{head}, {chosen or 'nothing searched'}, epochs {self.config.epochs}\n{scores}"

    def _repr_html_(self) -> str:
        result = self.result
        losses = result.training_loss, result.validation_loss
        root = objective_metric("loss", self.definition.loss).root
        title = None if root is None else root.title
        curve = learning_curve(f"trial {result.number}", result.epochs, *losses, result.best_epoch, title)
        score = "" if result.score is None else f"{METRICS[self.score_name].title} {score_text(result.score)}, "
        head = (
            f"<p><b>Best configuration of {text(self.definition.name)}</b>: trial {result.number} of {self.trials}, "
            f"{score}{plural(result.parameters, 'parameter')}, epoch {self.config.epochs}</p>"
        )
        lines = "".join(
            f"<li>{text(name)}: <b>{text(value)}</b> ({text(note)})</li>" for name, value, note in self.scores()
        )
        return f"{head}<ul>{lines}</ul><p>{text(self.belief())}</p>{curve}{self.findings_html()}{self.settings_html()}"


def _and(names: Sequence[str]) -> str:
    """As ``the mean, ridge regression and trees``."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


# How a trial is chosen among those told, given the objective; what is lowest is highest where it is to be maximised.
_BY_SEARCH: dict[str, Callable[[Sequence[TrialResult], Metric], TrialResult | None]] = {
    "lowest": best_result,
    "one-se": one_se_result,
}
RULES = ("finals", *_BY_SEARCH)


def find_best(stored: StoredStudy, rule: str = "finals", at_most: int | None = None) -> Best:
    """The best configuration of a study.

    Args:
        stored: the study.
        rule: ``finals``, their choice, or as ``lowest`` where there were none; ``lowest`` objective value in the search
            (highest if it is to be maximised); or ``one-se``: the fewest parameters within one standard error of that.
        at_most: choose only among trials whose networks have at most so many parameters, as if there were no others:
            finalists that are so small are the best of those trials. None for all.

    Raises:
        HpsearchError: no trial is complete, no such rule, or a rule that needs more than one split.
    """
    if rule not in RULES:
        raise HpsearchError(got=f"Unknown rule {quoted(rule)}", do=did_you_mean(rule, RULES))
    trials = [trial for trial in stored.trials() if trial.state.is_finished()]
    results = [stored_result(trial) for trial in trials]
    definition, told = definition_of(stored), len(results)
    if at_most is not None:
        results = _small_enough(stored, results, at_most)
    lowest = best_result(results, definition.metric)
    if rule == "one-se" and lowest is not None and len(lowest.folds) == 1:
        raise HpsearchError(
            "The rule one-se needs a standard error over splits",
            f"{stored.name!r} has a single split",
            ("Use ", Setting("rule", "lowest"), "."),
        )
    evaluated = finals(stored, definition, trials) if rule == "finals" else []
    evaluated = [final for final in evaluated if at_most is None or final.parameters <= at_most]
    ensemble = definition.retrain.members > 1
    final = choose(evaluated, definition, ensemble)
    if final is None and rule == "finals":
        rule = "lowest"
    if final is None:
        best = _BY_SEARCH[rule](results, definition.metric)
    else:
        best = next(result for result in results if result.number == final.final.number)
    if best is None:
        raise HpsearchError(
            f"The study {stored.name!r} must have a complete trial to have a best one",
            f"has none among {len(results)} that ended",
            "Run it on, or see its trials' reasons.",
        )
    chosen = dict(trials[best.number].params)
    exact = {"epochs": best.best_epoch if final is None else final.epoch, "evaluate_every": definition.evaluate_every}
    config = definition.config(chosen).replaced(exact)
    identity = stored.attributes["identity"]
    data = data_fingerprint(identity["data.fingerprint"], identity["holdout.fingerprint"])
    correction = correct(stored, definition, results, all_of_them=at_most is None)
    if final is not None and ensemble:
        correction = correct_shipped(stored, definition, evaluated, correction, all_of_them=at_most is None)
    scorings = len(stored.attributes.get(SCORINGS, ()))
    complete = sum(result.value is not None for result in results)
    found = Best(definition, chosen, config, best, told, complete, data, rule, correction, scorings, final, at_most)
    shipped = _shipped(stored, best, final)
    comparison = None if shipped is None else _comparison(stored, found, shipped)
    if at_most is not None:  # what the results say about the study file, they say of all
        return replace(found, comparison=comparison)
    parameters = [trial.params for trial in trials]
    seen = Observed(definition, results, parameters, best, final, comparison, shipped)
    return replace(found, comparison=comparison, diagnoses=diagnose(seen))


def _small_enough(stored: StoredStudy, results: Sequence[TrialResult], at_most: int) -> list[TrialResult]:
    """The trials whose networks have at most so many parameters.

    Raises:
        HpsearchError: some are complete, but none that is so small.
    """
    small = [result for result in results if result.parameters <= at_most]
    sizes = [result.parameters for result in results if result.value is not None]
    if sizes and min(sizes) > at_most:
        raise HpsearchError(
            f"must be at least {min(sizes)}, the fewest parameters of a complete trial of {stored.name!r}",
            f"is {at_most}",
            where=Setting("at_most"),
        )
    return small


def _shipped(stored: StoredStudy, best: TrialResult, final: Choice | None) -> Shipped | None:
    try:
        return shipped_predictions(stored, best, final)
    except StorageError:  # the per-row results do not lie beside the storage
        return None


def _comparison(stored: StoredStudy, found: Best, shipped: Shipped) -> Comparison | None:
    """The stored comparison, with the corrected score where there is one of these networks."""
    comparison = stored_comparison(stored, shipped.trial, shipped.epoch, shipped.of_ensemble)
    if comparison is None:
        return None
    of_these = found.corrected if shipped.of_ensemble or found.rule == "lowest" else None
    return comparison if of_these is None else comparison.shifted(of_these.on_these_splits)
