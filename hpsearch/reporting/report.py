"""One study as one HTML file that needs nothing else, or as a PDF: to open, to send, to print.

The file fetches nothing: its own scripts are named by their hashes in a content security policy that allows no others
and no network, so that what a name in the data may contain cannot run or call out either.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from plotly.offline import get_plotlyjs

from hpsearch.atomic_write import require_replaceable, write_atomically
from hpsearch.data.columns import summary
from hpsearch.definition.space import split_name
from hpsearch.errors import HpsearchError
from hpsearch.markup import counted, table, text
from hpsearch.numbers import plural, score_text, setting_text
from hpsearch.regular_file import open_regular
from hpsearch.reporting.figures import BELIEF, FOUND, GROUPS, OF_COLUMNS
from hpsearch.reporting.figures.search_space import PanelFacts
from hpsearch.reporting.figures.study_figure import StudyFigure
from hpsearch.reporting.figures.style import TEMPLATES, swaps
from hpsearch.reporting.parts import part
from hpsearch.reporting.pdf import printed, require_browser
from hpsearch.reporting.snapshot import Snapshot
from hpsearch.results.best import Best
from hpsearch.search.finals import finals
from hpsearch.storage.database import shown_url
from hpsearch.storage.trial_result import standard_error
from hpsearch.validation.metrics import METRICS, objective_metric
from hpsearch.validation.score import SCORE_NAMES

_MARK = '<meta name="generator" content="hpsearch">'
_TITLE = " – hpsearch report"
_HANDLING = (
    '<p class="on-screen">In a figure: drag to zoom, double-click to go back; a click in its legend hides or shows.</p>'
)
_SUFFIXES = ("", ".html", ".htm", ".pdf")
SECONDS = 5.0  # that what the columns do may take, unless it is asked for
_TRIALS = 8  # of the table of trials, a column each, with room for their numbers on a printed page
_FULL = (  # figures that take the whole width
    *("regions", "columns", "effects", "history", "slices", "parallel", "pruning", "importance", "folds"),
)
_SHORT = 12  # characters of a score that fit in large ones
_PANELS = 6  # of one figure: more would not fit on what is left of a printed page


def write_report(study: Snapshot, path: Path, force: bool = False, importance: bool = True) -> None:
    """Write a study's report to a file, whole or not at all.

    Args:
        study: the study.
        path: the file: a PDF if it ends in .pdf, HTML if in .html or .htm, or in nothing, as a pipe or a device; an
            earlier report is replaced.
        force: whether any other file may be.
        importance: with the section on what the columns do.

    Raises:
        HpsearchError: the study has no trial that ended; a file of another ending, that cannot be written or is no
            report; no browser that prints a PDF.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        do = f"Name it {path.stem}.html, or {path.stem}.pdf."
        raise HpsearchError("the name of a report must end in .html or .pdf", f"ends in {path.suffix}", do, str(path))
    require_replaceable(path, force, "an earlier report", _is_report)
    browser = require_browser() if suffix == ".pdf" else None
    page = report(study, importance=importance)
    write_atomically(path, page.encode() if browser is None else printed(page, browser))


def _is_report(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            begins = file.read(4096)
    except OSError:
        return False
    # The browser writes a page's title into a PDF, in digits.
    return _MARK.encode() in begins or _TITLE.encode("utf-16-be").hex().upper().encode() in begins


def report(study: Snapshot, above: str = "", script: str = "", importance: bool = True) -> str:
    """A study's report: a whole HTML page.

    Args:
        study: the study.
        above: what stands before it where it is served, as HTML.
        script: and what runs there, which may ask the server that it came from.
        importance: whether it has the section on what the columns do.

    Raises:
        HpsearchError: the study has no trial that ended.
    """
    if not study.results:
        name = study.stored.name
        raise HpsearchError(f"The study {name!r} must have a trial that ended to report", "has none", "Run it first.")
    figures = _Figures(study)
    has_best = any(result.value is not None for result in study.results)
    sections: list[tuple[str, str, str]] = []
    for place, (title, kinds) in enumerate(GROUPS.items(), 1):
        before, after = _AROUND.get(title, (None, None))
        if importance or title != OF_COLUMNS:
            shown = figures.drawn(kinds)
        else:
            shown = _elsewhere(study) if script and has_best else ""
        parts = [before(study) if before else "", shown, after(study) if after else ""]
        sections.append((f"part-{place}", title, "".join(parts)))
    if has_best:
        sections.append(("table", "The best trials, and the splits of the chosen one", _tables(study)))
        sections.append(("best", "Every hyperparameter of the chosen configuration", study.best.settings_html()))
    sections.append(("again", "How to repeat this", _again(study)))
    drawn = figures.json
    sections = [section for section in sections if section[2]]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
    body = "".join(
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{content}</section>'
        for name, title, content in sections
    )
    templates = {mode: template.to_plotly_json() for mode, template in TEMPLATES.items()}
    data = f'{{"figures":{{{drawn}}},"templates":{_json(templates)},"swaps":{_json(swaps())}}}'
    scripts = [*([get_plotlyjs(), part("report.js")] if drawn else []), *([script] if script else [])]
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    allowed = hashes or "'none'"
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "font-src data:; base-uri 'none'; form-action 'none'" + ("; connect-src 'self'" if script else "")
    )
    name = text(study.stored.name)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{_MARK}\n"
        f"<title>{name}{_TITLE}</title>\n<style>\n{part('report.css')}</style>\n</head>\n<body>\n{above}"
        f'<header><h1>{name}</h1>{_lead(study)}<nav aria-label="Contents"><ul>{links}</ul></nav></header>\n'
        f"<main>{body}</main>\n<footer class=on-screen><p>"
        "Made by hpsearch from the stored study; this file fetches nothing.</p>"
        + (_HANDLING if drawn else "")
        + "</footer>\n"
        + (f'<script type="application/json" id="figures">{data}</script>\n' if drawn else "")
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def _elsewhere(study: Snapshot) -> str:
    """Where to find what the columns do, in a report that is served: nobody waits for training there."""
    name = shlex.quote(study.stored.name)
    where = f"`hpsearch importance {name}`, and `hpsearch report {name}` draws it"
    return f'<p class="quiet">{_code(f"Networks are trained again for this, so it is not shown here: {where}.")}</p>'


