"""What other pieces and rooms add to the page of a connection, and what they know of a customer.

A room's `panels.py` (billing, portal), or a module of this room named in _PIECES, may define
    for_connection(person, connection) -> list[Panel]     sections of the page, by order; they must mask what they show
                                                          unless visibility.may(person, "serve", connection)
    later_for_connection(person, connection)              as above, fetched after the page has come: it costs the page
                                                          nothing
    owed_vnd(customer_ids) -> list[tuple[int, int]]       (customer, đồng still owed): no erasure while there is any
    customer_data(customer) -> list[tuple[str, list[dict]]]   (title, rows) for the copy that a customer asks for
    erase_customer(customer) -> list[int]                 empties what it keeps about them, part of their erasure
    connections_billed_as(text, phone) -> set[int]        connections whose bills carry this number or reference, of
                                                          customers with this phone
"""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from machnuoc.core import panels
from machnuoc.core.models import Person
from machnuoc.core.panels import Panel
from machnuoc.customers.models import Connection, Customer

_PIECES = ("meter_panels", "reading_panels", "request_panels", "notice_panels")


@cache
def _modules() -> tuple[ModuleType, ...]:
    names = [f"machnuoc.customers.{name}" for name in _PIECES]
    return tuple(import_module(name) for name in names if find_spec(name))


def _collect(function: str, *arguments: object) -> Iterable[Any]:
    for module in _modules():
        if hasattr(module, function):
            yield from getattr(module, function)(*arguments)
    yield from panels.collect(function, *arguments)


def list_for_connection(person: Person, connection: Connection) -> list[Panel]:
    """Return the sections that others add to the page of a connection."""
    return sorted(_collect("for_connection", person, connection), key=lambda panel: panel.order)


def list_later_for_connection(person: Person, connection: Connection) -> list[Panel]:
    """Return the sections that follow after the page of a connection has come."""
    return sorted(_collect("later_for_connection", person, connection), key=lambda panel: panel.order)


def owed_vnd(customer_ids: Sequence[int]) -> int:
    """Return how much these customers still owe, in đồng, by all rooms that keep accounts."""
    return sum(amount for _, amount in _collect("owed_vnd", list(customer_ids)))


def customer_data(customer: Customer) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return what others keep about a customer: titles and rows."""
    return list(_collect("customer_data", customer))


def erase_customer(customer: Customer) -> int:
    """Let others empty what they keep about a customer, in the transaction of the erasure; return how many rows."""
    return sum(_collect("erase_customer", customer))


def connections_billed_as(text: str, phone: str) -> set[int]:
    """Return the connections of customers with this phone whose bills carry the number or reference in a text."""
    return set(_collect("connections_billed_as", text, phone))
