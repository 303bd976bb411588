"""One table as spreadsheets, pandas, R and databases write it: what reading each file must give.

To add a file, append it to :data:`FILES`. Its bytes are made here, from the table or by hand; what is expected is the
reference table, or a refusal that says certain words.
"""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

ROWS = 48
TARGET = "kind"


@dataclass(frozen=True)
class PeoplesFile:
    """A file as people have it.

    Attributes:
        name: what it is called.
        content: its bytes.
        target: the column to predict.
        refused: words that its refusal by ``init`` says; None if it has the rows of the reference.
        also: keys of ``[data]`` that ``init`` must write for it, beside path, source and target.
        reference: the table whose rows it has.
    """

    name: str
    content: bytes
    target: str = TARGET
    refused: str | None = None
    also: dict[str, Any] = field(default_factory=dict)
    reference: str = "homes"

    def __str__(self) -> str:  # the test's name
        return self.name


def homes() -> pd.DataFrame:
    """Homes: numbers with decimals and thousands, whole ones, per cents, text with accents and commas, and gaps."""
    draw = np.random.default_rng(5)
    area = np.round(draw.uniform(20, 9000, ROWS) + 0.005, 2)
    area[[0, 1]] = 1234.56, 0.5
    frame = pd.DataFrame(
        {
            "area": area,
            "rooms": draw.integers(1, 9, ROWS),
            "share": np.round(draw.uniform(1, 99, ROWS), 1) + 0.0,
            "city": draw.choice(["Köln", "Bern, alt", "Genève"], ROWS),
            "kind": np.where(area > 4000, "house", "flat"),
        }
    )
    frame.loc[[5, 17], "area"] = None
    frame.loc[9, "share"] = None
    frame.loc[20, "city"] = None
    return frame.astype({"city": "str", "kind": "str"})


def prices() -> pd.DataFrame:
    """The same homes with a price to predict, which two of them do not have."""
    frame = homes()
    price = np.round(frame["area"].fillna(3000) * 3 + frame["rooms"] * 1000 + 0.25, 2)
    price[[3, 30]] = None
    return frame.drop(columns="kind").assign(price=price)


REFERENCES: dict[str, Callable[[], pd.DataFrame]] = {"homes": homes, "prices": prices}


def plain(reference: str) -> bytes:
    """The reference as a plain CSV file, without rows that have no target."""
    frame = REFERENCES[reference]()
    return frame.dropna(subset=[frame.columns[-1]]).to_csv(index=False).encode()


# ---------------------------------------------------------------- writers


def grouped(value: float, decimals: int, thousands: str = "", decimal: str = ".") -> str:
    """A number with so many decimals: 1,234.50 with other marks."""
    return f"{value:,.{decimals}f}".translate({ord(","): thousands, ord("."): decimal})


def cells(
    frame: pd.DataFrame, missing: str = "", decimal: str = ".", **formats: Callable[[Any], str]
) -> list[list[str]]:
    """Header and rows as text; a column's format makes text of its values, others are as Python has them."""

    def text(name: str, value: Any) -> str:
        if value is None or value != value:
            return missing
        if name in formats:
            return formats[name](value)
        return str(value).replace(".", decimal) if isinstance(value, float) else str(value)

    rows = [[text(name, value) for name, value in zip(frame.columns, row, strict=True)]
            for row in frame.itertuples(index=False)]  # fmt: skip
    return [[*map(str, frame.columns)], *rows]


def joined(
    rows: list[list[str]],
    separator: str = ",",
    ends: str = "\n",
    encoding: str = "utf-8",
    quoted: Callable[[int, str], bool] = lambda place, cell: False,
) -> bytes:
    """Lines of cells, quoted where they must be or ``quoted`` says so (by the column's place and the cell)."""

    def cell_of(place: int, cell: str) -> str:
        needed = separator in cell or '"' in cell or "\n" in cell
        return '"' + cell.replace('"', '""') + '"' if needed or quoted(place, cell) else cell

    lines = (separator.join(cell_of(place, cell) for place, cell in enumerate(row)) for row in rows)
    return "".join(f"{line}{ends}" for line in lines).encode(encoding)


