"""Where rows come from: every source, what it gives and what it refuses."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nnfs.datasets
import numpy as np
import pandas as pd
import pytest
import sklearn.datasets

from hpsearch.data.dataset import Dataset
from hpsearch.data.sources import SOURCES, Bundled, Toy, source_class
from hpsearch.errors import DataError, DefinitionError, HpsearchError

STUDIES = Path(__file__).parent.parent.parent / "studies"
# The options that a source cannot do without.
REQUIRED = {name: {"path": f"rows.{name}", "target": "kind"} for name in ("csv", "parquet")}

ROWS_CSV = "x,kind\n1,a\n2,b\n3,a\n"
MODULE = "def function():\n    return [[1.0], [2.0], [3.0]], ['a', 'b', 'a']\n"

toys = pytest.mark.parametrize("name", [f"nnfs:{kind}" for kind in Toy.KINDS])
bundles = pytest.mark.parametrize("kind", [*Bundled.CLASSES, *Bundled.REGRESSIONS])


def load(name: str, folder: Path, seed: int = 0, **options: Any) -> Dataset:
    """The rows of a source."""
    return source_class(name).model_validate({"source": name, **options}).load(folder, seed)


def write_rows(folder: Path) -> None:
    (folder / "rows.csv").write_text(ROWS_CSV)
    pd.read_csv(folder / "rows.csv").to_parquet(folder / "rows.parquet")


def refusal(name: str, folder: Path, **options: Any) -> str:
    """The one line with which a source refuses."""
    with pytest.raises(HpsearchError) as caught:
        load(name, folder, **options)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, DataError | DefinitionError)
    return str(caught.value)


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Writes a module beside the study file, and returns its name; unloads it after the test."""
    numbers = itertools.count()

    def write(code: str, folder: Path = tmp_path, name: str | None = None) -> str:
        name = name or f"rows_of_a_test_{next(numbers)}"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
        return name

    yield write
    for name, loaded in list(sys.modules.items()):
        if str(tmp_path) in str(getattr(loaded, "__file__", None)):
            del sys.modules[name]


# --- every source


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_gives_the_same_checked_rows_each_time(
    name: str, tmp_path: Path, module: Callable[..., str]
) -> None:
    write_rows(tmp_path)
    module(MODULE, name="module")
    options = REQUIRED.get(name, {})
    data = load(name, tmp_path, seed=3, **options)
    assert data.features.shape == (data.rows, len(data.feature_names))
    assert np.isfinite(data.features).all()
    if data.task == "classification":
        assert set(data.labels) == set(range(len(data.class_names)))
    assert load(name, tmp_path, seed=3, **options).fingerprint == data.fingerprint


@pytest.mark.parametrize("name", [name for name in SOURCES if not name.startswith("python:")])
def test_a_redrawable_source_is_one_whose_rows_follow_the_seed(name: str, tmp_path: Path) -> None:
    write_rows(tmp_path)
    options = REQUIRED.get(name, {})
    one, other = (load(name, tmp_path, seed, **options).fingerprint for seed in (3, 4))
    assert (one != other) == source_class(name).model_validate({"source": name, **options}).redrawable


def test_an_unknown_source_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    assert refusal("nnfs:spirl", tmp_path).endswith("Did you mean 'nnfs:spiral'?")


# --- nnfs


@toys
@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
@pytest.mark.parametrize(("samples", "classes"), [(100, 3), (7, 2), (1, 5)])
def test_toy_data_are_what_nnfs_draws_under_that_seed(
    name: str, seed: int, samples: int, classes: int, tmp_path: Path
) -> None:
    data = load(name, tmp_path, seed, samples=samples, classes=classes)
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    features, labels = getattr(nnfs.datasets, f"{name.removeprefix('nnfs:')}_data")(samples, classes)
    np.random.set_state(before)  # noqa: NPY002
    assert data.features.tobytes() == features.tobytes()
    assert data.features.dtype == features.dtype
    assert data.labels.tolist() == labels.tolist()


