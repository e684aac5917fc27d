"""The drafts that the demonstration shows."""

import pytest

from machnuoc.demo.planning import reports as drafts
from machnuoc.reports.models import Report
from machnuoc.reports.tests.conftest import NOW

pytestmark = pytest.mark.usefixtures("demo_data", "db")


def test_the_demonstration_prepares_drafts_once_and_sends_none():
    drafts.load_reports(NOW)
    drafts.load_reports(NOW)

    assert Report.objects.count() == len(drafts.DRAFTS)
    assert set(Report.objects.values_list("state", flat=True)) == {Report.State.DRAFT}