def texts_quoted(place: int, cell: str) -> bool:
    """As R and LibreOffice quote: text, not numbers, and not NA."""
    return not cell.replace(",", "").replace(".", "").isdecimal() and cell not in ("NA", "")


def by_pandas(frame: pd.DataFrame, **options: Any) -> bytes:
    return frame.to_csv(**options).encode(options.get("encoding", "utf-8"))


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def with_row_names(rows: list[list[str]]) -> list[list[str]]:
    return [[str(i) if i else "", *row] for i, row in enumerate(rows)]


SEMICOLONS, TABS, BARS = ({"separator": separator} for separator in (";", "\t", "|"))
COMMA = {"decimal": ","}
INDEX = {"drop": ["index"]}


def by_pandas_itself() -> list[PeoplesFile]:
    """What pandas writes."""
    frame, sold = homes(), prices()
    return [
        PeoplesFile("pandas.csv", by_pandas(frame), also=INDEX),
        PeoplesFile("pandas-without-index.csv", by_pandas(frame, index=False)),
        PeoplesFile("pandas-semicolons.csv", by_pandas(frame, sep=";", index=False), also=SEMICOLONS),
        PeoplesFile("pandas-german.csv", by_pandas(frame, sep=";", decimal=","), also={**SEMICOLONS, **COMMA, **INDEX}),
        PeoplesFile("pandas-tabs.tsv", by_pandas(frame, sep="\t", index=False), also=TABS),
        PeoplesFile("pandas-comma-in-quotes.csv", by_pandas(frame, decimal=",", index=False), also=COMMA),
        PeoplesFile("pandas.csv.gz", gzip.compress(by_pandas(frame)), also=INDEX),
        PeoplesFile("pandas.zip", zipped({"pandas.csv": by_pandas(frame)}), also=INDEX),
        PeoplesFile("pandas-utf16.csv", by_pandas(frame, index=False, encoding="utf-16")),
        PeoplesFile("pandas-null.csv", by_pandas(frame, index=False, na_rep="NULL")),
        PeoplesFile("pandas-nullable.csv", by_pandas(frame, index=False, na_rep="<NA>"), also={"missing": ["<NA>"]}),
        PeoplesFile("pandas-names.csv", by_pandas(frame.set_axis([f"home {i}" for i in range(ROWS)])), also=INDEX),
        PeoplesFile("pandas-filtered.csv", by_pandas(frame.set_axis(range(7, 7 + 3 * ROWS, 3))), also=INDEX),
        PeoplesFile(
            "pandas-prices.csv",
            by_pandas(sold),
            "price",
            reference="prices",
            also={**INDEX, "drop_missing_target": True},
        ),
    ]


def by_r() -> list[PeoplesFile]:
    """What R writes."""
    frame = homes()
    rows = cells(frame, "NA")
    named = with_row_names(rows)
    return [
        PeoplesFile(
            "r-write.csv", joined(named, quoted=lambda place, cell: place == 0 or texts_quoted(place, cell)), also=INDEX
        ),
        PeoplesFile("r-write-no-rownames.csv", joined(rows, quoted=texts_quoted)),
        PeoplesFile(
            "r-write2.csv",
            joined(with_row_names(cells(frame, "NA", ",")), ";", quoted=texts_quoted),
            also={**SEMICOLONS, **COMMA, **INDEX},
        ),
        PeoplesFile("r-write-table.tsv", joined(named, "\t", quoted=texts_quoted), also={**TABS, **INDEX}),
        PeoplesFile("r-write-table.txt", joined([rows[0], *named[1:]], " ", quoted=texts_quoted), refused="separator"),
        PeoplesFile(
            "r-write-table-short-header.tsv",
            joined([rows[0], *named[1:]], "\t"),
            refused="Does the first of them name the row?",
        ),
    ]