@toys
@pytest.mark.parametrize("fails", [False, True])
def test_numpys_global_generator_is_given_back_as_it_was(
    name: str, fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def state() -> str:
        return repr(np.random.get_state())  # noqa: NPY002

    np.random.standard_normal(3)  # noqa: NPY002 - an odd number: half a Box-Muller pair is part of the state
    before = state()
    if fails:
        monkeypatch.setattr(nnfs.datasets, f"{name.removeprefix('nnfs:')}_data", lambda samples, classes: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            load(name, tmp_path, 5)
    else:
        load(name, tmp_path, 5)
    assert state() == before


def test_nnfs_patches_nothing_in_numpy() -> None:
    """``nnfs.init()`` replaces functions of NumPy for the whole process: seen in a fresh one."""
    code = """
import numpy as np
def all_of_them():
    return [np.dot, np.zeros, np.eye, np.ones, np.empty, np.array, np.random.randn, np.random.seed]
before = all_of_them()
from pathlib import Path
from hpsearch.data.sources import source_class
source_class("nnfs:spiral").model_validate({"source": "nnfs:spiral"}).load(Path(), 0)
assert all(now is then for now, then in zip(all_of_them(), before, strict=True))
assert np.zeros(1).dtype == np.float64
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# --- scikit-learn


@bundles
def test_bundled_data_are_scikit_learns(kind: str, tmp_path: Path) -> None:
    bunch = getattr(sklearn.datasets, f"load_{kind}")()
    data = load(f"sklearn:{kind}", tmp_path)
    np.testing.assert_array_equal(data.features, bunch.data)
    np.testing.assert_array_equal(data.labels, bunch.target)
    assert data.feature_names == tuple(map(str, bunch.feature_names))
    assert data.class_names == tuple(map(str, getattr(bunch, "target_names", ())))


# --- CSV


def csv(folder: Path, content: str | bytes, target: str = "kind") -> Dataset:
    raw = content if isinstance(content, bytes) else content.encode()
    (folder / "rows.csv").write_bytes(raw)
    return load("csv", folder, path="rows.csv", target=target)


def csv_refusal(folder: Path, content: str | bytes, target: str = "kind") -> str:
    (folder / "rows.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refusal("csv", folder, path="rows.csv", target=target)
    assert line.startswith(str(folder / "rows.csv"))
    return line.removeprefix(str(folder / "rows.csv"))


def test_a_csv_is_read_as_pandas_reads_it() -> None:
    table = pd.read_csv(STUDIES / "flowers.csv", dtype="str")
    data = load("csv", STUDIES, path="flowers.csv", target="species")
    columns = [name for name in table.columns if name != "species"]
    assert data.feature_names == tuple(columns)
    assert data.target_name == "species"
    np.testing.assert_array_equal(data.features, table[columns].to_numpy("float64"))
    assert [data.class_names[label] for label in data.labels] == table["species"].tolist()


@pytest.mark.parametrize("place", range(4))
def test_the_target_may_stand_in_any_column(place: int, tmp_path: Path) -> None:
    rows = [["x1", "x2", "x3"], ["1", "2e-3", "-3.5"], ["4", "5", "6"], ["7", "8", ".9"]]
    labels = ["kind", "b", "a", "b"]
    lines = [",".join([*row[:place], label, *row[place:]]) for row, label in zip(rows, labels, strict=True)]
    data = csv(tmp_path, "\n".join(lines))
    assert data.features.tolist() == [[1, 0.002, -3.5], [4, 5, 6], [7, 8, 0.9]]
    assert (data.feature_names, data.class_names, data.labels.tolist()) == (("x1", "x2", "x3"), ("a", "b"), [1, 0, 1])


def test_whole_number_labels_are_in_numeric_order_and_others_in_text_order(tmp_path: Path) -> None:
    labels = ["10", "9", "-1", "10"]
    numbers = csv(tmp_path, "x,kind\n" + "".join(f"1,{label}\n" for label in labels))
    assert (numbers.class_names, numbers.labels.tolist()) == (("-1", "9", "10"), [2, 1, 0, 2])
    texts = csv(tmp_path, "x,kind\n" + "".join(f"1,{label}\n" for label in [*labels, "z"]))
    assert (texts.class_names, texts.labels.tolist()) == (("-1", "10", "9", "z"), [1, 2, 0, 1, 3])


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfkind,x\na,1\nb,2\n",
        b"kind,x\r\na,1\r\nb,2\r\n",
        b"kind,x\n\na,1\n\n\nb,2\n\n",
        b'"kind","x"\n"a","1"\n"b","2"',
    ],
    ids=["byte-order mark", "Windows lines", "blank lines", "quotes, no last newline"],
)
def test_how_a_csv_is_written_does_not_matter(content: bytes, tmp_path: Path) -> None:
    assert csv(tmp_path, content).fingerprint == csv(tmp_path, "kind,x\na,1\nb,2\n").fingerprint


def test_a_quoted_cell_may_hold_commas_and_quotes(tmp_path: Path) -> None:
    data = csv(tmp_path, '"x, in ""cm""",kind\n1,"a, b"\n2,é\n')
    assert (data.feature_names, data.class_names) == (('x, in "cm"',), ("a, b", "é"))


@pytest.mark.parametrize("cell", ["x", "inf", "-inf", "1e999", "1,5", "0x10", "1;2", "é"])
@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("row", [0, 2])
def test_a_cell_that_is_no_finite_number_among_numbers_is_refused_naming_file_row_and_column(
    cell: str, column: int, row: int, tmp_path: Path
) -> None:
    cells = [["1", "2", "a"], ["3", "4", "b"], ["5", "6", "a"]]
    cells[row][column] = f'"{cell}"'
    line = csv_refusal(tmp_path, "\n".join(["u,v,kind", *map(",".join, cells)]))
    assert line.startswith(f", row {row + 2}, column {'uv'[column]!r}: must be a finite number, but is ")
    assert repr(cell) in line


def test_rows_are_counted_as_an_editor_counts_lines(tmp_path: Path) -> None:
    assert csv_refusal(tmp_path, 'x,kind\n\n1,"a\nb"\n\n?,c\n').startswith(", row 6, column 'x': ")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("x,kind\n1,a\n2\n", [", row 3: must have 2 values like the header, but has 1."]),
        ("x,kind\n1,a\n2,b,c\n", [", row 3: must have 2 values like the header, but has 3."]),
        ("x,kind,\n1,a,\n2,b,c\n", [", row 3: every column must have a name, but column 3 has none, and 'c' in it."]),
        (",\n1,a\n", [", row 1: every column must have a name, but column 1 has none."]),
        ("x,x,kind\n1,2,a\n", [", row 1: ", "'x' stands twice"]),
        ("kind,x,kind\na,2,a\n", [", row 1: ", "'kind' stands twice"]),
        ("x,,kind\n1,2,a\n", [", row 1: ", "column 2 has no"]),
        ("x, ,kind\n1,2,a\n", [", row 1: ", "column 2 has no"]),
        ("", ["must begin with a header line, but is empty."]),
        ("\nx,kind\n1,a\n", ["must begin with a header line, but is empty."]),
        ("x,kind\n", ["must have rows below its header, but has none."]),
        ("x,kind", ["must have rows below its header, but has none."]),
        ("x,kind\n1,a\n2,a\n", ["at least two classes", "'a'"]),
        (b"x,kind\n1,a\n2,\xff\n", ["UTF-8", "0xff"]),
        ('x,kind\n1,"a\n2,b\n', [", row 3: must be a row of a CSV file", "quote left open?"]),
        ('x,kind\n1,"a"b\n2,b\n', [", row 2: must be a row of a CSV file"]),
    ],
    ids=str,
)
def test_a_malformed_csv_is_refused_saying_what_must_hold(
    content: str | bytes, words: list[str], tmp_path: Path
) -> None:
    line = csv_refusal(tmp_path, content)
    for word in words:
        assert word in line


