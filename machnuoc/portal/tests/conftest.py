"""What the tests of this room share: the operator of the billing tests, two customers, their browsers."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from django.utils import timezone

from machnuoc.billing.tests.world import AUGUST, JULY, World, make_world
from machnuoc.customers.models import Connection
from machnuoc.portal import links, sessions
from machnuoc.portal.models import PortalAccount


@pytest.fixture
def world(db) -> World:
    return make_world()


@pytest.fixture
def house(world) -> Connection:
    """A house with readings of two months; the phone of its customer is 0905000001."""
    return world.connection({JULY: 112, AUGUST: 130})


@pytest.fixture
def neighbour(house, world) -> Connection:
    """The house next door, of another customer: 0905000002."""
    return world.connection({JULY: 40, AUGUST: 55})


def make_account(address: str, now: datetime | None = None) -> PortalAccount:
    account = PortalAccount.objects.create(address=address, created_at=now or timezone.now())
    links.refresh(account, now or timezone.now())
    return account


def session_of(browser: Client) -> Any:
    """Return the customer's session of a browser."""
    return SessionStore(browser.cookies["machnuoc_khach"].value)


@pytest.fixture
def customer_browser() -> Callable[..., Client]:
    """Return a browser in which the customer of a connection (or of a phone or e-mail) is signed in."""

    def signed_in(whose: Connection | str) -> Client:
        address = whose if isinstance(whose, str) else whose.customer.phone
        account = PortalAccount.objects.filter(address=address).first() or make_account(address)
        client = Client()
        session = SessionStore()
        sessions.begin(session, account, timezone.now())
        session.save()
        client.cookies["machnuoc_khach"] = session.session_key
        return client

    return signed_in
