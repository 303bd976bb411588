"""A saved model as one ONNX graph from raw columns to predictions: preprocessing and networks in one file.

==========================  ==========================  ============================================================
input or output             type, shape                 meaning
==========================  ==========================  ============================================================
a numeric column's name     double, (N, 1)              its values, nan where missing
a boolean column's name     double, (N, 1)              1, 0, or nan where missing
a date column's name        double, (N, 1)              days since 1970-01-01 in UTC, the time of day as a fraction; nan
                                                        where missing: ONNX cannot read dates
an ordered column's name    string, (N, 1)              as of a categorical column
a categorical column's name string, (N, 1)              its category as the file has it, without blanks around it;
                                                        the empty string where missing
``label``                   string, (N,)                the most probable class
``probabilities``           the network's type, (N, C)  of the classes, in the order that the metadata ``classes`` has
``prediction``              double, (N, 1)              of a regression, instead of the two: in its target's unit
==========================  ==========================  ============================================================

An output whose name is a column's has ``_`` behind it; outputs stand in this order. Numbers are doubles because values
far from 0 would lose in single precision what tells them apart. Only nan and the empty string are missing values: the
words that a file may have for one (NA, and those of the study's ``missing``) are the caller's to replace, as are yes
and no. A category that training had not is none of its categories, and an infinite number, which files may not hold, is
not refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpsearch.data.columns import Column, Raw
from hpsearch.errors import BundleError, quoted
from hpsearch.extras import require
from hpsearch.model.bundle import Bundle
from hpsearch.target_transform import LogTransform, PowerTransform, TargetTransform
from hpsearch.transform import FURTHEST, MOST_EXPONENT, powers_of

if TYPE_CHECKING:
    import onnx

# What runtimes of 2021 and later understand: the first operators of today's form (Squeeze takes its axes as an input).
OPSET, ML_OPSET, IR_VERSION = 13, 1, 7
MOST_BYTES = 2**31 - 2**24  # of parameters: a protocol buffer holds less than 2 GiB


def require_packages() -> None:
    """Refuse to go on without the packages of the extra.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    for package in ("onnx", "onnxruntime"):
        require(package, "onnx", "An ONNX export")


def to_onnx(bundle: Bundle) -> onnx.ModelProto:
    """The graph of a model, as the module's table describes it; the same model gives the same bytes.

    Raises:
        BundleError: names that no graph can have, or more parameters than a file can.
        MissingExtraError: the extra ``onnx`` is not installed.
    """
    require_packages()
    import onnx
    from onnx import TensorProto, helper

    _require_expressible(bundle)
    graph = _Graph(bundle.plan.names)
    inputs, blocks = [], []
    tables = iter([encoding.tables[-1] for encoding in bundle.scaling.encodings])
    for column in bundle.plan.columns:
        name = column.name
        if column.encoding is not None:
            inputs.append(helper.make_tensor_value_info(name, TensorProto.STRING, ["N", 1]))
            blocks.append(_looked_up(graph, column, next(tables)))
            if column.indicator:
                empty = graph.node("Equal", _codes(graph, column), graph.constant(np.array(len(column.categories))))
                blocks.append(graph.node("Cast", empty, to=TensorProto.DOUBLE))
            continue
        if column.kind == "categorical":
            inputs.append(helper.make_tensor_value_info(name, TensorProto.STRING, ["N", 1]))
            # A missing category is one of its own, the last, as in the plan.
            words = [*column.categories, *([""] if column.indicator else [])]
            if words:
                hot = graph.node("OneHotEncoder", name, domain="ai.onnx.ml", cats_strings=words, zeros=1)
                flat = graph.node("Squeeze", hot, graph.constant(np.array([1])))
                blocks.append(graph.node("Cast", flat, to=TensorProto.DOUBLE))
            continue
        kind = TensorProto.STRING if column.kind == "ordered" else TensorProto.DOUBLE
        inputs.append(helper.make_tensor_value_info(name, kind, ["N", 1]))
        values = _places(graph, column) if column.kind == "ordered" else name
        blocks += [values, *(_calendar(graph, name, column.clock) if column.kind == "date" else [])]
        if column.indicator:
            blocks.append(graph.node("Cast", graph.node("IsNaN", values), to=TensorProto.DOUBLE))
    outputs = _network(graph, bundle, _transform(graph, bundle, graph.node("Concat", *blocks, axis=1)))
    model = helper.make_model(
        helper.make_graph(graph.nodes, "hpsearch", inputs, _predictions(graph, bundle, outputs), graph.constants),
        producer_name="hpsearch",
        producer_version=version("hpsearch"),
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
    )
    helper.set_model_props(model, _metadata(bundle))
    onnx.checker.check_model(model, full_check=True)
    return model