@pytest.mark.parametrize("values", [["a", "b"], ["1", "2"]], ids=["text", "numbers"])
def test_a_missing_target_column_is_refused_with_the_nearest_name(values: list[str], tmp_path: Path) -> None:
    content = "x,kind\n" + "".join(f"{i},{value}\n" for i, value in enumerate(values))
    line = csv_refusal(tmp_path, content, target="knd")
    assert "'knd'" in line
    assert line.endswith("Did you mean 'kind'?")


@pytest.mark.parametrize("empty", ["", '""', "  "])
def test_an_empty_target_is_refused_naming_its_row(empty: str, tmp_path: Path) -> None:
    line = csv_refusal(tmp_path, f"x,kind\n1,a\n\n2,{empty}\n3,b\n")
    assert line.startswith(", row 4, column 'kind': ")
    assert "empty" in line


# --- columns that say how to split

PLOTS = "x,note,plot,day,part,kind\n1,?,b,2026-03-02,0,k\n2,,a,2026-03-01,1,l\n3,z,b,2026-03-01T12:30,-1,k\n"


def test_columns_that_say_how_to_split_are_no_features(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(PLOTS)
    options = {"path": "rows.csv", "target": "kind", "drop": ["note"], "group": "plot", "time": "day", "fold": "part"}
    data = load("csv", tmp_path, **options)
    assert data.feature_names == ("x",)
    assert data.groups is not None
    assert data.groups.tolist() == [1, 0, 1]
    assert data.times is not None
    assert np.diff(data.times).tolist() == [-86400, 45000]
    assert data.folds is not None
    assert data.folds.tolist() == [0, 1, -1]
    numbers = load("csv", tmp_path, **{**options, "time": "part", "fold": None, "drop": ["note", "day"]})
    assert numbers.times is not None
    assert numbers.times.tolist() == [0, 1, -1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": "plot"}, "column 'plot': must hold a number or a date like"),
        ({"fold": "plot"}, "column 'plot': must hold the number of a fold"),
        ({"group": "plt"}, "must have a column 'plt'"),
        ({"drop": ["note", "day", "plot", "nte"]}, "must have a column 'nte'"),
        ({"group": "note", "drop": ["day", "plot"]}, "row 3, column 'note': must not be empty"),
    ],
)
def test_columns_that_cannot_say_how_to_split_are_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "rows.csv").write_text(PLOTS)
    line = refusal("csv", tmp_path, path="rows.csv", target="kind", **{"drop": ["note", "day"], **options})
    assert message in line


