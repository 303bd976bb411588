"""What `evaluate` prints."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpsearch.cli.terminal import columns, draw, say
from hpsearch.numbers import plural, readable, rounded, score_text

if TYPE_CHECKING:
    from hpsearch.model.evaluate import Confusion, Decisions, Evaluated, Expected, Interval, Residuals

MOST_CLASSES = 10  # of a table of all of them; of more, the largest confusions
MOST_CONFUSIONS = 10


def evaluated(found: Evaluated, model: Path) -> None:
    """How a model does on labelled rows."""
    say(_rows(found))
    say("")
    _metrics(found)
    for expected in found.expected:
        say(f"\n{_agreement(expected, found)}")
    if found.decisions is not None:
        _decisions(found.decisions)
    if found.confusion is not None:
        _confusion(found.confusion, found.decisions)
    if found.residuals is not None:
        _residuals(found.residuals)
    if found.decisions is not None:
        setting = shlex.quote(f"{found.decisions.class_name}={found.decisions.chosen.threshold:.4g}")
        say(f"\nNext: hpsearch predict {model} ROWS.csv --threshold {setting}")


def _rows(found: Evaluated) -> str:
    parts = [plural(found.rows, "row")]
    if found.units is None:
        parts.append("which follow each other in time, so that there are no intervals")
    elif found.units < found.rows:
        why = "groups, or rows that repeat each other" if found.grouped else "rows that repeat each other count as one"
        parts.append(f"of which {found.units:,} are independent ({why})")
    if found.weighted:
        parts.append("which count by their weights")
    if found.left_out:
        parts.append(f"{found.left_out:,} more without a target left out")
    return f"{', '.join(parts)}."


def _between(of: Interval, text: Any = readable) -> str:
    return "" if of.low is None or of.high is None else f"{text(of.low)} to {text(of.high)}"


def _metrics(found: Evaluated) -> None:
    from hpsearch.results.views import FIRST_METRICS
    from hpsearch.validation.metrics import METRICS

    drawn = columns()
    for head in ("metric", "value", "95 % interval"):
        drawn.add_column(head, justify="left" if head == "metric" else "right")
    first = [name for name in FIRST_METRICS if name in found.metrics]
    for name in (*first, *(name for name in found.metrics if name not in first)):
        of = found.metrics[name]
        metric = METRICS[name]
        text = score_text if metric.is_share or name == "r2" else readable
        title = "loss" if name == "loss" else metric.title
        drawn.add_row(title, "undefined" if of.value is None else text(of.value), _between(of, text))
    draw(drawn)


def _agreement(expected: Expected, found: Evaluated) -> str:
    from hpsearch.validation.metrics import METRICS

    metric = METRICS[expected.metric]
    title = "loss" if expected.metric == "loss" else metric.title
    score = "undefined" if expected.score.value is None else readable(expected.score.value)
    between = _between(expected.score)
    interval = f", 95 % interval {between}" if between else ""
    line = f"Expected {title}: {score}{interval} ({expected.name}, of {expected.about})."
    if expected.difference.value is None:
        return line
    sign = "higher" if expected.difference.value >= 0 else "lower"
    size = f"{readable(abs(expected.difference.value))} {sign}"
    between = _between(expected.difference)
    of_difference = f" (95 % interval of the difference {between})" if between else ""
    verdicts = {
        None: f"These rows: {size}; whether they agree cannot be told.",
        "agree": f"These rows agree: {size}{of_difference}.",
        "worse": f"These rows are worse: {size}{of_difference}. They may be of another kind than those trained on.",
        "better": f"These rows are better: {size}{of_difference}. Was the model trained on some of them?",
    }
    return f"{line}\n{verdicts[expected.verdict]}"


def _decisions(found: Decisions) -> None:
    name = repr(found.class_name)
    say(f"\nMissing a {name} costs {found.ratio:g} times a false {name}. It is predicted from this probability on:\n")
    drawn = columns()
    drawn.add_column("")
    for head in ("probability", "cost a row, out of fold", "95 % interval", "on these rows", "95 % interval"):
        drawn.add_column(head, justify="right")
    notes = {"in theory": f"1 / (1 + {found.ratio:g})"}
    for one in found.of:
        drawn.add_row(
            notes.get(one.name, one.name),
            rounded(one.threshold),
            readable(one.expected.value or 0.0),
            _between(one.expected),
            readable(one.realised.value or 0.0),
            _between(one.realised),
        )
    draw(drawn)
    whose = "averages of the study's networks" if found.averaged else "single networks of the study"
    say(
        f"\nChosen on out-of-fold predictions, by {whose}; its cost there is of rows that it was not chosen on. "
        "The metrics above are of the most probable class."
    )


def _confusion(found: Confusion, decisions: Decisions | None) -> None:
    at = "" if decisions is None else f" at the chosen threshold, {decisions.chosen.threshold:.4g}"
    if len(found.classes) > MOST_CLASSES:
        say(f"\nThe largest confusions{at}:\n")
        drawn = columns()
        for head in ("true class", "predicted", "rows", "of the class"):
            drawn.add_column(head, justify="left" if head in ("true class", "predicted") else "right")
        of_class = {name: sum(row) for name, row in zip(found.classes, found.counts, strict=True)}
        for true, other, count in found.largest(MOST_CONFUSIONS):
            drawn.add_row(true, other, f"{count:g}", f"{100 * count / of_class[true]:.0f} %")
        draw(drawn)
        say("\nBy class:\n")
    else:
        say(f"\nPredicted classes{at}, across, by the true class, down:\n")
    drawn = columns()
    drawn.add_column("")
    shown = found.classes if len(found.classes) <= MOST_CLASSES else ()
    for head in (*shown, "rows", "recall", "precision"):
        drawn.add_column(head, justify="right")
    for place, name in enumerate(found.classes):
        counts = found.counts[place]
        shares = ("" if of is None else score_text(of) for of in (found.recall[place], found.precision[place]))
        drawn.add_row(name, *(f"{count:g}" for count in counts if shown), f"{sum(counts):g}", *shares)
    draw(drawn)


def _residuals(found: Residuals) -> None:
    say(
        f"\nResiduals, predictions minus targets: mean {readable(found.bias.value or 0.0)}"
        + (f", 95 % interval {between}" if (between := _between(found.bias)) else "")
        + "\n"
    )
    drawn = columns()
    for share in found.quantiles:
        drawn.add_column(f"{100 * share:g} %", justify="right")
    drawn.add_row(*map(readable, found.quantiles.values()))
    draw(drawn)
    say("\nThe largest:\n")
    drawn = columns()
    for head in ("row", "target", "prediction", "residual"):
        drawn.add_column(head, justify="right")
    for one in found.worst:
        drawn.add_row(str(one["row"]), *(readable(one[name]) for name in ("target", "prediction", "residual")))
    draw(drawn)