def _units(study: Snapshot) -> str:
    metric = objective_metric("loss", study.definition.loss)
    losses = f"Losses are in {metric.unit}, without penalty."
    return losses if metric.root is None else f"{metric.root.title} is in {metric.root.unit}. {losses}"


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
        f"<div{' class=believe' if name == believed else ''}><dt>{name}</dt>"
        f'<dd class="value{" long" if len(value) > _SHORT else ""}">{text(value)}</dd>'
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
        f"The search score is the {best.definition.metric.title_of_mean} of trial {result.number} at epoch "
        f"{result.best_epoch}; {also} "
        f"{plural(result.parameters, 'parameter')}."
    )
    chosen = " · ".join(f"{name} {setting_text(best.settings()[name][0])}" for name in _chosen(best))
    found = (
        f'<p class="found"><b>Found:</b> {text(chosen)}. <a href="#best">All hyperparameters</a></p>' if chosen else ""
    )
    return (
        f'<dl class="scores">{cards}</dl><p class="belief">{text(best.belief())}</p>{found}'
        f'<p class="quiet">{text(line)} {_units(study)}</p>'
    )


def _chosen(best: Best) -> list[str]:
    """The hyperparameters whose values were found, by their names in a study file's [train]."""
    searched = {split_name(name)[1] if "." in name else name for name in best.chosen}
    return [name for name in best.settings() if name in searched or name == "epochs"]


def _doubts(study: Snapshot) -> str:
    """What stands beside the numbers: models without a search, and what the results say about the study file."""
    return study.best.findings_html() if any(result.value is not None for result in study.results) else ""


class _Figures:
    """The figures of a study, as they are asked for.

    Attributes:
        json: what is to be drawn in those asked for until now, as the inside of a JSON object.
    """

    def __init__(self, study: Snapshot) -> None:
        self.json = ""
        self._study = study

    def drawn(self, kinds: Mapping[str, StudyFigure[Any]]) -> str:
        """Figures of these kinds as HTML, and which of them there are not."""
        pieces: list[str] = []
        paired: list[str] = []
        missing: dict[str, list[str]] = {}
        for name, kind in kinds.items():
            if not kind.is_of(self._study):
                continue
            try:
                facts = kind.facts(self._study)
            except HpsearchError as error:
                missing.setdefault(str(error), []).append(kind.title)
                continue
            made = [kind.draw(part) for part in _parts(facts)]
            for place, one in enumerate(made):
                one.layout.template = None
                self.json += f'{"," if self.json else ""}"{_id(name, place)}":{_inert(one.to_json(engine="json"))}'
            beside = name in _FULL and not kind.wide
            piece = _figure(name, kind, kind.say(facts), [int(one.layout.height) for one in made], beside)
            (pieces if name in _FULL else paired).append(piece)
        content = "".join(pieces) + (f'<div class="pair">{"".join(paired)}</div>' if paired else "")
        has_best = any(result.value is not None for result in self._study.results)
        return content + (_not_shown(missing) if has_best else "")  # else the first section says it


def _parts(facts: Any) -> list[Any]:
    """Facts of many hyperparameters in parts, each of as many panels as one drawing has."""
    if not isinstance(facts, PanelFacts):
        return [facts]
    return facts.parts(_PANELS)


def _id(name: str, place: int) -> str:
    return name if place == 0 else f"{name}-{place + 1}"


