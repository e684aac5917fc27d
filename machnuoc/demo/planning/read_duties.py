"""Read the report duties of the plans (`demo/data/<plan>/duties.csv`): files in, frozen dataclasses out. No database.

Columns: plan_key, key, order, name, territory_key, to_key, to_as_printed, from_keys (several by «;», a key may end in
«*» for all that begin so), from_as_printed, timing (RECURRING, ONCE, AD_HOC, CONTINUOUS), rule (RFC 5545; empty for
the last two), starts_on and ends_on (both included), edge (INCLUSIVE, EXCLUSIVE, WITHIN), edge_as_printed, covers
(SAME, PREVIOUS, NONE), period_kind (M, Q, H, Y), opens_days_before, channel, report_kind, passage_key, note.
"""

import csv
from dataclasses import dataclass
from datetime import date
from importlib import resources

FOLDERS = ("quang_ngai", "cao_bang", "cam_tan", "lai_chau", "khanh_hoa")


@dataclass(frozen=True)
class DutyRow:
    """A row of a plan's duties.csv. Empty text: not printed."""

    plan_key: str
    key: str
    order: int
    name: str
    territory_key: str
    to_key: str
    to_as_printed: str
    from_keys: tuple[str, ...]
    from_as_printed: str
    timing: str
    rule: str
    starts_on: date | None
    ends_on: date | None
    edge: str
    edge_as_printed: str
    covers: str
    period_kind: str
    opens_days_before: int
    channel: str
    report_kind: str
    passage_key: str
    note: str


def _date(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def list_duties(folder: str) -> list[DutyRow]:
    """Return the duties of a plan; none where the plan has no such file."""
    file = resources.files("machnuoc.demo").joinpath("data", folder, "duties.csv")
    if not file.is_file():
        return []
    return [
        DutyRow(
            plan_key=row["plan_key"],
            key=row["key"],
            order=int(row["order"] or 0),
            name=row["name"],
            territory_key=row["territory_key"],
            to_key=row["to_key"],
            to_as_printed=row["to_as_printed"],
            from_keys=tuple(filter(None, row["from_keys"].split(";"))),
            from_as_printed=row["from_as_printed"],
            timing=row["timing"],
            rule=row["rule"],
            starts_on=_date(row["starts_on"]),
            ends_on=_date(row["ends_on"]),
            edge=row["edge"] or "INCLUSIVE",
            edge_as_printed=row["edge_as_printed"],
            covers=row["covers"] or "NONE",
            period_kind=row["period_kind"],
            opens_days_before=int(row["opens_days_before"] or 14),
            channel=row["channel"],
            report_kind=row["report_kind"],
            passage_key=row["passage_key"],
            note=row["note"],
        )
        for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines(), strict=True)
    ]
