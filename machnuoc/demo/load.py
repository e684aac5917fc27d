"""Load the plans into the system, through the operations that the screens use. Idempotent."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from machnuoc.core import audit, documents, jobs, statistics
from machnuoc.core.models import AuditEntry, Passage, Person
from machnuoc.core.periods import Period
from machnuoc.demo import planning, plans, tasks, telemetry
from machnuoc.demo.simulator import playing
from machnuoc.indicators import bands, catalogue
from machnuoc.indicators import operations as indicators
from machnuoc.indicators.models import Band, BandScheme, EntryForm, EntryFormLine, Fact, Metric, State
from machnuoc.places import load_units
from machnuoc.places import operations as places
from machnuoc.places.models import AdministrativeUnit, Grant, Organisation, Subject
from machnuoc.planning import programme_operations, rural_indicators
from machnuoc.works import operations as works
from machnuoc.works.models import Capacity, Work

PASSWORD = "mach-nuoc-2026"  # noqa: S105 printed on purpose: accounts of the demonstration

_ORGANISATION_KINDS = {
    "people_committee": Organisation.Kind.AUTHORITY,
    "department": Organisation.Kind.AGENCY,
    "management_board": Organisation.Kind.CENTRE,
    "service_centre": Organisation.Kind.CENTRE,
    "office": Organisation.Kind.DEPARTMENT,
    "station_team": Organisation.Kind.STATION,
    "company": Organisation.Kind.OPERATOR,
    "cooperative": Organisation.Kind.OPERATOR,
}


@dataclass(frozen=True)
class Account:
    """An account that a visitor may sign in with."""

    username: str
    role: str
    where: str


@dataclass(frozen=True)
class Loaded:
    """What the demonstration holds after loading."""

    accounts: tuple[Account, ...]
    works: int
    organisations: int
    facts: int
    password: str = PASSWORD


def load_base(now: datetime) -> None:
    """Load what every installation needs: administrative units, the catalogue of indicators, criteria sets."""
    load_units.load_units()
    catalogue.load_catalogue(now)
    programme_operations.load_criteria_sets(now)
    rural_indicators.put_entry_form()


def load_demo(now: datetime, *, simulate: bool = True) -> Loaded:
    """Load the plans with demonstration accounts. A second call changes nothing.

    simulate: also the histories that no document gives, each figure marked «mô phỏng».
    """
    load_base(now)
    with transaction.atomic():
        passages = {plan: _load_document(plan) for plan in plans.PLANS}
        organisations = _load_organisations(passages)
        for train in plans.list_treatment_trains():
            works.put_treatment_train(
                key=train.key, name=train.name_vi, source_kind=train.source_kind.upper(), steps=list(train.steps),
                passage=passages["lai_chau"][train.passage_key],
            )  # fmt: skip
        _load_urban_areas(passages["cao_bang"])
        _load_stations(passages["quang_ngai"], organisations, now)
        _load_urban_works(passages["cao_bang"], organisations)
        _load_bands(passages["cao_bang"])
        _load_stated_values(passages, now)
        _load_forms(passages, organisations)
        statistics.gather()
        indicators.recompute_dirty(now)
        planning.load(now, simulate=simulate)
        accounts = _load_accounts(organisations)
        if simulate:
            telemetry.load_telemetry(now)
            jobs.enqueue(tasks.CUSTOMERS_TASK, schedule=tasks.CUSTOMERS_TASK)
    if simulate:
        playing.catch_up(round(now.timestamp() * 1000))
    statistics.gather()
    return Loaded(accounts, Work.objects.count(), Organisation.objects.count(), Fact.objects.count())


def _load_document(plan: plans.Plan) -> dict[str, Passage]:
    source = plans.get_document(plan)
    document = documents.put_document(
        source.key, number=source.number or "", title=source.title, issuer=source.issuer, issue_date=source.issue_date,
        issue_date_as_printed=source.place_date_printed, kind=source.kind, signer=source.signer,
        note=source.number_date_note,
    )  # fmt: skip
    return {
        passage.key: documents.put_passage(document, passage.key, passage.section, passage.text, order)
        for order, passage in enumerate(source.passages)
    }


def _units() -> dict[str, AdministrativeUnit]:
    """Return units by our key, and those in force also by «province key/code»."""
    found: dict[str, AdministrativeUnit] = {}
    for unit in AdministrativeUnit.objects.select_related("subject", "parent__subject"):
        found[unit.subject.key] = unit
        if unit.is_in_force and unit.parent:
            found[f"{unit.parent.subject.key}/{unit.code}"] = unit
    return found


def _load_organisations(passages: dict[plans.Plan, dict[str, Passage]]) -> dict[str, Organisation]:
    units = _units()
    found: dict[str, Organisation] = {}
    chosen: tuple[tuple[plans.Plan, str], ...] = (("quang_ngai", "vn.quang-ngai"), ("cao_bang", "vn.cao-bang"))
    for plan, province in chosen:
        for row in plans.list_organisations(plan):
            # II.1 of Cao Bằng's plan names the operators «trên địa bàn tỉnh Cao Bằng»: the province is their territory.
            territory = row.territory_key or ("" if row.parent_key else province)
            found[row.key] = places.put_organisation(
                key=row.key, name=row.name, kind=_ORGANISATION_KINDS[row.kind], parent=found.get(row.parent_key),
                territory=units.get(territory), note=row.note, passage=passages[plan][row.passage_key],
            )  # fmt: skip
            if row.name_printed != row.name:
                places.put_printed_name(
                    found[row.key].subject, row.name_printed, note=row.note,
                    passage=passages[plan][row.passage_key],
                )  # fmt: skip
    for key, commune, passage in (
        ("org.cb.ubnd-xa-phuc-hoa", "vn.cao-bang/01648", "vii.1.2"),
        ("org.cb.ubnd-xa-dong-khe", "vn.cao-bang/01786", "vi.2"),
    ):
        unit = units[commune]
        found[key] = places.put_organisation(
            key=key, name=f"Ủy ban nhân dân {unit.full_name[0].lower()}{unit.full_name[1:]}",
            kind=Organisation.Kind.AUTHORITY, territory=unit, passage=passages["cao_bang"][passage],
        )  # fmt: skip
    return found


def _load_urban_areas(passages: dict[str, Passage]) -> None:
    units = _units()
    for row in plans.list_urban_areas():
        area = places.put_urban_area(
            key=row.key, name=row.name, commune=units[f"vn.cao-bang/{row.commune_code}"],
            former_unit=units.get(row.former_unit_key), note=row.note, passage=passages[row.passage_key],
        )  # fmt: skip
        places.put_printed_name(area.subject, row.name_printed, passage=passages[row.passage_key])


def _load_stations(passages: dict[str, Passage], organisations: dict[str, Organisation], now: datetime) -> None:
    units = _units()
    connected = Metric.objects.get(key="works.households_connected")
    planned = Metric.objects.get(key="works.households_planned")
    found: dict[str, Work] = {}
    count = 0
    for row in plans.list_stations():
        passage = passages[row.passage_key]
        communes = [units[f"vn.quang-ngai/{code}"] for code in row.commune_codes]
        work = works.put_work(
            key=row.key, name=row.name, kind=Work.Kind.SUBSCHEME if row.parent_key else Work.Kind.STATION,
            sector=Work.Sector.RURAL, parent=found.get(row.parent_key), territories=communes,
            latitude=communes[0].subject.latitude if len(communes) == 1 else None,
            longitude=communes[0].subject.longitude if len(communes) == 1 else None,
            passage=passage,
            note="Vị trí trên bản đồ là tâm của xã, phường được cấp nước; văn bản không in tọa độ công trình."
            if len(communes) == 1
            else "",
        )  # fmt: skip
        found[row.key] = work
        works.set_operator(
            work, organisations[row.operator_key], team=organisations[row.team_key] if row.team_key else None,
            passage=passage,
        )  # fmt: skip
        works.set_status(work, Work.Status.RUNNING, passage=passages["ii.2.van-hanh"])
        works.set_service_areas(work, [(unit.subject, row.scope_printed) for unit in communes], passage=passage)
        if row.name_printed != row.name:
            works.add_alias(work, row.name_printed, note=row.name_reason, passage=passage)
        if row.scope_reason:
            for unit in communes:
                places.put_printed_name(unit.subject, row.scope_printed, note=row.scope_reason, passage=passage)
        if row.design_households is not None:
            works.record_capacity(
                work, kind=Capacity.Kind.DESIGN, basis=Capacity.Basis.HOUSEHOLDS, amount=Decimal(row.design_households),
                passage=passage,
            )  # fmt: skip
        for metric, year, households in (
            (connected, "2025", row.connected_2025),
            (planned, "2026", row.planned_2026),
        ):
            indicators.state_fact(
                metric=metric, subject=work.subject, period=Period.parse(year), number=Decimal(households),
                state=State.STATED, passage=passage, now=now, recorded_in_bulk=True,
            )  # fmt: skip
            count += 1
    _audit_once("demo.quang_ngai.loaded", count)


def _load_urban_works(passages: dict[str, Passage], organisations: dict[str, Organisation]) -> None:
    units = _units()
    areas = {subject.key: subject for subject in Subject.objects.filter(kind=Subject.Kind.URBAN_AREA)}
    kinds = {"plant": Work.Kind.PLANT, "station": Work.Kind.STATION, "scheme": Work.Kind.SCHEME}
    found: dict[str, Work] = {}
    for row in plans.list_works():
        communes = [units[f"vn.cao-bang/{code}"] for code in row.commune_codes]
        centre = communes[0].subject if len(communes) == 1 else None
        work = works.put_work(
            key=row.key, name=row.name, kind=Work.Kind.SUBSCHEME if row.parent_key else kinds[row.kind],
            sector=Work.Sector.URBAN, parent=found.get(row.parent_key),
            territories=communes or [units["vn.cao-bang"]], urban_area=areas.get(row.urban_area_key),
            latitude=centre.latitude if centre else None, longitude=centre.longitude if centre else None,
            passage=passages[row.passage_key], note=row.note,
        )  # fmt: skip
        found[row.key] = work
        works.set_operator(work, organisations[row.operator_key], passage=passages[row.passage_key])
        works.set_status(
            work, Work.Status.STOPPED if row.status == "stopped" else Work.Status.RUNNING,
            passage=passages[row.status_passage_key or row.passage_key],
        )  # fmt: skip
        served = [(areas[row.urban_area_key], "")] if row.urban_area_key else [(unit.subject, "") for unit in communes]
        works.set_service_areas(work, served, passage=passages[row.passage_key])
        if row.name_printed != row.name:
            works.add_alias(work, row.name_printed, passage=passages[row.passage_key])
    for alias in plans.list_aliases():
        works.add_alias(
            found[alias.work_key], alias.name_printed, certainty=alias.certainty, note=alias.note,
            passage=passages[alias.passage_key],
        )  # fmt: skip


def _band(
    code: str, label: str, severity: Any, lower: str | None, lower_in: bool, upper: str | None, upper_in: bool
) -> bands.Band:
    return bands.Band(
        code, label, Decimal(lower) if lower else None, lower_in, Decimal(upper) if upper else None, upper_in, severity
    )


# As printed under Biểu 01, 02 and 03 of Cao Bằng's plan.
_BANDS = {
    "works.utilisation_volume_pct": (
        "Mức khai thác công suất (ghi chú Biểu 01)", "ii.2.ghi-chu",
        [
            _band("very_low", "Rất thấp", "danger", None, True, "50", False),
            _band("low", "Thấp", "warning", "50", True, "70", False),
            _band("medium", "Trung bình", "info", "70", True, "90", False),
            _band("high", "Cao", "good", "90", True, "100", True),
            _band("over", "Vượt công suất", "danger", "100", False, None, False),
        ],
    ),
    "losses.nrw_pct": (
        "Mức thất thoát (ghi chú Biểu 02)", "ii.3.ghi-chu",
        [
            _band("low", "Thấp", "good", None, True, "15", True),
            _band("medium", "Trung bình", "info", "15", False, "25", False),
            _band("high", "Cao", "warning", "25", True, "50", True),
            _band("very_high", "Rất cao", "danger", "50", False, None, False),
        ],
    ),
    "coverage.urban_pct": (
        "Mức bao phủ dịch vụ (ghi chú Biểu 03)", "ii.4.ghi-chu",
        [
            _band("none", "Chưa có dịch vụ", "danger", "0", True, "0", True),
            _band("low", "Thấp", "danger", "0", False, "75", False),
            _band("medium", "Trung bình", "warning", "75", True, "90", False),
            _band("fair", "Khá", "info", "90", True, "95", False),
            _band("high", "Cao", "good", "95", True, None, False),
        ],
    ),
}  # fmt: skip


def _load_bands(passages: dict[str, Passage]) -> None:
    province = Subject.objects.get(key="vn.cao-bang")
    for key, (name, passage, levels) in _BANDS.items():
        indicators.put_band_scheme(
            Metric.objects.get(key=key), name=name, levels=levels, scope=province, passage=passages[passage]
        )


def _load_stated_values(passages: dict[plans.Plan, dict[str, Passage]], now: datetime) -> None:
    subjects = {subject.key: subject for subject in Subject.objects.exclude(kind=Subject.Kind.UNIT)}
    subjects |= {subject.key: subject for subject in Subject.objects.filter(unit__level="PROVINCE")}
    metrics = {metric.key: metric for metric in Metric.objects.all()}
    chosen: tuple[plans.Plan, ...] = ("quang_ngai", "cao_bang")
    for plan in chosen:
        rows = plans.list_stated_values(plan)
        for row in rows:
            metric = metrics[row.metric_key]
            band = None
            if row.band_code:
                scheme = BandScheme.objects.get(metric=metric, scope__key="vn.cao-bang", valid_to__isnull=True)
                band = Band.objects.get(scheme=scheme, code=row.band_code)
            is_estimate = "ước" in row.qualifier
            indicators.state_fact(
                metric=metric, subject=subjects[row.subject_key], period=Period.parse(row.period),
                scenario=row.scenario[0], number=row.number, low=row.low, low_open=bool(row.low_open), high=row.high,
                high_open=bool(row.high_open), band=band, state=State.ESTIMATED if is_estimate else State.STATED,
                qualifier=row.qualifier[:60], note=" ".join(filter(None, [row.period_note, row.note]))[:300],
                passage=passages[plan][row.passage_key], now=now, recorded_in_bulk=True,
            )  # fmt: skip
        _audit_once(f"demo.{plan}.stated", len(rows))


def _audit_once(action: str, count: int) -> None:
    if not AuditEntry.objects.filter(action=action).exists():
        audit.record(action, actor=None, count=count)


def _load_forms(passages: dict[plans.Plan, dict[str, Passage]], organisations: dict[str, Organisation]) -> None:
    stations = [row for row in organisations.values() if row.kind == Organisation.Kind.STATION]
    operators = [organisations[work.operator_key] for work in plans.list_works()]
    communes = [organisations["org.cb.ubnd-xa-phuc-hoa"], organisations["org.cb.ubnd-xa-dong-khe"]]
    _form(
        "tram-thang", "Báo cáo tháng của trạm cấp nước", "M", "WORK", "RURAL",
        ["works.households_connected", "losses.system_input_m3", "losses.billed_m3"], stations,
        due_day=14, passage=passages["quang_ngai"].get("iv.3.5"),
    )  # fmt: skip
    _form(
        "do-thi-thang", "Báo cáo tháng của đơn vị cấp nước đô thị", "M", "WORK", "URBAN",
        ["works.output_m3d", "losses.system_input_m3", "losses.billed_m3"], operators,
    )  # fmt: skip
    _form(
        "bao-phu-do-thi-nam", "Dân số đô thị được sử dụng nước sạch (năm)", "Y", "URBAN_AREA", "URBAN",
        ["coverage.urban_population", "coverage.urban_population_served"], communes,
    )  # fmt: skip


def _form(
    key: str, name: str, period_kind: str, subject_kind: str, field: str, metric_keys: list[str],
    organisations: list[Organisation], *, due_day: int | None = None, passage: Passage | None = None,
) -> None:  # fmt: skip
    form, _ = EntryForm.objects.update_or_create(
        key=key,
        defaults={
            "name": name, "period_kind": period_kind, "subject_kind": subject_kind, "field": field,
            "due_day": due_day, "passage": passage,
        },
    )  # fmt: skip
    for order, metric_key in enumerate(metric_keys):
        EntryFormLine.objects.update_or_create(
            form=form, metric=Metric.objects.get(key=metric_key), defaults={"order": order}
        )
    form.organisations.set(organisations)


def _territory_of(organisation: Organisation) -> Subject:
    """Return the commune that the people's committee governs."""
    return organisation.territory.subject if organisation.territory else organisation.subject


