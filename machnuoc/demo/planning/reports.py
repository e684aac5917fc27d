"""A draft of each kind of report, of the newest period that it is sensible for. None is signed or sent."""

from datetime import datetime

from machnuoc.core import periods
from machnuoc.core.periods import Period
from machnuoc.places.models import Organisation
from machnuoc.planning.models import DutyInstance
from machnuoc.reports import kinds, operations, report_search

# Kind, who reports, how many periods before the present one; or the last period of a plan that has ended.
DRAFTS: tuple[tuple[str, str, int | str], ...] = (
    ("qn_monthly", "org.qn.trung-tam", 1),
    ("qn_quarterly", "org.qn.trung-tam", 1),
    ("cb_annual", "org.cb.so-xay-dung", 0),
    ("cb_annual", "org.cb.cap-nuoc-cao-bang", 0),
    ("commune_indicators", "org.ct.ubnd-xa-cam-tan", 0),
    ("safe_water_half", "org.lc.so-xay-dung", 1),
    ("safe_water_annual", "org.lc.so-xay-dung", 0),
    ("ntm_quarterly", "org.kh.so-xay-dung", "2025-Q3"),
)


def load_reports(now: datetime) -> None:
    """Prepare the drafts, joined to the duties that ask for them. Idempotent."""
    today = periods.local_date(now)
    for kind_key, organisation_key, which in DRAFTS:
        kind = kinds.get_kind(kind_key)
        organisation = Organisation.objects.select_related("subject", "parent__subject").get(
            subject__key=organisation_key
        )
        period = (
            Period.parse(which) if isinstance(which, str)
            else Period.containing(today, kind.period_kind).shift(-which)  # type: ignore[arg-type]
        )  # fmt: skip
        instance = DutyInstance.objects.filter(
            duty__report_kind=kind_key, organisation=organisation, period_kind=period.kind,
            period_start=period.start_date,
        ).select_related("duty__plan", "duty__to_organisation__subject").first()  # fmt: skip
        operations.prepare(kind_key, organisation, period, by=None, now=now, instance=instance)
    report_search.put_all()  # also what an earlier version has prepared without an index
