"""Reading figures to be shown: each metric, band and place they share is made once, not once a figure.

A page shows up to 200 figures of a dozen metrics; `select_related` would make a thousand objects of them, which took
longer than asking for them.
"""

from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Any, TypeVar

from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import Model, QuerySet

from machnuoc.indicators.models import Band, Fact, Metric, Value
from machnuoc.places.models import Subject

_VALUE = (
    "id", "metric_id", "subject_id", "period_kind", "period_start", "scenario", "number", "low", "low_open", "high",
    "high_open", "band_id", "state", "numerator", "denominator", "parts_present", "parts_total", "fact_id", "version",
)  # fmt: skip
_START = _VALUE.index("period_start")
_RELATED: tuple[tuple[str, type[Model], tuple[str, ...]], ...] = (
    (
        "metric",
        Metric,
        ("id", "key", "kind", "name", "short_name", "unit", "decimals", "subject_kind", "direction", "order"),
    ),
    ("band", Band, ("id", "label", "severity")),
    ("fact", Fact, ("id", "qualifier")),
    ("subject", Subject, ("id", "kind", "key", "name", "latitude", "longitude")),
)
_Make = Callable[[Any], Model]
M = TypeVar("M", bound=Model)


def read(values: QuerySet[Value], subject: Subject | None = None) -> list[Value]:
    """Return the values with metric, subject, band and fact, as much of each as a page shows. One query, in no order.

    subject: of all of them, where the caller has it. Fields that are not read here are asked for when touched.
    """
    try:
        chosen, parameters = values.values_list("pk").query.sql_with_params()
    except EmptyResultSet:
        return []
    related = _RELATED if subject is None else _RELATED[:-1]
    start = len(_VALUE)
    parts: list[tuple[str, _Make, int, int, dict[Any, Model]]] = []
    for name, model, names in related:
        parts.append((name, _maker(model, names), start, start + len(names), {}))
        start += len(names)
    make = _maker(Value, _VALUE)
    days: dict[Any, Any] = {}
    found: list[Value] = []
    with connections[values.db].cursor() as cursor:
        # The columns as a constant text: composing 40 of them takes Django longer than the database takes to answer.
        cursor.execute(f"{_select(subject is None)} WHERE value.id IN ({chosen})", parameters)
        for row in cursor.fetchall():
            fields = list(row[: len(_VALUE)])
            day = fields[_START]
            if isinstance(day, str):  # SQLite keeps days as text
                fields[_START] = days.get(day) or days.setdefault(day, date.fromisoformat(day))
            value: Any = make(fields)
            held = value._state.fields_cache
            if subject is not None:
                held["subject"] = subject
            for name, make_one, first, end, known in parts:
                pk = row[first]
                if pk is not None and pk not in known:
                    known[pk] = make_one(row[first:end])
                held[name] = known.get(pk)
            found.append(value)
    return found


@cache
def _select(with_subject: bool) -> str:
    columns = [f"value.{name}" for name in _VALUE]
    joins = []
    for name, model, names in _RELATED if with_subject else _RELATED[:-1]:
        columns += [f'{name}."{column}"' for column in names]
        outer = "LEFT JOIN" if Value._meta.get_field(name).null else "JOIN"
        joins.append(f"{outer} {model._meta.db_table} AS {name} ON {name}.id = value.{name}_id")
    return f"SELECT {', '.join(columns)} FROM {Value._meta.db_table} AS value {' '.join(joins)}"  # noqa: S608 - our own names


@cache
def _maker(model: type[M], names: tuple[str, ...]) -> Callable[[Any], M]:
    """Return what makes an object of the columns, which may come in any order."""
    order = [field.attname for field in model._meta.concrete_fields if field.attname in names]
    places = [names.index(name) for name in order]
    held = frozenset(order)
    if places == list(range(len(names))):
        return lambda row: model.from_db("default", held, row)
    return lambda row: model.from_db("default", held, [row[place] for place in places])
