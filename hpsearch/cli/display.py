"""What the commands print."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.cli.terminal import columns, complain, draw, say, say_aside, say_rows, table
from hpsearch.numbers import digits, plural, readable, rounded, score_text, setting_text, times

if TYPE_CHECKING:
    import pandas as pd

    from hpsearch.data.audit import Finding
    from hpsearch.definition.study import StudyDefinition
    from hpsearch.model.bundle import Bundle
    from hpsearch.model.export import Exported
    from hpsearch.results.best import Best
    from hpsearch.results.confirm import Confirmation
    from hpsearch.results.nested import Nested
    from hpsearch.results.verdict import Compared
    from hpsearch.storage.trial_result import TrialResult
    from hpsearch.validation.cross_validate import CrossValidation
    from hpsearch.validation.metric import Metric


def trials(frame: pd.DataFrame, definition: StudyDefinition, most: int) -> None:
    """The best trials of a study, and how the others ended."""
    from hpsearch.results.views import arranged_trials

    metric = definition.metric
    counts = frame["state"].value_counts()
    words = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "unfinished"}
    ended = ", ".join(f"{counts[state]} {word}" for state, word in words.items() if state in counts)
    upward = [metric.direction == "minimize", True]
    complete = frame[frame["state"] == "COMPLETE"].sort_values(["value", "number"], ascending=upward).head(most)
    say(f"{plural(len(frame), 'trial')}: {ended}. The best {len(complete)}:\n")
    shown = complete.drop(columns=["state", "reason", "epochs_trained", "same_as", "machine"])
    table(arranged_trials(shown, metric, list(definition.space.dimensions)))


def best(found: Best) -> None:
    """The best configuration, where each value came from, and what the numbers mean."""
    result = found.result
    say(f"Best configuration of {found.definition.name!r}: trial {result.number} of {found.trials}\n")
    say_rows((name, setting_text(value), origin) for name, (value, origin) in found.settings().items())
    _curve(result, found.definition.metric)
    mean = _mean(found.definition.metric, result.value, found.score_name, result.score)
    say(f"\n{mean}, {_over(len(result.folds))} of the search, at epoch {result.best_epoch}.\n")
    say_rows(found.scores())
    say(f"\n{found.belief()}")
    _baselines(found)
    _diagnoses(found)


def _baselines(found: Best) -> None:
    """What models without a search score, where that is known."""
    from hpsearch.results.best import BASELINES_TITLE

    if found.comparison is None:
        return
    say(f"\n{BASELINES_TITLE}:\n")
    say_rows(found.baselines())
    say(f"\n{found.against()}")


def _diagnoses(found: Best) -> None:
    """What the results say about the study file, a line each."""
    from hpsearch.results.best import DIAGNOSES_TITLE

    if found.diagnoses:
        say(f"\n{DIAGNOSES_TITLE}:\n")
    for finding in found.diagnoses:
        say(f"- {finding}")


def _curve(result: TrialResult, metric: Metric) -> None:
    """How the objective went over the epochs, on a terminal."""
    from hpsearch.cli.curve import curve, fits

    if not sys.stdout.isatty() or len(result.epochs) < 3:
        return
    width = min(60, shutil.get_terminal_size().columns - 14)
    name = metric.title_of_mean
    sys.stdout.write(f"\n{name[0].upper()}{name[1:]} over the splits by epoch:\n\n")
    means = [metric.in_headline(mean) for mean in result.intermediate]
    for line in curve(result.epochs, means, width, plain=not fits(sys.stdout.encoding)):
        sys.stdout.write(f"{line}\n")


def _mean(metric: Metric, value: float | None, score_name: str, score: float | None) -> str:
    """A mean over splits of the objective, and of the score if that is another."""
    from hpsearch.validation.metrics import METRICS, shown

    other = METRICS[score_name]
    more = "" if metric is other or score is None else f", {other.title} {score_text(score)}"
    name = metric.title_of_mean
    return f"{name[0].upper()}{name[1:]} {shown(value or 0.0, metric)}{more}"


def _over(splits: int) -> str:
    return f"over {plural(splits, 'split')}" if splits > 1 else "on a single split (which has no standard error)"


def nothing_complete(frame: pd.DataFrame, name: str) -> None:
    """Every trial failed or was pruned: say the most frequent reason."""
    reasons = frame["reason"].dropna()
    most = "" if reasons.empty else f" Most often {reasons.mode().iloc[0]}."
    complain(
        f"No trial of {name!r} is complete among {len(frame)}.{most} Lower the learning rates in [space] or [train]."
    )


def facts(values: Mapping[str, Any]) -> None:
    """Names and what they are, one a line."""

    def written(value: Any) -> str:
        if isinstance(value, Mapping):
            return ", ".join(f"{key}: {written(inner)}" for key, inner in value.items()) or "nothing"
        if isinstance(value, float):
            return digits(value, 6)
        return "none" if value is None else str(value)

    say_rows((name.replace("_", " "), written(value)) for name, value in values.items())


def findings(found: Sequence[Finding], notes: bool = False) -> None:
    """What the leakage audit found, a line each; notes, which ask for nothing, only where they are wanted."""
    for finding in found:
        if finding.level == "note" and not notes:
            continue
        say_aside(f"{finding.level} ({finding.name}): {finding}")


def cross_validation(outcome: CrossValidation) -> None:
    """One row a fold, and their mean."""
    import pandas as pd

    from hpsearch.results.views import arranged_folds
    from hpsearch.validation.metrics import objective_metric, shown

    frame = pd.DataFrame([fold.row() for fold in outcome.folds])
    table(arranged_folds(frame, objective_metric("loss", outcome.loss_name)))
    mean = _mean(outcome.metric, outcome.value, outcome.score_name, outcome.score)
    say(f"\n{mean}, at epoch {outcome.best_epoch}; {plural(outcome.parameters, 'parameter')}.")
    sure = outcome.estimate
    assert sure is not None  # complete
    if sure.standard_error is None:
        say("There is a single split, so there is no standard error: how sure this number is cannot be told.")
    else:
        metric, error = outcome.metric, sure.standard_error
        if metric.root is not None:  # of a root, by the delta method
            error /= 2 * metric.in_headline(sure.mean)
        low, high = (shown(value or 0.0, metric) for value in (sure.low, sure.high))
        whose = "mean" if metric.root is None else metric.root.title
        say(
            f"Standard error over the {plural(sure.splits, 'split')} {readable(error)}; 95 % interval of the {whose} "
            f"{low} to {high}\n(Nadeau & Bengio 2003: for folds, whose training rows overlap, a heuristic)."
        )


def confirmed(found: Confirmation) -> None:
    """The trials on fresh splits, and which are distinguishable from the first."""
    import pandas as pd

    metric = found.metric
    behind = "above_the_first" if metric.direction == "minimize" else "below_the_first"
    first, best = found.trials[0].trial, found.trials[0].objective
    name = "fresh_splits" if metric.root is None else f"{metric.root.title}_of_fresh_splits"
    against = {pair.worse: pair for pair in found.comparisons if pair.better == first}
    rows = []
    for one in found.trials:
        pair, mean = against.get(one.trial), None if one.objective is None else one.objective.mean
        unit = 1.0
        if metric.root is not None and best is not None and mean is not None:
            # Of roots: a² - b² = (a - b)(a + b), and the same for the interval, near enough.
            unit = metric.in_headline(best.mean) + metric.in_headline(mean)
        between = None if pair is None else f"{_number(pair.low / unit)} to {_number(pair.high / unit)}"
        rows.append(
            {
                "trial": one.trial,
                name: None if mean is None else metric.in_headline(mean),
                one.score_name: one.score,
                behind: None if pair is None else pair.difference / unit,
                "95%_interval": between,
                "p": None if pair is None else pair.p,
                "distinguishable": None if pair is None else "yes" if pair.distinguishable else "no",
                "search": metric.in_headline(one.searched),
                "parameters": one.parameters,
            }
        )
    deals = f"dealt {times(found.repeats)}"
    say(f"Trials of {found.study!r}, the best {len(rows)}, on fresh splits: {found.splits}, {deals}.\n")
    table(pd.DataFrame(rows))
    different = [str(pair.worse) for pair in against.values() if pair.distinguishable]
    alike = [str(pair.worse) for pair in against.values() if not pair.distinguishable]
    lines = [
        f"Trial {first} is really better than {_trials(different)}." if different else "",
        f"Between trial {first} and {_trials(alike)} these rows cannot tell: take the one you like." if alike else "",
    ]
    if not found.comparisons:
        alone = "There is one trial" if len(rows) == 1 else "There is a single split, so there is no standard error"
        say(f"\n{alone}: nothing can be compared. No held-out row was used.")
        return
    say("\n" + " ".join(line for line in lines if line))
    say(
        "(p: corrected paired t-tests, adjusted for all pairs by Holm; an interval is for its pair alone. Fresh splits "
        "of\nthe same rows take away the luck of splits and seeds, not that of the rows; no held-out row was used.)"
    )


def compared(found: Compared) -> None:
    """Two studies, trials or models on the same rows, and the verdict."""
    groups = "" if found.units in (None, found.rows) else f" in {found.units:,} independent groups"
    say(f"{found.title} of {found.on}, {found.rows:,} rows{groups}:\n")
    say_rows(found.scores())
    say(f"\n{found.sentence}")
    for line in found.remarks:
        say(line)


def _trials(numbers: Sequence[str]) -> str:
    *most, last = numbers
    return f"trials {', '.join(most)} and {last}" if most else f"trial {last}"


def nested(found: Nested, name: str) -> None:
    """The outer splits, how much the choice varies, and the estimate."""
    import pandas as pd

    from hpsearch.validation.metrics import METRICS, objective_metric, shown
    from hpsearch.validation.score import as_plain

    say("")
    known = found.objective in ("loss", found.score_name)  # then it has a column already
    hidden = {"chosen", "objective"} if known else {"chosen"}
    loss, searched = (objective_metric(one, found.loss_name) for one in ("loss", found.objective))
    rows = []
    for split in found.splits:
        values = {key: value for key, value in as_plain(split).items() if key not in hidden}
        where = {key: values.pop(key) for key in ("training_rows", "validation_rows", "study")}
        for key in ("searched", "objective", "corrected"):
            if values.get(key) is not None:
                values[key] = searched.in_headline(values[key])
        mean = loss.in_headline(values.pop("loss"))
        rows.append(
            {"trial": values.pop("trial"), loss.headline.title if loss.root else "loss": mean, **values, **where}
        )
    table(pd.DataFrame(rows))
    say("\nWhat the searches chose, one value an outer split:\n")
    say_rows(
        (hyperparameter, *("–" if value is None else rounded(value) for value in values))
        for hyperparameter, values in found.chosen.items()
    )
    sure, metric = found.shipped or found.loss, objective_metric("loss", found.loss_name)
    name_of_loss = "loss" if metric.root is None else metric.root.title
    sizes = sorted({split.training_rows for split in found.splits})
    fewer = plural(sizes[0], "row") if len(sizes) == 1 else f"{sizes[0]:,} to {plural(sizes[-1], 'row')}"
    lines = [(name_of_loss, shown(found.loss.mean, metric), f"of the outer splits, trained on {fewer}")]
    if found.on_all_rows is not None:
        along = "the same on all rows, along the learning curves of their searches"
        lines.append(("", shown(found.on_all_rows.mean, metric), along))
    if found.corrected is not None:
        lines.append(("", shown(found.corrected, metric), "the corrected score of the study itself"))
    lines.append((METRICS[found.score_name].title, _number(found.score, 3), "of the outer splits"))
    if not known:
        lines.append((found.objective, _number(found.value), "mean over the outer splits"))
    say("")
    say_rows(lines)
    if sure.low is None or sure.high is None:
        interval = " (no interval: rows that follow each other in time are not independent)"
    else:
        interval = f", 95 % interval {shown(sure.low, metric)} to {shown(sure.high, metric)}"
    of_both = ", the mean of the last two" if found.shipped is not None and found.corrected is not None else ""
    say(
        f"\nNested estimate: {name_of_loss} {shown(sure.mean, metric)}{of_both}{interval}.\nBelieve it for the whole "
        f"way that {name!r} goes, search and retraining on {fewer if found.shipped is None else 'all rows'};\n"
        "not for one configuration. No held-out row was used."
    )


def _number(value: float | None, digits: int = 4) -> str:
    """A metric of some rows, which may lack what defines it."""
    if value is None:
        return "undefined"
    return readable(value) if digits == 4 else score_text(value)


def retrained(bundle: Bundle, folder: Path) -> None:
    """The numbers of a retrained model, side by side, and what to believe."""
    from hpsearch.validation.metrics import objective_metric, shown
    from hpsearch.validation.score import named_score

    about = bundle.about
    training, held_out, origin = about["training"], about["holdout"], about["origin"]
    objective = about["objective"]
    searched = origin["objective"] if about["as_exported"] else "loss"
    score_name, _ = named_score(training)
    metrics = {
        name: objective_metric(name, bundle.architecture.loss) for name in ("loss", score_name, objective, searched)
    }

    def title(name: str) -> str:
        return name if name == "loss" and metrics[name].root is None else metrics[name].headline.title

    def number(name: str, value: float | None) -> str:
        if value is None:
            return "undefined"
        return score_text(value) if name == score_name else shown(value, metrics[name])

    drawn = columns()
    drawn.add_column("")
    heads = list(dict.fromkeys(map(title, metrics)))  # the loss and the objective may have the same headline
    of_interval = list(dict.fromkeys(map(title, ("loss", searched))))
    for head in ("rows", *heads, *(f"95 % interval of the {head}" for head in of_interval)):
        drawn.add_column(head, justify="right")

    def row(name: str, values: Mapping[str, Any], between: Mapping[str, tuple[float | None, float | None]]) -> None:
        cells = {title(metric): number(metric, values[metric]) for metric in metrics if metric in values}
        spans = {
            title(metric): f"{number(metric, low)} to {number(metric, high)}"
            for metric, (low, high) in between.items()
            if low is not None
        }
        texts = [cells.get(head, "") for head in heads] + [spans.get(head, "") for head in of_interval]
        drawn.add_row(name, str(values.get("rows", "")), *texts)

    row("training", training, {})
    if about["as_exported"]:
        score = {score_name: origin[score_name], searched: origin["objective_value"]}
        row(f"search score ({plural(origin['trials'], 'trial')})", score, {})
        if origin["corrected_value"] is not None:
            limits = origin["corrected_low"], origin["corrected_high"]
            row("corrected score", {searched: origin["corrected_value"]}, {searched: limits})
    if held_out:
        row("hold-out", held_out, {"loss": (held_out["low"], held_out["high"])})
    members, again = about["members"], about["trained_again"]
    trained = "Trained" if members == 1 else f"Trained {plural(members, 'network')}, whose predictions are averaged,"
    epochs = plural(about["train"]["epochs"], "epoch")
    say(f"{trained} for {epochs}; final learning rate {about['learning_rate_at_end']:.8g}.")
    if again:
        say(f"A training diverged {times(again)} and was begun again with the next seed.")
    say("")
    draw(drawn)
    if not held_out:
        whose = origin["corrected_is_about"] if about["as_exported"] else None
        which = f"corrected score, of {whose}" if whose else "corrected score, if there is one"
        believe = f"There was no hold-out to score: believe the {which}."
    elif about["scorings"] > 1:
        believe = (
            f"The hold-out was scored {times(about['scorings'])}: it is no longer untouched. Whoever chose by the "
            "earlier scores has made this one optimistic."
        )
    elif origin and not about["as_exported"]:
        believe = (
            f"This is not the configuration that {origin['study']!r} found. Believe the hold-out only if it was not "
            "opened before."
        )
    else:
        believe = "Believe the hold-out: no choice was made with it" + (
            ", if this is its first scoring." if about["not_recorded"] else "."
        )
    say(f"\n{believe}")
    if held_out and about["not_recorded"]:
        say(f"(The scoring is recorded in the model's folder only: {about['not_recorded']})")
    say(f"Saved in {folder}.")


def exported(found: Exported, data: Path | None) -> None:
    """What a model written in another format takes and gives, and what it was checked on."""
    drawn = columns()
    for name in ("", "name", "type", "shape"):
        drawn.add_column(name)
    for what, values in (("input", found.inputs), ("output", found.outputs)):
        for value in values:
            drawn.add_row(what, value["name"], value["type"], f"({', '.join(map(str, value['shape']))})")
    draw(drawn)
    of = {"study": "all {} of the study's data", "file": f"all {{}} of {data}", "made": "{} made for it"}
    regression = found.outputs[-1]["name"].startswith("prediction")
    same = "predictions within {} of the target's scale" if regression else "the same classes, probabilities within {}"
    say(
        f"\nChecked on {of[found.checked_on].format(plural(found.rows, 'row'))}: "
        f"{same.format(f'{found.largest_difference:.1e}')}."
    )
    if found.not_study is not None:
        say(f"(Not on the study's rows: {found.not_study} With --data, name the study file, or a file of rows.)")
    say(f"Written to {found.file}.")