@pytest.mark.parametrize("path", ["absent.csv", ".", "no/such/folder.csv", "a\0b.csv"])
def test_a_file_that_cannot_be_opened_is_refused_by_its_path(path: str, tmp_path: Path) -> None:
    assert refusal("csv", tmp_path, path=path, target="kind").startswith(str(tmp_path / path).split("\0")[0])


# --- memory


def test_rows_given_from_python_say_so_and_cannot_be_loaded(tmp_path: Path) -> None:
    source = source_class("memory").model_validate({"source": "memory"})
    assert not source.redrawable
    for ask in (lambda: source.load(tmp_path, 0), lambda: source.moved(tmp_path, tmp_path)):
        with pytest.raises(DataError, match="must say where the rows come from, but those of this study were given"):
            ask()
    assert "memory" not in SOURCES, "no study file may choose it"


# --- python:module:function


def test_a_function_beside_the_study_file_gives_rows(tmp_path: Path, module: Callable[..., str]) -> None:
    data = load(f"python:{module(MODULE)}:function", tmp_path)
    assert data.features.tolist() == [[1], [2], [3]]
    assert (data.class_names, data.labels.tolist()) == (("a", "b"), [0, 1, 0])


def test_further_keys_are_its_arguments_and_it_gets_a_seed_if_it_wants_one(
    tmp_path: Path, module: Callable[..., str]
) -> None:
    name = module("def rows(scale, *, seed, shift=0):\n    return [[scale], [seed], [shift]], [0, 1, 1]\n")
    source = f"python:{name}:rows"
    assert load(source, tmp_path, seed=9, scale=2).features.ravel().tolist() == [2, 9, 0]
    options = {"source": source, "scale": 2, "shift": 3, "seed": 5}
    fixed = source_class(source).model_validate(options)
    assert fixed.load(tmp_path, 9).features.ravel().tolist() == [2, 5, 3]
    assert not fixed.redrawable


