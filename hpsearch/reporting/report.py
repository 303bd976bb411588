"""One study as one HTML file that needs nothing else: to open, to send, to print.

The file fetches nothing: its own scripts are named by their hashes in a content security policy that allows no others
and no network, so that what a name in the data may contain cannot run or call out either.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import tomlkit
from plotly.offline import get_plotlyjs

from hpsearch.atomic_write import require_replaceable, write_atomically
from hpsearch.data.columns import summary
from hpsearch.errors import HpsearchError
from hpsearch.markup import counted, table, text
from hpsearch.numbers import plural, score_text
from hpsearch.reporting.figures import GROUPS
from hpsearch.reporting.figures.style import TEMPLATES, swaps
from hpsearch.reporting.snapshot import Snapshot
from hpsearch.search.finals import finals
from hpsearch.storage.database import shown_url
from hpsearch.validation.metrics import METRICS, objective_metric
from hpsearch.validation.score import SCORE_NAMES

_MARK = '<meta name="generator" content="hpsearch">'
_HANDLING = (
    '<p class="on-screen">In a figure: drag to zoom, double-click to go back; a click in its legend hides or shows.</p>'
)
_TRIALS = 10  # rows of the table of trials
_FULL = ("regions", "history", "slices", "parallel", "pruning", "importance")  # figures that take the whole width


def write_report(study: Snapshot, path: Path, force: bool = False) -> None:
    """Write a study's report to a file, whole or not at all.

    Args:
        study: the study.
        path: the file; an earlier report is replaced.
        force: whether any other file may be.

    Raises:
        HpsearchError: the study has no trial that ended, or the file cannot be written or is no report.
    """
    require_replaceable(path, force, "an earlier report", _is_report)
    write_atomically(path, report(study).encode())


def _is_report(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _MARK.encode() in file.read(4096)
    except OSError:
        return False


def report(study: Snapshot) -> str:
    """A study's report: a whole HTML page.

    Raises:
        HpsearchError: the study has no trial that ended.
    """
    if not study.results:
        name = study.stored.name
        raise HpsearchError(f"The study {name!r} must have a trial that ended to report", "has none", "Run it first.")
    groups, drawn = _figures(study)
    sections: list[tuple[str, str, str]] = [("numbers", "What to expect", _numbers(study))]
    has_best = any(result.value is not None for result in study.results)
    if has_best:
        sections.append(("best", "The best configuration", study.best.settings_html()))
    sections += groups
    sections.append(("table", "The best trials, and the splits of the best", _tables(study) if has_best else ""))
    sections.append(("audit", "What the leakage audit found", _audit(study)))
    sections.append(("again", "How to repeat this", _again(study)))
    sections = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
    body = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{content}</section>'
        for name, title, content in sections
    )
    templates = {mode: template.to_plotly_json() for mode, template in TEMPLATES.items()}
    data = f'{{"figures":{{{drawn}}},"templates":{_json(templates)},"swaps":{_json(swaps())}}}'
    scripts = [get_plotlyjs(), _part("report.js")] if drawn else []
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    allowed = hashes or "'none'"
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "font-src data:; base-uri 'none'; form-action 'none'"
    )
    name = text(study.stored.name)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{_MARK}\n"
        f"<title>{name} – hpsearch report</title>\n<style>\n{_part('report.css')}</style>\n</head>\n<body>\n"
        f'<header><h1>{name}</h1>{_lead(study)}<nav aria-label="Contents"><ul>{links}</ul></nav></header>\n'
        f"<main>{body}</main>\n<footer><p>Losses are in {_unit(study)}, without penalty. "
        "Made by hpsearch from the stored study; this file fetches nothing.</p>"
        + (_HANDLING if drawn else "")
        + "</footer>\n"
        + (f'<script type="application/json" id="figures">{data}</script>\n' if drawn else "")
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def _unit(study: Snapshot) -> str:
    return objective_metric("loss", study.definition.loss).unit


def _part(name: str) -> str:
    return files("hpsearch.reporting").joinpath(name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    return _inert(json.dumps(value, sort_keys=True, separators=(",", ":")))


def _inert(plain: str) -> str:
    return plain.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _lead(study: Snapshot) -> str:
    """What was searched, in a line."""
    definition = study.definition
    parts = [definition.data.source]
    try:
        facts = study.prepared.facts()
        held_out = f", {facts['rows_held_out']:,} held out" if facts["rows_held_out"] else ""
        rows = f"{plural(facts['rows_to_search_with'], 'row')} to search with{held_out}"
        parts += [rows, _target(study, facts), summary(study.prepared.columns())]
    except HpsearchError:  # the audit below says why
        pass
    splits = study.attributes["n_splits"] * definition.validation.repeats
    parts += [f"{plural(splits, 'split')} ({definition.validation.splitter})"]
    return f'<p class="quiet">{text(" · ".join(parts))}</p><p class="quiet">{_trials_line(study)}</p>'


def _target(study: Snapshot, facts: Mapping[str, Any]) -> str:
    """What is predicted."""
    if "classes" in facts:
        return plural(len(facts["classes"]), "class", "classes")
    return f"a regression target ({study.data.target_name})"


def _trials_line(study: Snapshot) -> str:
    search = study.definition.search
    how = f"sampler {search.sampler.name}, pruner {search.pruner.name}"
    how += "" if search.patience is None else f", patience {search.patience:g}"
    return text(f"{counted(study.trials['state'].tolist())} · {how}")


def _numbers(study: Snapshot) -> str:
    if all(result.value is None for result in study.results):
        reasons = study.trials["reason"].dropna()
        most = "" if reasons.empty else f" Most often: {reasons.mode().iloc[0]}."
        return f'<p class="belief">{text(f"No trial is complete, so there is no best configuration.{most}")}</p>'
    best = study.best
    opened_once = best.has_holdout and best.scorings == 1
    believed = "hold-out" if opened_once else "corrected score" if best.corrected else ""
    cards = "".join(
        f'<div{" class=believe" if name == believed else ""}><dt>{name}</dt><dd class="value">{text(value)}</dd>'
        f'<dd class="note">{text(note)}</dd></div>'
        for name, value, note in best.scores()
    )
    result = best.result
    name, score = best.score_name, result.score
    if score is None:
        also = "it has"
    elif name == "accuracy":
        also = f"it predicts {score:.1%} of the validation rows right, with"
    else:
        also = f"it has a mean {METRICS[name].title} of {score_text(score)} on validation rows, and"
    line = (
        f"Mean {best.definition.metric.title} of trial {result.number} at epoch {result.best_epoch}; {also} "
        f"{plural(result.parameters, 'parameter')}."
    )
    return (
        f'<dl class="scores">{cards}</dl><p class="belief">{text(best.belief())}</p><p class="quiet">{text(line)}</p>'
        + best.findings_html()
    )


def _figures(study: Snapshot) -> tuple[list[tuple[str, str, str]], str]:
    """The sections of figures, and what is to be drawn in them as the inside of a JSON object."""
    sections, drawn = [], []
    has_best = any(result.value is not None for result in study.results)
    for place, (title, kinds) in enumerate(GROUPS.items(), 1):
        pieces: list[str] = []
        paired: list[str] = []
        missing: dict[str, list[str]] = {}
        for name, kind in kinds.items():
            if not kind.is_of(study):
                continue
            try:
                facts = kind.facts(study)
            except HpsearchError as error:
                missing.setdefault(str(error), []).append(kind.title)
                continue
            made = kind.draw(facts)
            made.layout.template = None
            drawn.append(f'"{name}":{_inert(made.to_json(engine="json"))}')
            beside = name in _FULL and not kind.wide
            piece = _figure(name, kind, kind.say(facts), int(made.layout.height), beside)
            (pieces if name in _FULL else paired).append(piece)
        content = "".join(pieces) + (f'<div class="pair">{"".join(paired)}</div>' if paired else "")
        content += _not_shown(missing) if has_best else ""  # else the first section says it
        if content:
            sections.append((f"figures-{place}", title, content))
    return sections, ",".join(drawn)


def _figure(name: str, kind: Any, said: str, height: int, beside: bool) -> str:
    wide = f' wide" tabindex="0" role="region" aria-label="{text(kind.title)}' if kind.wide else ""
    return (
        f'<figure{" class=beside" if beside else ""} aria-labelledby="{name}-title">'
        f'<h3 id="{name}-title">{text(kind.title)}</h3>'
        f'<div class="scroll{wide}"><div class="plot" id="figure-{name}" style="height:{height}px" role="img" '
        f'aria-labelledby="{name}-title" '
        f'aria-describedby="{name}-say"></div></div>'
        '<noscript><p class="quiet">The figure needs JavaScript.</p></noscript>'
        f'<figcaption><p class="say" id="{name}-say">{text(said)}</p><p>{_code(kind.how)}</p></figcaption></figure>'
    )


def _not_shown(missing: Mapping[str, Sequence[str]]) -> str:
    """Which figures there are not, by the reason."""
    lines = "".join(f"<li>{text('; '.join(titles))}. {text(reason)}</li>" for reason, titles in missing.items())
    return f'<p class="quiet">Not shown:</p><ul class="quiet">{lines}</ul>' if missing else ""


def _code(ours: str) -> str:
    """Text with commands in backticks."""
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text(ours))


def _tables(study: Snapshot) -> str:
    best = study.complete[:_TRIALS]
    searched = list(study.definition.space.dimensions)
    score_name = SCORE_NAMES[study.metric.task]
    columns = ["value", "standard_error", score_name, "best_epoch", "parameters", *searched]
    frame = study.trials.set_index("number")[columns]
    title = METRICS[score_name].title
    heads = ["trial", f"mean {study.metric.title}", "standard error", title, "epoch", "parameters", *searched]
    rows = [[result.number, *frame.loc[[result.number]].to_numpy(object)[0]] for result in best]
    plain = [[value.item() if hasattr(value, "item") else value for value in row] for row in rows]
    made = table(heads, plain, f"The best {len(best)} of {len(study.complete)} complete trials")
    names = (
        "repeat",
        "fold",
        "training_rows",
        "validation_rows",
        "training_loss",
        "penalty",
        "validation_loss",
        score_name,
    )
    chosen = study.best.result
    folds = [[fold.get(name) for name in names] for fold in chosen.folds]
    caption = f"Trial {chosen.number}, split by split, at its chosen checkpoint in the search"
    return made + _finals(study) + table([name.replace("_", " ") for name in names], folds, caption)


def _finals(study: Snapshot) -> str:
    """The finalists side by side; nothing where there were none."""
    evaluated, choice = finals(study.stored, study.definition), study.best.final
    if choice is None:
        return ""
    repeats, title = study.definition.search.finalist_repeats, study.metric.title
    heads = ["trial", f"mean {title} of one network", f"{title} of {repeats} averaged", "epoch", ""]
    rows = [
        [
            final.number,
            final.value,
            final.ensemble_value,
            final.best_epoch,
            "chosen" if final.number == choice.final.number else "",
        ]
        for final in evaluated
    ]
    caption = f"The finals: the best {len(rows)} of the search again, on {repeats} fresh repeats of the splits"
    return table(heads, rows, caption)


def _audit(study: Snapshot) -> str:
    try:
        findings = study.prepared.audit()
    except HpsearchError as error:
        return f"<p>{text(f'The data could not be loaded again, so it was not audited here: {error}')}</p>"
    if not findings:
        return "<p>Nothing: no validation or held-out row is known to the training in a way that the audit can see.</p>"
    allowed = study.definition.validation.allow
    return "".join(
        f'<div class="finding {finding.level}"><p><b>{finding.level}: {text(finding.name)}</b>'
        f"{' (allowed in the study file)' if finding.name in allowed else ''}. {text(finding)}</p></div>"
        for finding in findings
    )


def _again(study: Snapshot) -> str:
    name, identity, definition = study.stored.name, study.attributes["identity"], study.definition
    where = f" --storage {shlex.quote(shown_url(study.stored.url))}"
    commands = [
        f"hpsearch run {name}.toml{where}    # the study file; below, as it was stored",
        f"hpsearch best {name}{where} -o best.toml",
        f"hpsearch retrain best.toml{where} -o model",
    ]
    facts = {
        "seed": definition.seed,
        "data": identity["data.fingerprint"],
        "hold-out": identity["holdout.fingerprint"] or "none",
        "versions": ", ".join(f"{key[8:]} {value}" for key, value in identity.items() if key.startswith("version.")),
    }
    rows = "".join(f"<dt>{text(key)}</dt><dd>{text(value)}</dd>" for key, value in facts.items())
    stored = tomlkit.dumps(study.attributes["definition"])
    return (
        "<p>The same study file, data and versions give the same numbers on the same kind of machine, with any number "
        f'of workers.</p><pre>{text(chr(10).join(commands))}</pre><dl class="facts">{rows}</dl>'
        f"<h3>The study file</h3><pre>{text(stored)}</pre>"
    )
