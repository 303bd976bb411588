"""The dashboard's own pages, as HTML: the studies of a storage, a study's report under a bar that is live, its trials.

All text from a storage is escaped. The pages' own policy allows no inline script and no style but ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from hpsearch.markup import right_aligned, text
from hpsearch.numbers import plural, readable
from hpsearch.reporting.overview import Standing
from hpsearch.reporting.parts import part
from hpsearch.reporting.snapshot import Snapshot
from hpsearch.storage.database import shown_url
from hpsearch.validation.metric import Metric
from hpsearch.validation.metrics import shown

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
FILES = {"report.css": "text/css", "pages.css": "text/css", "pages.js": "text/javascript"}
FILES |= {"read_only.css": "text/css", "read_only.js": "text/javascript", "icon.svg": "image/svg+xml"}
BARRED = ("report", "trials")  # the pages of a study that are ours
_NONE = "<span>–</span>"
_SECONDS = 3  # between two looks for news


def list_page(url: str, studies: Sequence[Standing]) -> str:
    """The studies of a storage."""
    where = f'<p class="quiet">{text(shown_url(url))}</p>'
    links = '<p><a href="/dashboard/compare-studies">Compare the histories of several studies</a></p>'
    live = _live("/list", study_list(studies))
    return _page("Studies", f"<header><h1>Studies</h1>{where}</header><main>{live}{links if studies else ''}</main>")


def study_list(studies: Sequence[Standing]) -> str:
    """The part of it that is live."""
    if not studies:
        return '<p class="belief">The storage holds no study yet. Begin one: <code>hpsearch run study.toml</code></p>'
    heads = ("study", "state", "trials", "best of the search", "corrected score", "last trial ended")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    rows = "".join(_row(study, heads) for study in studies)
    return f'<table class="studies"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _row(study: Standing, heads: Sequence[str]) -> str:
    counts, last = study.counts, study.counts.last
    value = score = ""
    if study.best is not None:
        value = f"<b>{text(_shown(study.best, study))}</b>"
        if study.metric is not None:
            foremost = "lowest" if study.metric.direction == "minimize" else "highest"
            value += f"<small>{foremost} {text(study.metric.title_of_mean)}</small>"
    if study.corrected is not None and study.metric is not None:
        low, high = (_shown(one, study) for one in (study.corrected.low, study.corrected.high))
        score = f"<b>{text(_shown(study.corrected.value, study))}</b><small>95 %: {text(low)} to {text(high)}</small>"
    cells = (
        f'<a href="/studies/{study.study_id}">{text(study.name)}</a>',
        _state(study),
        f"{_progress(study)}<small>{text(_others(counts.states))}</small>",
        value or _NONE,
        score or _NONE,
        _NONE if last is None else f'<span title="{last:%Y-%m-%d %H:%M:%S}">{ago(last)}</span>',
    )
    return "<tr>" + "".join(f'<td data-head="{h}">{c}</td>' for h, c in zip(heads, cells, strict=True)) + "</tr>"


def bar(study: Standing, here: str) -> str:
    """What stands above a page of one study that is made now.

    Args:
        study: how it is getting on.
        here: which page it is, of ``BARRED``.
    """
    address = f"/studies/{study.study_id}/bar?page={here}&amp;version={study.version}"
    return _live(address, bar_content(study, study.version, here), "bar")


def bar_content(study: Standing, version: str, here: str) -> str:
    """The part of it that is live, on a page that was made of this ``version`` of the study."""
    pages = {"report": f"/studies/{study.study_id}", "trials": f"/studies/{study.study_id}/trials"}
    links = "".join(
        f'<a href="{address}"{" aria-current=page" if name == here else ""}>{name}</a>'
        for name, address in (*pages.items(), ("charts", f"/dashboard/studies/{study.study_id}"))
    )
    news = ""
    if version != study.version:
        more = study.counts.ended - int(version.partition("-")[0])
        what = "There are new results."
        if more > 0:
            what = f"{plural(more, 'more trial has', 'more trials have')} ended."
        news = f'<p class="news">{what} <a href="{pages[here]}">Show</a></p>'
    return (
        f'<nav aria-label="Dashboard"><a href="/">‹ studies</a>{links}</nav>'
        f'<p class="standing">{_state(study)} {_progress(study)}</p>{news}'
    )


def study_page(study: Standing, snapshot: Snapshot) -> str:
    """A study's report under its bar."""
    if not study.ours:
        return _nothing(study, "Another program made this study, so there is no report of it: see its charts.")
    if not study.counts.ended:
        return _nothing(study, "No trial has ended yet. Once one has, its results are shown here.")
    from hpsearch.reporting.report import report  # Plotly takes a second, which no refusal need wait for

    style = f"<style>{part('pages.css')}</style>"
    # What the columns do would train networks.
    return report(snapshot, style + bar(study, "report"), part("pages.js"), importance=False)


