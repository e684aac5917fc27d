"""What the tests of this room share: one small operator (see world.py)."""

import pytest

from machnuoc.billing.tests.world import World, make_world


@pytest.fixture
def world(db) -> World:
    return make_world()
