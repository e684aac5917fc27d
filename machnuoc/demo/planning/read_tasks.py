"""Read the tasks of the five plans (`demo/data/<plan>/tasks.csv`): files in, frozen dataclasses out, no database.

Columns: `lead_keys` and `lead_printed` run in parallel, separated by semicolons, so do those of the cooperating units.
A key is an organisation's, `group:…` for a group of GROUPS, or empty where we hold none of that name. `lead_basis`:
`stated` in the text (or the heading above it), `implied` by whose plan it is, empty where no unit is printed.
`timing_as_printed` holds the words; `due_on` the last day that still counts («Trước 31/12/2026»: 30/12/2026).
"""

import csv
import io
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import Literal, get_args

Timing = Literal["CONTINUOUS", "BY_DATE", "QUARTERLY", "MONTHLY", "YEARLY", "IN_YEAR", "AD_HOC", "UNSTATED"]
LeadBasis = Literal["stated", "implied", ""]

# Folder of the data → key of the plan and of its document.
PLANS: dict[str, tuple[str, str]] = {
    "quang_ngai": ("qn.79-2026", "doc.qn.79-kh-ttns-2026"),
    "cao_bang": ("cb.cap-nuoc-2026", "doc.cb.kh-ubnd-2026-05"),
    "cam_tan": ("ct.bo-chi-so-2024", "doc.ct.bo-chi-so"),
    "lai_chau": ("lc.chi-thi-34", "doc.lc.ct34"),
    "khanh_hoa": ("kh.1355-2024", "doc.kh.1355"),
}
# Group → how the keys of its members begin. What else begins so is left out.
GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "group:qn.tram": (("org.qn.tram-",), ()),
    "group:cb.ubnd-xa": (("org.cb.ubnd-xa-", "org.cb.ubnd-phuong-"), ()),
    "group:cb.don-vi-cap-nuoc": (
        (
            "org.cb.cap-nuoc-cao-bang", "org.cb.ha-tang-khu-kinh-te", "org.cb.htx-hoa-thuan", "org.cb.bao-lac",
        ),
        (),
    ),
    "group:lc.don-vi-cap-nuoc": (("org.lc.nuoc-sach-lai-chau",), ()),
    "group:lc.ubnd-huyen": (("org.lc.ubnd-",), ("org.lc.ubnd-tinh",)),
    "group:kh.ubnd-huyen": (("org.kh.ubnd-",), ("org.kh.ubnd-tinh",)),
    "group:kh.so-nganh": (
        ("org.kh.",), ("org.kh.ubnd-", "org.kh.ban-", "org.kh.to-", "org.kh.hoi-dong-", "org.kh.vp-ubnd"),
    ),
}  # fmt: skip


class BadTaskFile(ValueError):
    """A data file of tasks cannot be read as it should; the text names file, row and reason."""


@dataclass(frozen=True)
class PrintedUnit:
    """A unit as printed; key: of an organisation, of a group, or empty."""

    key: str
    printed: str


@dataclass(frozen=True)
class PlanTask:
    """One task of a plan, its content as printed."""

    key: str
    number: str
    section: str
    content: str
    leads: tuple[PrintedUnit, ...]
    lead_basis: LeadBasis
    cooperating: tuple[PrintedUnit, ...]
    timing: Timing
    timing_as_printed: str
    starts_on: date | None
    due_on: date | None
    product: str
    passage_key: str


def list_tasks(folder: str) -> list[PlanTask]:
    """Return the tasks of a plan in the order of its text. Raises BadTaskFile."""
    file = resources.files("machnuoc.demo") / "data" / folder / "tasks.csv"
    rows = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline=""))
    return [_read(row, f"{folder}/tasks.csv, dòng {number}") for number, row in enumerate(rows, 2)]


def is_member(group: str, organisation_key: str) -> bool:
    """Return whether the organisation of this key belongs to the group.

    >>> [is_member("group:lc.ubnd-huyen", key) for key in ("org.lc.ubnd-sin-ho-huyen", "org.lc.ubnd-tinh")]
    [True, False]
    """
    begins, but_not = GROUPS[group]
    return organisation_key.startswith(begins) and not organisation_key.startswith(but_not or ("\0",))


def _read(row: dict[str, str], where: str) -> PlanTask:
    timing = row["timing"]
    if timing not in get_args(Timing):
        raise BadTaskFile(f"{where}: không có loại thời gian «{timing}».")
    basis = row["lead_basis"]
    if basis not in get_args(LeadBasis):
        raise BadTaskFile(f"{where}: không có căn cứ «{basis}».")
    return PlanTask(
        key=row["key"], number=row["number"], section=row["section"], content=row["content"],
        leads=_units(row["lead_keys"], row["lead_printed"], where), lead_basis=basis,  # type: ignore[arg-type]
        cooperating=_units(row["cooperate_keys"], row["cooperate_printed"], where),
        timing=timing, timing_as_printed=row["timing_as_printed"],  # type: ignore[arg-type]
        starts_on=_day(row["starts_on"], where), due_on=_day(row["due_on"], where), product=row["product"],
        passage_key=row["passage_key"],
    )  # fmt: skip


def _units(keys: str, printed: str, where: str) -> tuple[PrintedUnit, ...]:
    if not keys and not printed:
        return ()
    pairs = list(zip(keys.split(";"), printed.split(";"), strict=False))
    if len(keys.split(";")) != len(printed.split(";")):
        raise BadTaskFile(f"{where}: số khóa và số tên đơn vị không bằng nhau.")
    for key, _ in pairs:
        if key.startswith("group:") and key not in GROUPS:
            raise BadTaskFile(f"{where}: không có nhóm «{key}».")
    return tuple(PrintedUnit(key, name) for key, name in pairs)


def _day(text: str, where: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise BadTaskFile(f"{where}: «{text}» không phải ngày.") from None
