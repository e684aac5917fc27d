"""Callbacks of a gateway survive a server that is killed."""

import pytest
from django.db import connection

from machnuoc.bench import common


@pytest.mark.slow
def test_a_killed_server_loses_no_callback_and_doubles_none():
    vendor = connection.vendor

    report = common.run_on_each("billing", "small", vendor, "--only", "billing_callbacks")

    rows = {row["metric"]: row for row in report["results"]}
    assert rows[f"callbacks_lost_{vendor}"]["value"] == 0
    assert rows[f"callbacks_doubled_{vendor}"]["value"] == 0
    assert rows[f"callbacks_per_s_{vendor}"]["value"] > 0
    assert "lần không được trả lời" in rows[f"callbacks_lost_{vendor}"]["note"]