def test_a_pandas_answer_may_hold_all_that_a_file_may(tmp_path: Path, module: Callable[..., str]) -> None:
    code = """
import pandas as pd
def rows():
    table = pd.DataFrame({"x": [1, None, 3], "in": [True, False, True], "port": ["a", None, "b"]})
    return table, pd.Series(["u", "v", "u"], name="kind")
"""
    data = load(f"python:{module(code)}:rows", tmp_path)
    assert data.feature_names == ("x", "x=missing", "in", "port=a", "port=b", "port=missing")
    expected = [[1, 0, 1, 1, 0, 0], [np.nan, 1, 0, 0, 0, 1], [3, 0, 1, 0, 1, 0]]
    np.testing.assert_array_equal(data.features, expected)
    (tmp_path / "rows.csv").write_text("x,in,port,kind\n1,yes,a,u\n,no,,v\n3,yes,b,u\n")
    assert load("csv", tmp_path, path="rows.csv", target="kind").fingerprint == data.fingerprint


def test_a_function_may_say_how_its_rows_are_to_be_split(tmp_path: Path, module: Callable[..., str]) -> None:
    code = """
import numpy as np
def rows():
    days = np.array(["2026-03-02", "2026-03-01", "2026-03-05"], "datetime64[s]")
    return [[1], [2], [3]], [0, 1, 0], {"group": ["v", "u", "v"], "time": days.tolist(), "fold": np.array([0, 1, -1])}
"""
    data = load(f"python:{module(code)}:rows", tmp_path)
    groups, times, folds = (data.metadata[name] for name in ("groups", "times", "folds"))
    assert groups.tolist() == [1, 0, 1]
    assert np.diff(times).tolist() == [-86400, 4 * 86400]
    assert folds.tolist() == [0, 1, -1]


def test_pandas_answers_keep_their_names(tmp_path: Path, module: Callable[..., str]) -> None:
    code = """
import pandas as pd
def rows():
    return pd.DataFrame({"b": [1, 2, 3], "a": [0.5, 1.5, 2.5]}), pd.Series(["u", "v", "u"], name="which")
"""
    data = load(f"python:{module(code)}:rows", tmp_path)
    assert data.features.tolist() == [[1, 0.5], [2, 1.5], [3, 2.5]]
    assert (data.feature_names, data.target_name, data.class_names) == (("b", "a"), "which", ("u", "v"))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def rows(): raise KeyError('lost')", ["raised KeyError", "lost"]),
        ("def rows(n): pass", ["raised TypeError", "'n'"]),
        ("def rows(): return None", ["must return (features, targets), but returned NoneType"]),
        ("def rows(): return [[[1], [2]], [0, 1]]", ["must return (features, targets), but returned list"]),
        ("def rows(): return [[1], ['x']], [0, 1]", ["features must be numbers", "'x'"]),
        ("def rows(): return [1, 2], [0, 1]", ["rows and columns", "(2,)"]),
        ("def rows(): return [[1], [2]], [0]", ["2 rows", "(1,)"]),
        ("def rows(): return [[1], [float('nan')]], [0, 1]", ["row 1, column 'x1' is nan"]),
        ("def rows(): return [[1], [2]], [0, 1], 3", ["must return as its third a dict", "returned int"]),
        (
            "def rows(): return [[1], [2]], [0, 1], {'when': [1, 2]}",
            ["a dict of group, time, fold, weight and columns", "'when'"],
        ),
        ("def rows(): return [[1], [2]], [0, 1], {'group': [1]}", ["'group' must have 2 values like the rows"]),
        ("def rows(): return [[1], [2]], [0, 1], {'group': [1, None]}", ["row 1, column 'group': must not be empty"]),
        (
            "def rows(): return [[1], [2]], [0, 1], {'time': ['x', 'y']}",
            ["column 'time': must hold a number or a date"],
        ),
        ("other = 1", ["'rows'"]),
        ("import no_such_module_anywhere", ["no_such_module_anywhere"]),
        ("def rows(:", ["syntax"]),
        ("raise ValueError('at import')", ["ValueError", "at import"]),
        ("def rows(): raise ValueError('two\\nlines')", ["two lines"]),
        ("rows = 3", ["rows"]),
    ],
    ids=str,
)
def test_a_function_that_gives_no_rows_is_refused_saying_why(
    code: str, words: list[str], tmp_path: Path, module: Callable[..., str]
) -> None:
    source, before = f"python:{module(code)}:rows", list(sys.path)
    line = refusal(source, tmp_path)
    assert source in line
    for word in words:
        assert word in line
    assert sys.path == before


