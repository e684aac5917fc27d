"""What the tests of several rooms share."""

from machnuoc.demo.tests.database import demo_data, demo_data_database

__all__ = ["demo_data", "demo_data_database"]
