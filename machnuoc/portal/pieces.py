"""What other pieces of this room add to the pages of a customer.

A module named in _PIECES may define
    for_home(account, connections, now) -> list[Panel]         above the connections on the first page, by order
    for_connection_page(account, connection, now) -> list[Panel]    on the page of a connection
    for_account_page(account, connections, now) -> list[Panel]      on the page of the account
`connections` is the list that `queries.list_connections` gave, already read.
"""

from datetime import datetime
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from machnuoc.core.panels import Panel
from machnuoc.customers.models import Connection
from machnuoc.portal.models import PortalAccount

_PIECES = ("service_panels",)


@cache
def _modules() -> tuple[ModuleType, ...]:
    names = [f"machnuoc.portal.{name}" for name in _PIECES]
    return tuple(import_module(name) for name in names if find_spec(name))


def _collect(function: str, *arguments: object) -> list[Panel]:
    found: list[Panel] = []
    for module in _modules():
        if hasattr(module, function):
            found += getattr(module, function)(*arguments)
    return sorted(found, key=lambda panel: panel.order)


def list_for_home(account: PortalAccount, connections: list[Connection], now: datetime) -> list[Panel]:
    return _collect("for_home", account, connections, now)


def list_for_connection_page(account: PortalAccount, connection: Connection, now: datetime) -> list[Panel]:
    return _collect("for_connection_page", account, connection, now)


def list_for_account_page(account: PortalAccount, connections: list[Connection], now: datetime) -> list[Panel]:
    return _collect("for_account_page", account, connections, now)