def _load_accounts(organisations: dict[str, Organisation]) -> tuple[Account, ...]:
    units = {
        subject.key: subject
        for subject in Subject.objects.filter(key__in=["vn", "vn.cao-bang", "vn.quang-ngai", "vn.khanh-hoa"])
    }
    cam_tan = Organisation.objects.select_related("subject", "territory__subject").get(
        subject__key="org.ct.ubnd-xa-cam-tan"
    )
    communes = {"cb.phuchoa": organisations["org.cb.ubnd-xa-phuc-hoa"], "ct.camtan": cam_tan}
    centre = organisations["org.qn.trung-tam"].subject
    rows: list[tuple[str, str, str, Subject, str]] = [
        ("quantri", "Quản trị hệ thống", Grant.Role.ADMIN, units["vn"], "ALL"),
        ("qn.lanhdao", "Lãnh đạo Trung tâm", Grant.Role.LEADER, centre, "ALL"),
        ("qn.khkt", "Phòng Kế hoạch - Kỹ thuật và Truyền thông", Grant.Role.DEPARTMENT, centre, "ALL"),
        ("qn.hcth", "Phòng Hành chính - Tổng hợp", Grant.Role.DEPARTMENT, centre, "ALL"),
        ("qn.binhchanh", "Trạm Bình Chánh", Grant.Role.STATION, organisations["org.qn.tram-binh-chanh"].subject, "ALL"),
        ("qn.nghiaphu", "Trạm Nghĩa Phú", Grant.Role.STATION, organisations["org.qn.tram-nghia-phu"].subject, "ALL"),
        ("qn.sonnmt", "Sở Nông nghiệp và Môi trường Quảng Ngãi", Grant.Role.AGENCY, units["vn.quang-ngai"], "RURAL"),
        ("cb.soxaydung", "Sở Xây dựng Cao Bằng", Grant.Role.AGENCY, units["vn.cao-bang"], "URBAN"),
        ("cb.capnuoc", "Công ty Cấp nước Cao Bằng", Grant.Role.STATION,
         organisations["org.cb.cap-nuoc-cao-bang"].subject, "URBAN"),
        ("cb.baolac", "Công ty Cấp thoát nước Bảo Lạc", Grant.Role.STATION,
         organisations["org.cb.bao-lac"].subject, "URBAN"),
        ("cb.phuchoa", "Cán bộ xã Phục Hòa", Grant.Role.COMMUNE, _territory_of(communes["cb.phuchoa"]), "ALL"),
        ("ct.camtan", "Cán bộ xã Cẩm Tân", Grant.Role.COMMUNE, _territory_of(communes["ct.camtan"]), "ALL"),
        ("kh.nongnghiep", "Sở Nông nghiệp và Môi trường Khánh Hòa", Grant.Role.AGENCY, units["vn.khanh-hoa"], "RURAL"),
        ("qn.thungan", "Thu ngân, chăm sóc khách hàng", Grant.Role.CASHIER, centre, "ALL"),
        ("qn.ghichiso", "Người ghi chỉ số Bình Chánh", Grant.Role.READER,
         organisations["org.qn.tram-binh-chanh"].subject, "ALL"),
        ("doitac", "Đối tác kết nối dữ liệu", Grant.Role.PARTNER, units["vn.quang-ngai"], "ALL"),
    ]  # fmt: skip
    # An agency reads its territory and answers for itself: Khánh Hòa's for the one whose work it took on in 2025.
    agencies = {
        account: Subject.objects.get(key=key)
        for account, key in (
            ("qn.sonnmt", "org.qn.so-nnmt"), ("cb.soxaydung", "org.cb.so-xay-dung"),
            ("kh.nongnghiep", "org.kh.so-nnptnt"),
        )
    }  # fmt: skip
    accounts = []
    for username, title, role, scope, field in rows:
        person = Person.objects.filter(username=username).first()
        if person is None:
            person = Person.objects.create_user(
                username, PASSWORD, full_name=f"{title} (dùng thử)", title=title, is_demo=True
            )
        places.give_grant(person=person, role=role, scope=scope, field=field, valid_from=date(2026, 1, 1), by=None)
        if own := agencies.get(username) or (communes[username].subject if username in communes else None):
            places.give_grant(person=person, role=role, scope=own, field=field, valid_from=date(2026, 1, 1), by=None)
        accounts.append(Account(username, Grant.Role(role).label, title))
    return tuple(accounts)