def by_excel() -> list[PeoplesFile]:
    """What Excel writes: its "CSV" has the separator and the marks of the system's language."""
    frame = homes()
    euro = cells(
        frame, decimal=",",
        area=lambda value: f"{grouped(value, 2, '.', ',')} €", share=lambda value: f"{grouped(value, 1, '', ',')} %",
    )  # fmt: skip
    dollars = cells(frame, area=lambda value: f"${grouped(value, 2, ',')}", share=lambda value: f"{value:.1f}%")
    french = cells(
        frame,
        area=lambda value: grouped(value, 2, "\u202f", ","),
        share=lambda value: f"{grouped(value, 1, '', ',')} %",
    )
    swiss = cells(frame, area=lambda value: f"{grouped(value, 2, '’')}")
    german = cells(frame, decimal=",")
    return [
        PeoplesFile(
            "excel-de.csv", joined(german, ";", "\r\n", "cp1252"), also={**SEMICOLONS, **COMMA, "encoding": "cp1252"}
        ),
        PeoplesFile("excel-de-utf8.csv", joined(german, ";", "\r\n", "utf-8-sig"), also={**SEMICOLONS, **COMMA}),
        PeoplesFile(
            "excel-de-euro.csv",
            joined(euro, ";", "\r\n", "cp1252"),
            also={**SEMICOLONS, **COMMA, "thousands": ".", "units": ["€", "%"], "encoding": "cp1252"},
        ),
        PeoplesFile(
            "excel-de-prices.csv",
            joined(cells(prices(), decimal=",", price=lambda value: f"{grouped(value, 2, '.', ',')} €"), ";", "\r\n"),
            "price",
            reference="prices",
            also={**SEMICOLONS, **COMMA, "thousands": ".", "units": ["€"], "drop_missing_target": True},
        ),
        PeoplesFile("excel-de-unicode.txt", joined(german, "\t", "\r\n", "utf-16"), also={**TABS, **COMMA}),
        PeoplesFile(
            "excel-de-errors.csv",
            joined(cells(frame, "#NV", ","), ";", "\r\n", "utf-8-sig"),
            also={**SEMICOLONS, **COMMA, "missing": ["#NV"]},
        ),
        PeoplesFile(
            "excel-de-empty-columns.csv",
            joined([[*row, "", ""] for row in german] + [[""] * 7] * 3, ";", "\r\n", "utf-8-sig"),
            also={**SEMICOLONS, **COMMA},
        ),
        PeoplesFile(
            "excel-fr.csv", joined(french, ";", "\r\n"), also={**SEMICOLONS, **COMMA, "thousands": " ", "units": ["%"]}
        ),
        PeoplesFile(
            "excel-fr-1252.csv",
            joined([[cell.replace("\u202f", "\xa0") for cell in row] for row in french], ";", "\r\n", "cp1252"),
            also={**SEMICOLONS, **COMMA, "thousands": " ", "units": ["%"], "encoding": "cp1252"},
        ),
        PeoplesFile(
            "excel-ch.csv",
            joined(swiss, ";", "\r\n", "cp1252"),
            also={**SEMICOLONS, "thousands": "'", "encoding": "cp1252"},
        ),
        PeoplesFile("excel-us.csv", joined(cells(frame), ",", "\r\n", "utf-8-sig")),
        PeoplesFile(
            "excel-us-dollars.csv",
            joined(dollars, ",", "\r\n", "cp1252"),
            also={"thousands": ",", "units": ["$", "%"], "encoding": "cp1252"},
        ),
        PeoplesFile(
            "excel-us-pounds.csv",
            joined(cells(frame, area=lambda value: f" £{grouped(value, 2, ',')} "), ",", "\r\n"),
            also={"thousands": ",", "units": ["£"]},
        ),
        PeoplesFile("excel-us-errors.csv", joined(cells(frame, "#N/A"), ",", "\r\n"), also={"missing": ["#N/A"]}),
        PeoplesFile("excel-mac-old.csv", joined(cells(frame), ",", "\r", "utf-8")),
        PeoplesFile(
            "excel.xlsx",
            zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"}),
            refused='Save its sheet as "CSV UTF-8"',
        ),
        PeoplesFile("excel.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000), refused="an Excel file (.xls)"),
    ]


def by_other_spreadsheets() -> list[PeoplesFile]:
    """What other spreadsheets write."""
    frame = homes()
    german = cells(frame, decimal=",")
    return [
        PeoplesFile("libreoffice.csv", joined(cells(frame), quoted=texts_quoted)),
        PeoplesFile("libreoffice-all-quoted.csv", joined(cells(frame), quoted=lambda place, cell: True)),
        PeoplesFile("libreoffice-de.csv", joined(german, ";", quoted=texts_quoted), also={**SEMICOLONS, **COMMA}),
        PeoplesFile("libreoffice-tabs.csv", joined(german, "\t", quoted=texts_quoted), also={**TABS, **COMMA}),
        PeoplesFile("google-sheets-de.csv", joined(german, ",", "\r\n"), also=COMMA),
        PeoplesFile(
            "libreoffice.ods",
            zipped({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet", "content.xml": b"<office/>"}),
            refused="an OpenDocument spreadsheet (.ods)",
        ),
    ]


def by_databases_and_others() -> list[PeoplesFile]:
    """What databases and other programs write."""
    frame, sold, feather = homes(), prices(), io.BytesIO()
    frame.to_feather(feather)
    return [
        PeoplesFile("psql-copy.csv", joined(cells(frame))),
        PeoplesFile("psql-copy-text.tsv", joined(cells(frame, "\\N"), "\t"), also={**TABS, "missing": ["\\N"]}),
        PeoplesFile(
            "psql-unaligned.txt",
            joined(cells(frame), "|") + b"(48 rows)\n",
            refused="must have 5 values like the header, but has 1",
        ),
        PeoplesFile("sqlite.csv", joined(cells(frame), ",", "\r\n")),
        PeoplesFile("sqlite-list.txt", joined(cells(frame), "|"), also=BARS),
        PeoplesFile("mysql-outfile.tsv", joined(cells(frame, "\\N"), "\t"), also={**TABS, "missing": ["\\N"]}),
        PeoplesFile("mysql-batch.tsv", joined(cells(frame, "NULL"), "\t"), also=TABS),
        PeoplesFile(
            "mysql-prices.tsv",
            joined(cells(sold, "\\N"), "\t"),
            "price",
            reference="prices",
            also={**TABS, "missing": ["\\N"], "drop_missing_target": True},
        ),
        PeoplesFile("mssql-results.csv", joined(cells(frame, "NULL"), ",", "\r\n", "utf-8-sig")),
        PeoplesFile("mssql-unicode.txt", joined(cells(frame, "NULL"), "|", "\r\n", "utf-16"), also=BARS),
        PeoplesFile("weka.csv", joined(cells(frame, "?")), also={"missing": ["?"]}),
        PeoplesFile(
            "stata.csv", joined(cells(frame.assign(city=frame["city"].fillna("")), ".")), also={"missing": ["."]}
        ),
        PeoplesFile(
            "hand-made.csv",
            joined([[f" {cell} " for cell in row] if i else row for i, row in enumerate(cells(frame, "-"))]).replace(
                b"\n", b"\n\n  \n"
            ),
            also={"missing": ["-"]},
        ),
        PeoplesFile("rows.json", frame.to_json(orient="records", indent=2).encode(), refused="is a JSON file"),
        PeoplesFile("lines.jsonl", frame.to_json(orient="records", lines=True).encode(), refused="is a JSON file"),
        PeoplesFile("rows.feather", feather.getvalue(), refused="is a Feather file"),
        PeoplesFile("rows.pickle", pickle.dumps(frame), refused="is a pickled object"),
        PeoplesFile(
            "title-above.csv",
            b"Homes 2026\n\n" + joined(cells(frame), ";"),
            refused="but 'kind' stands in row 3. Remove the lines above it.",
        ),
        PeoplesFile(
            "blank-line-above.csv",
            b"\n" + joined(cells(frame)),
            refused="but 'kind' stands in row 2. Remove the lines above it.",
        ),
        PeoplesFile(
            "thousands-or-decimals.csv",
            joined([["a", "kind"], *([f"{i},{i}{i}{i}", "uv"[i % 2]] for i in range(1, 9))], ";"),
            refused="--set 'data.decimal=\",\"'",
        ),
        PeoplesFile(
            "cyrillic.csv",
            joined([["город", "kind"], *(["Москва", "uv"[i % 2]] for i in range(9))], ",", encoding="cp1251"),
            refused="encoding",
        ),
    ]


FILES = [
    *by_pandas_itself(),
    *by_r(),
    *by_excel(),
    *by_other_spreadsheets(),
    *by_databases_and_others(),
]