def _figure(name: str, kind: StudyFigure[Any], said: str, heights: Sequence[int], beside: bool) -> str:
    scrolls = f' class="scroll" tabindex="0" role="region" aria-label="{text(kind.title)}"' if kind.wide else ""
    plots = "".join(
        f'<div class="plot" id="figure-{_id(name, place)}" style="height:{height}px" role="img" '
        f'aria-labelledby="{name}-title" aria-describedby="{name}-say"></div>'
        for place, height in enumerate(heights)
    )
    look = "wide" if kind.wide else "beside" if beside else ""
    return (
        f'<figure{f" class={look}" if look else ""} aria-labelledby="{name}-title">'
        f'<h3 id="{name}-title">{text(kind.title)}</h3><div{scrolls}>{plots}</div>'
        '<noscript><p class="quiet">The figure needs JavaScript.</p></noscript>'
        f'<figcaption><p class="say" id="{name}-say">{text(said)}</p><p>{_code(kind.how)}</p></figcaption></figure>'
    )


def _not_shown(missing: Mapping[str, Sequence[str]]) -> str:
    """Which figures there are not, by the reason."""
    lines = "".join(f"<li>{text('; '.join(titles))}. {_code(reason)}</li>" for reason, titles in missing.items())
    return f'<p class="quiet">Not shown:</p><ul class="quiet">{lines}</ul>' if missing else ""


def _code(ours: str) -> str:
    """Text with commands in backticks."""
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text(ours))


def _tables(study: Snapshot) -> str:
    best, metric = study.complete[:_TRIALS], study.metric
    searched = list(study.definition.space.dimensions)
    score_name = SCORE_NAMES[metric.task]
    columns = [score_name, "best_epoch", "parameters", *searched]
    frame = study.trials.set_index("number")
    means = [metric.in_headline(one.value or 0.0) for one in best]
    errors = [standard_error(one) for one in best]
    if metric.root is not None:  # of a root, by the delta method
        errors = [error and mean and error / (2 * mean) for error, mean in zip(errors, means, strict=True)]
    rows: list[tuple[str, list[Any]]] = [(metric.title_of_mean, means), ("standard error", errors)]
    titles = {score_name: METRICS[score_name].title, "best_epoch": "epoch"}
    for name in columns:
        values = frame.loc[[one.number for one in best], name].tolist()
        rows.append((titles.get(name, name), values))
    chosen = study.best.result
    heads = [f"trial {one.number}{', chosen' if one.number == chosen.number else ''}" for one in best]
    made = table(
        ["", *heads],
        [[name, *values] for name, values in rows],
        f"The best {len(best)} of {plural(len(study.complete), 'complete trial')} in the search",
        stacks=True,
    )
    names = ("repeat", "fold", "training_rows", "validation_rows", "training_loss", "penalty", "validation_loss")
    loss = objective_metric("loss", study.definition.loss)
    heads = [name.replace("_", " ") for name in names] + [titles[score_name]]
    folds = [[fold.get(name) for name in (*names, score_name)] for fold in chosen.folds]
    if loss.root is not None:
        heads.insert(2, loss.root.title)
        for row, fold in zip(folds, chosen.folds, strict=True):
            row.insert(2, loss.in_headline(fold["validation_loss"]))
    caption = f"Trial {chosen.number}, split by split, at its chosen checkpoint in the search"
    return made + _finals(study) + table(heads, folds, caption, stacks=True)


def _finals(study: Snapshot) -> str:
    """The finalists side by side; nothing where there were none."""
    evaluated, choice = finals(study.stored, study.definition), study.best.final
    if choice is None:
        return ""
    repeats, metric = study.definition.search.finalist_repeats, study.metric
    of_many = metric.headline.title
    heads = ["trial", f"{metric.title_of_mean} of one network", f"{of_many} of {repeats} averaged", "epoch", "choice"]
    rows = [
        [
            final.number,
            None if final.value is None else metric.in_headline(final.value),
            None if final.ensemble_value is None else metric.in_headline(final.ensemble_value),
            final.best_epoch,
            "chosen" if final.number == choice.final.number else "",
        ]
        for final in evaluated
    ]
    again = plural(repeats, "fresh repeat")
    caption = f"The finals: the best {len(rows)} of the search again, on {again} of the splits"
    return table(heads, rows, caption, stacks=True)


def _audit(study: Snapshot) -> str:
    title = "<h3>What the leakage audit found</h3>"
    try:
        findings = study.prepared.audit()
    except HpsearchError as error:
        return f"{title}<p>{text(f'The data could not be loaded again, so it was not audited here: {error}')}</p>"
    if not findings:
        nothing = "Nothing: no validation or held-out row is known to the training in a way that the audit can see."
        return f"{title}<p>{nothing}</p>"
    allowed = study.definition.validation.allow
    return title + "".join(
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


# What stands before and after the figures of a group.
_AROUND: dict[str, tuple[Callable[[Snapshot], str] | None, Callable[[Snapshot], str] | None]] = {
    FOUND: (_numbers, None),
    BELIEF: (_doubts, _audit),
}