class OnnxModel:
    """A graph in onnxruntime, on one thread of the processor.

    Args:
        content: the graph's bytes.
    """

    def __init__(self, content: bytes) -> None:
        require_packages()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3  # errors: what it warns about is its own search for devices
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """``name``, ``type`` and ``shape`` of each input."""
        return [_described(one) for one in self._session.get_inputs()]

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """Name, type and shape of each output."""
        return [_described(one) for one in self._session.get_outputs()]

    def predict(self, raws: Sequence[Raw]) -> tuple[NDArray[Any] | None, NDArray[Any]]:
        """Labels (N,), None of a regression, and probabilities (N, C) or predicted targets (N, 1), of raw columns."""
        *labels, predictions = self._session.run(None, {raw.name: _as_input(raw) for raw in raws})
        return (labels[0] if labels else None), predictions


def _as_input(raw: Raw) -> NDArray[Any]:
    if raw.kind not in ("categorical", "ordered"):
        return np.asarray(raw.values, np.float64)[:, np.newaxis]
    words = np.array([*raw.categories, ""], object)  # -1, the missing, picks the last
    places = np.where(np.isnan(raw.values), -1, raw.values).astype(np.intp) if raw.kind == "ordered" else raw.values
    return np.asarray(words[places])[:, np.newaxis]


def _described(value: Any) -> dict[str, Any]:
    return {"name": value.name, "type": value.type.removeprefix("tensor(").rstrip(")"), "shape": value.shape}


class _Graph:
    """Nodes and constants as they come; names that are the columns' are left to them."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._taken = set(columns)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def name(self, wanted: str) -> str:
        """The wanted name, with as many ``_`` behind it as make it another than all before."""
        while wanted in self._taken:
            wanted += "_"
        self._taken.add(wanted)
        return wanted

    def constant(self, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = self.name(f"constant {len(self.constants)}")
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def node(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Add an operator; returns the name of what it gives."""
        from onnx import helper

        name = self.name(f"{operator} {len(self.nodes)}" if output is None else output)
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name


def _codes(graph: _Graph, column: Column) -> str:
    """The number of each category of an encoded column, see :class:`hpsearch.transform.Encoding`: (N, 1) integers."""
    count = len(column.categories)
    words = [*column.categories, ""]  # the missing
    return graph.node(
        *("LabelEncoder", column.name), domain="ai.onnx.ml", classes_strings=words, default_int64=count + 1
    )


def _looked_up(graph: _Graph, column: Column, table: NDArray[Any]) -> str:
    """What stands for the categories of an encoded column, (N, T) doubles."""
    codes = graph.node("Squeeze", _codes(graph, column), graph.constant(np.array([1])))
    return graph.node("Gather", graph.constant(table.astype(np.float64)), codes, axis=0)


def _places(graph: _Graph, column: Column) -> str:
    """The place of each category of an ordered column, in double precision; nan where there is none."""
    from onnx import TensorProto

    words = [*column.categories]
    codes = graph.node("LabelEncoder", column.name, domain="ai.onnx.ml", classes_strings=words, default_int64=-1)
    places = graph.node("Cast", codes, to=TensorProto.DOUBLE)
    missing, nan = (graph.constant(np.array(number)) for number in (0.0, np.nan))
    return graph.node("Where", graph.node("Less", places, missing), nan, places)


def _calendar(graph: _Graph, days: str, clock: bool) -> list[str]:
    """What :func:`hpsearch.data.dates.calendar` gives beside the days themselves; nan stays nan.

    In whole numbers, which doubles hold exactly, as H. Hinnant's civil_from_days has it
    (https://howardhinnant.github.io/date_algorithms.html): years begin with March there, and eras have 400 years.
    """

    def number(value: float) -> str:
        return graph.constant(np.array(value, np.float64))

    def ratio(values: str, by: float) -> str:
        return graph.node("Floor", graph.node("Div", values, number(by)))

    def less(values: str, times: str, by: float) -> str:
        return graph.node("Sub", values, graph.node("Mul", times, number(by)))

    whole = graph.node("Floor", days)
    shifted = graph.node("Add", whole, number(719_468))
    era = ratio(shifted, 146_097)
    of_era = less(shifted, era, 146_097)
    leaps = graph.node("Sub", ratio(of_era, 36_524), graph.node("Add", ratio(of_era, 1_460), ratio(of_era, 146_096)))
    years = ratio(graph.node("Add", of_era, leaps), 365)
    centuries = graph.node("Sub", ratio(years, 4), ratio(years, 100))
    of_year = graph.node("Sub", less(of_era, years, 365), centuries)
    from_march = ratio(graph.node("Add", graph.node("Mul", of_year, number(5)), number(2)), 153)
    late = graph.node("Less", from_march, number(10))
    month = graph.node("Add", from_march, graph.node("Where", late, number(3), number(-9)))
    year = graph.node("Add", years, graph.node("Mul", era, number(400)))
    year = graph.node("Add", year, graph.node("Where", late, number(0), number(1)))
    monday = graph.node("Add", whole, number(3))  # 1970-01-01 was a Thursday
    weekday = less(monday, ratio(monday, 7), 7)
    hours = [graph.node("Mul", graph.node("Sub", days, whole), number(24))] if clock else []
    return [year, month, weekday, *hours]