def _nothing(study: Standing, why: str) -> str:
    body = f"{bar(study, 'report')}<header><h1>{text(study.name)}</h1></header><main>"
    return _page(study.name, f'{body}<p class="belief">{why}</p></main>')


def trials_page(study: Standing, trials: pd.DataFrame, by: str) -> str:
    """Every trial with its value and its hyperparameters.

    Args:
        study: how it is getting on.
        trials: its trials, as people read them.
        by: the column to sort by.
    """
    columns = [name for name in trials.columns if trials[name].notna().any()]
    by = by if by in columns else "number"
    ascending = not (by == "value" and study.metric is not None and study.metric.direction == "maximize")
    rows = trials.sort_values(by, ascending=ascending, na_position="last", kind="stable")
    numeric = {name: pd.api.types.is_numeric_dtype(trials[name]) for name in columns}
    head = "".join(
        f'<th scope="col"{right_aligned(numeric[name])}{_sorted(name == by, ascending)}>'
        f'<a href="?by={text(name)}">{text(name.replace("_", " "))}</a></th>'
        for name in columns
    )
    body = "".join(_trial(study, columns, values, numeric) for values in rows[columns].itertuples(index=False))
    name, count = text(study.name), len(trials)
    value = "" if study.metric is None else f" The value is the mean {text(study.metric.title)}{_unit(study.metric)}."
    if study.metric is not None and study.metric.root is not None:
        value += f" The {text(study.metric.root.title)} is its root{_unit(study.metric.root)}."
    note = f"A trial's number opens its own page; a column's name sorts by it.{value}"
    return _page(
        f"{study.name}: trials",
        f'{bar(study, "trials")}<div class="all"><header><h1>{name}: '
        f'{plural(count, "trial")}</h1><p class="quiet">{note}</p></header>'
        f'<main><div class="scroll" tabindex="0" role="region" aria-label="Trials"><table class="trials">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></main></div>",
    )


def _trial(study: Standing, columns: Sequence[str], values: Sequence[Any], numeric: dict[str, bool]) -> str:
    cells = []
    for name, value in zip(columns, values, strict=True):
        shown_value = text(value)
        if name == "number":
            shown_value = f'<a href="/dashboard/studies/{study.study_id}/trials?numbers={value}">{value}</a>'
        elif name == "state":
            shown_value = f'<span class="state {text(value)}">{text(str(value).lower())}</span>'
        head = f' data-head="{text(name.replace("_", " "))}"'
        cells.append(f"<td{right_aligned(numeric[name])}{head}>{shown_value}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _sorted(by_this: bool, ascending: bool) -> str:
    return f' aria-sort="{"ascending" if ascending else "descending"}"' if by_this else ""


def message(title: str, what: str) -> str:
    """In the place of a page that cannot be shown."""
    way = '<p><a href="/">All studies</a></p>'
    return _page(title, f"<header><h1>{title}</h1></header><main><p>{text(what)}</p>{way}</main>")


def links_of(study_id: int) -> str:
    """What stands above optuna-dashboard's pages of a study."""
    report_, trials = f"/studies/{study_id}", f"/studies/{study_id}/trials"
    return f'<nav id="hpsearch"><a href="{report_}">report</a><a href="{trials}">trials</a></nav>'


def _state(study: Standing) -> str:
    said = study.state if study.ours else "of another program"
    return f'<span class="state {said.replace(" ", "-")}">{said}</span>'


def _progress(study: Standing) -> str:
    ended, wanted = study.counts.ended, study.wanted
    if wanted is None:
        return f"<span>{plural(ended, 'trial')}</span>"
    return f'<span><progress max="{wanted}" value="{min(ended, wanted)}"></progress> {ended} of {wanted}</span>'


def _others(states: dict[str, int]) -> str:
    """What became of the trials beside the complete ones."""
    words = {"PRUNED": "pruned", "FAIL": "failed"}
    return ", ".join(f"{states[state]} {word}" for state, word in words.items() if state in states)


def _unit(metric: Metric) -> str:
    return f", in {text(metric.unit)}" if metric.unit else ""


def _shown(value: float, study: Standing) -> str:
    return readable(value) if study.metric is None else shown(value, study.metric)


def ago(then: datetime) -> str:
    """How long since, in one unit."""
    seconds = max(0.0, (datetime.now() - then).total_seconds())
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            return f"{plural(int(seconds // length), unit)} ago"
    return "just now"


def _live(address: str, inside: str, kind: str = "") -> str:
    """A part of a page that the script of it keeps up to date."""
    return f'<div id="live" class="{kind}" data-from="{address}" data-seconds="{_SECONDS}">{inside}</div>'


def _page(title: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)} – hpsearch</title>\n"
        '<link rel="icon" href="/hpsearch/icon.svg">\n<link rel="stylesheet" href="/hpsearch/report.css">\n'
        '<link rel="stylesheet" href="/hpsearch/pages.css">\n<script defer src="/hpsearch/pages.js"></script>\n'
        f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
