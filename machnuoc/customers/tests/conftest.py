"""What the tests of this room share: one small water centre (see world.py)."""

from collections.abc import Callable

import pytest
from django.test import Client

from machnuoc.core.models import Person
from machnuoc.customers.tests.world import Centre, make_centre


@pytest.fixture
def centre(db) -> Centre:
    return make_centre()


@pytest.fixture
def browser_of() -> Callable[[Person], Client]:
    def sign_in(person: Person) -> Client:
        client = Client()
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return sign_in