def _transform(graph: _Graph, bundle: Bundle, features: str) -> str:
    """What :func:`hpsearch.transform.transform` does, in double precision, and the network's type after it."""
    scaling = bundle.scaling
    if scaling.fill is not None:
        missing = graph.node("IsNaN", features)
        features = graph.node("Where", missing, graph.constant(scaling.fill), features)
    if scaling.lambdas is not None:
        transformed = _yeo_johnson(graph, scaling.lambdas, features)
        features = graph.node("Where", graph.constant(scaling.lambdas != 1), transformed, features)
    features = graph.node("Sub", features, graph.constant(scaling.centre))
    features = graph.node("Div", features, graph.constant(scaling.scale))
    if scaling.lambdas is not None:
        limits = np.where(scaling.lambdas != 1, FURTHEST, np.inf)
        features = graph.node("Min", graph.node("Max", features, graph.constant(-limits)), graph.constant(limits))
    return graph.node("Cast", features, to=_type(bundle))


def _yeo_johnson(graph: _Graph, lambdas: NDArray[np.float64], values: str) -> str:
    """:func:`hpsearch.transform.yeo_johnson`. ONNX has neither log1p nor expm1: they are made as W. Kahan did.

    In u = 1 + x the rounding of x is that of log(u) too, and x / (u - 1) takes it out of their quotient; and likewise
    in exp(x) - 1. See N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition (2002), section 1.14.1.
    """
    zero, one, minus_one = (graph.constant(np.array(number)) for number in (0.0, 1.0, -1.0))
    up, down = map(graph.constant, powers_of(lambdas))
    below, sizes = graph.node("Less", values, zero), graph.node("Abs", values)
    more = graph.node("Add", sizes, one)
    added = graph.node("Sub", more, one)
    logs = graph.node("Mul", graph.node("Log", more), graph.node("Div", sizes, added))
    logs = graph.node("Where", graph.node("Equal", added, zero), sizes, logs)
    powers = graph.node("Where", below, down, up)
    exponents = graph.node("Min", graph.node("Mul", logs, powers), graph.constant(np.array(MOST_EXPONENT)))
    raised = graph.node("Exp", exponents)
    less = graph.node("Sub", raised, one)
    found = graph.node("Mul", less, graph.node("Div", exponents, graph.node("Log", raised)))
    found = graph.node("Where", graph.node("Equal", less, minus_one), minus_one, found)
    found = graph.node("Where", graph.node("Equal", less, zero), exponents, found)
    found = graph.node("Div", found, powers)
    return graph.node("Where", below, graph.node("Neg", found), found)


def _network(graph: _Graph, bundle: Bundle, values: str) -> str:
    """The outputs of the last layer, (M, N, outputs): all members see the same rows."""
    architecture = bundle.architecture
    for number, matrix in enumerate(architecture.matrices(bundle.parameters), start=1):
        weights, biases = (graph.constant(np.ascontiguousarray(part)) for part in (matrix[:, :-1], matrix[:, -1:]))
        values = graph.node("Add", graph.node("MatMul", values, weights), biases)
        if number == len(architecture.network.layers):
            break
        if architecture.activation == "leaky_relu":
            # Not LeakyRelu, which onnxruntime has in single precision only.
            slope = graph.constant(np.array(architecture.leaky_slope, architecture.dtype))
            values = graph.node("Max", values, graph.node("Mul", values, slope))
        else:
            values = graph.node({"relu": "Relu", "tanh": "Tanh"}[architecture.activation], values)
    return values


