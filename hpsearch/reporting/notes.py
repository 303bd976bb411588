"""Notes for the dashboard, in Markdown: one a study, one a trial."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hpsearch.numbers import plural, readable, setting_text
from hpsearch.results.best import BASELINES_TITLE, DIAGNOSES_TITLE, Best
from hpsearch.storage.stored_study import StoredStudy
from hpsearch.storage.trial_result import TrialResult


def escaped(value: Any) -> str:
    """Text that Markdown and HTML show as it is, in a table's cell as well."""
    text = setting_text(value)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")
    return re.sub(r"([\\`*_{}\[\]()#+!|~$])", r"\\\1", text)


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of the same keys as a Markdown table."""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row[name] for name in names] for row in rows)]
    return "\n".join(
        "| " + " | ".join(map(str if number == 1 else escaped, line)) + " |" for number, line in enumerate(lines)
    )


def study_note(stored: StoredStudy, best: Best | None) -> str:
    """What the study is, what it found and what its numbers mean."""
    attributes = stored.attributes
    identity, parts = attributes["identity"], [f"# {escaped(stored.name)}"]
    parts.append("No trial is complete yet." if best is None else _numbers(best))
    if best is not None:
        rows = [
            {"hyperparameter": name, "value": value, "from": origin}
            for name, (value, origin) in best.settings().items()
        ]
        parts += [f"## Best configuration: trial {best.result.number}", markdown_table(rows)]
    source = attributes["definition"]["data"]
    data = [{"key": key, "value": str(value)} for key, value in source.items()]
    data.append({"key": "fingerprint of the rows searched with", "value": identity["data.fingerprint"]})
    data.append({"key": "fingerprint of the rows held out", "value": str(identity["holdout.fingerprint"])})
    parts += ["## Data", markdown_table(data)]
    findings = attributes.get("audit")
    if findings is not None:
        lines = [f"- **{escaped(f['level'])}** ({escaped(f['name'])}): {escaped(f['what'])}" for f in findings]
        parts += ["## Leakage audit", "\n".join(lines) or "It found nothing."]
    parts += ["## Definition", _definition(attributes["definition"])]
    return "\n\n".join(parts) + "\n"


def _numbers(best: Best) -> str:
    rows = [dict(zip(("number", "value", "meaning"), row, strict=True)) for row in best.scores()]
    parts = [markdown_table(rows), escaped(best.belief())]
    if best.comparison is not None:
        rows = [dict(zip(("model", "value", "difference"), row, strict=True)) for row in best.baselines()]
        parts += [f"## {BASELINES_TITLE}", markdown_table(rows), escaped(best.against())]
    if best.diagnoses:
        lines = [f"- {escaped(finding)}" for finding in best.diagnoses]
        parts += [f"## {DIAGNOSES_TITLE}", "\n".join(lines)]
    return "\n\n".join(parts)


def _definition(raw: Mapping[str, Any]) -> str:
    rows = []
    for section, values in raw.items():
        for key, value in values.items():
            rows.append({"section": section, "key": key, "value": str(value)})
    return markdown_table(rows)


def trial_note(result: TrialResult) -> str:
    """A trial's folds, its best epoch, or why it has none."""
    if result.value is None:
        return f"**{result.state}**: {escaped(result.reason)}\n"
    head = f"Mean {readable(result.value)} over {plural(len(result.folds), 'split')} at epoch {result.best_epoch}."
    if result.same_as is not None:
        head += f" The same configuration as trial {result.same_as}, whose training was used again."
    return f"{head}\n\n{markdown_table(result.folds)}\n"