@pytest.mark.parametrize("name", ["python:", "python:a", "python:a:", "python::b", "python:a:b:c", "python:..a:b"])
def test_a_malformed_function_name_is_refused(name: str, tmp_path: Path) -> None:
    assert "'python:module:function'" in refusal(name, tmp_path)


def test_the_module_path_is_left_as_it_was(tmp_path: Path, module: Callable[..., str]) -> None:
    before = list(sys.path)
    load(f"python:{module(MODULE)}:function", tmp_path)
    assert sys.path == before


@pytest.mark.parametrize("helped", [False, True])
def test_modules_of_one_name_beside_two_study_files_are_two_modules(
    helped: bool, tmp_path: Path, module: Callable[..., str]
) -> None:
    """Nor is a module that one of them imports the other's."""
    for number in (1, 2):
        code = f"def rows():\n    return [[{number}], [0]], [0, 1]\n"
        name = module(code, folder=tmp_path / str(number), name="rows_of_a_study")
        if helped:
            name = module(f"from {name} import rows", folder=tmp_path / str(number), name="helped_rows_of_a_study")
        assert load(f"python:{name}:rows", tmp_path / str(number)).features[0, 0] == number


def test_a_module_that_is_loaded_already_stays_the_one_it_is(
    tmp_path: Path, module: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = ModuleType("rows_of_a_study")
    monkeypatch.setitem(sys.modules, "rows_of_a_study", loaded)
    assert load(f"python:{module(MODULE, name='rows_of_a_study')}:function", tmp_path).rows == 3
    assert sys.modules["rows_of_a_study"] is loaded


def test_a_module_beside_the_study_file_may_define_dataclasses(tmp_path: Path, module: Callable[..., str]) -> None:
    """Which look their own module up while it is being imported."""
    code = """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Shape:
    size: int = 3
def rows():
    return [[i] for i in range(Shape().size)], [0, 1, 0]
"""
    assert load(f"python:{module(code)}:rows", tmp_path).rows == 3


def test_a_function_may_import_what_stands_beside_it_while_it_runs(tmp_path: Path, module: Callable[..., str]) -> None:
    helper = module(MODULE)
    name = module(f"def rows():\n    import {helper}\n    return {helper}.function()\n")
    assert load(f"python:{name}:rows", tmp_path).rows == 3


@pytest.mark.parametrize("frames", [True, False], ids=["frames", "arrays"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rows_of_a_function_without_a_target_are_left_out_if_that_is_wished(
    frames: bool, task: str, tmp_path: Path, module: Callable[..., str]
) -> None:
    targets = '["a", None, "b", "a", None]' if task == "classification" else "[1.5, math.nan, 2.5, 3.5, math.nan]"
    made = "pd.DataFrame({'x': x}), pd.Series(y, name='y')" if frames else "np.array(x)[:, None], np.array(y)"
    code = f"""
import math
import numpy as np
import pandas as pd

def rows(some=False):
    x, y, weight = [1.0, 2.0, 3.0, 4.0, 5.0], {targets}, [1, 2, 3, 4, 5]
    if some:
        x, y, weight = ([values[i] for i in (0, 2, 3)] for values in (x, y, weight))
    return {made}, {{"weight": weight}}
"""
    source = f"python:{module(code)}:rows"
    line = refusal(source, tmp_path, task=task)
    assert line.endswith("but 2 of 5 have none. Leave such rows out: drop_missing_target=True.")
    data = load(source, tmp_path, task=task, drop_missing_target=True)
    assert data.without_target == 2
    assert data.weights is not None
    assert data.weights.tolist() == [1, 3, 4]
    assert data.fingerprint == load(source, tmp_path, task=task, some=True).fingerprint