def _predictions(graph: _Graph, bundle: Bundle, values: str) -> list[Any]:
    """Add what makes predictions of the last layer's outputs (M, N, outputs), the members' mean; returns what the graph
    gives."""
    from onnx import TensorProto, helper

    if not bundle.class_names:
        values = graph.node("Cast", values, to=TensorProto.DOUBLE)
        values = graph.node("Mul", values, graph.constant(np.array(bundle.target_scale)))
        centre = graph.constant(np.array(bundle.target_centre))
        values = graph.node("Add", values, centre)
        if bundle.target_transform is not None:
            values = TARGETS[type(bundle.target_transform)](graph, bundle.target_transform, values)
        name = graph.node("ReduceMean", values, axes=[0], keepdims=0, output="prediction")
        return [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["N", 1])]
    label = graph.name("label")
    if bundle.architecture.loss == "binary_cross_entropy":
        # Each from the logit: 1 - p would have no digits left where p is near 1.
        first = graph.node("Sigmoid", graph.node("Neg", values))
        values = graph.node("Concat", first, graph.node("Sigmoid", values), axis=2)
    else:
        values = graph.node("Softmax", values, axis=2)
    name = graph.node("ReduceMean", values, axes=[0], keepdims=0, output="probabilities")
    place = graph.node("ArgMax", name, axis=1, keepdims=0)
    classes = graph.constant(np.array(bundle.class_names, object))
    graph.nodes.append(helper.make_node("Gather", [classes, place], [label]))
    return [
        helper.make_tensor_value_info(label, TensorProto.STRING, ["N"]),
        helper.make_tensor_value_info(name, _type(bundle), ["N", len(bundle.class_names)]),
    ]


def _from_log(graph: _Graph, transform: LogTransform, values: str) -> str:
    return _kept(graph, transform, graph.node("Exp", values))


def _from_power(graph: _Graph, transform: PowerTransform, values: str) -> str:
    """What :func:`hpsearch.transform.inverse_yeo_johnson` does, one side of 0 after the other."""
    mean, deviation, power = (float(of[0]) for of in (transform.mean, transform.deviation, transform.power))
    sizes, one = graph.node("Abs", values), graph.constant(np.array(1.0))

    def grown(exponent: float) -> str:
        if exponent == 0:
            return graph.node("Sub", graph.node("Exp", sizes), one)
        base = graph.node("Add", graph.node("Mul", sizes, graph.constant(np.array(exponent))), one)
        return graph.node("Sub", graph.node("Pow", base, graph.constant(np.array(1 / exponent))), one)

    below = graph.node("Less", values, graph.constant(np.array(0.0)))
    values = graph.node("Where", below, graph.node("Neg", grown(2 - power)), grown(power))
    values = graph.node("Mul", values, graph.constant(np.array(deviation)))
    return _kept(graph, transform, graph.node("Add", values, graph.constant(np.array(mean))))


def _kept(graph: _Graph, transform: TargetTransform, values: str) -> str:
    """Values between the bounds of predictions."""
    bounds = (graph.constant(bound[0].reshape(())) for bound in (transform.low, transform.high))
    return graph.node("Clip", values, *bounds)


# What makes predictions of a transformed target.
TARGETS: dict[type[TargetTransform], Callable[[_Graph, Any, str], str]] = {
    LogTransform: _from_log,
    PowerTransform: _from_power,
}


def _type(bundle: Bundle) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(bundle.architecture.dtype))


def _metadata(bundle: Bundle) -> dict[str, str]:
    """What a file without its bundle should still say of itself."""
    return {
        "hpsearch": version("hpsearch"),
        "study": str(bundle.about.get("study", "")),
        "target": bundle.target_name,
        "classes": json.dumps(bundle.class_names),
        "preprocessing": json.dumps(bundle.preprocessing),
        "arrays_sha256": bundle.arrays_sha256,
    }


def _require_expressible(bundle: Bundle) -> None:
    if bundle.parameters.nbytes > MOST_BYTES:
        must = f"A model must have at most {MOST_BYTES:,} bytes of parameters to be one ONNX file"
        raise BundleError(must, f"has {bundle.parameters.nbytes:,}")
    categories = [text for column in bundle.plan.columns for text in column.categories]
    for what, texts in {"column": bundle.plan.names, "class": bundle.class_names, "category": categories}.items():
        for text in texts:
            if "\0" in text or (not text and what == "column"):
                must = f"The name of a {what} must be text without NUL characters for an ONNX graph"
                raise BundleError(must, f"is {quoted(text)}" if text else "is empty", "Rename it and retrain.")
