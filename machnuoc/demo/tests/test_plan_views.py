"""Pages of plans and targets: what they show to whom, and what two people do to one target."""

import re
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from machnuoc.core import audit
from machnuoc.core.models import AuditEntry, Notice, Person
from machnuoc.core.periods import Period
from machnuoc.customers.models import Connection, Customer
from machnuoc.demo.planning import targets
from machnuoc.places.models import Organisation
from machnuoc.planning import plan_operations as operations
from machnuoc.planning import plan_queries as queries
from machnuoc.planning.models import Handover, Plan, PlanAmendment, Proposal, Standing, StandingChange, Target
from machnuoc.works.models import Work

pytestmark = pytest.mark.usefixtures("demo_data", "db")
NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
PLAN, GROWTH = "qn.79-2026", "khach-hang"


def _sign_in(username: str) -> Client:
    client = Client()
    client.force_login(Person.objects.get(username=username))
    return client


def _target(key: str = GROWTH, plan: str = PLAN) -> Target:
    return Target.objects.select_related("plan").get(plan__key=plan, key=key)


def _at_risk() -> Target:
    targets.simulate_connections(NOW)
    operations.recompute_standings(NOW, tell=False)
    target = _target()
    assert Standing.objects.get(target=target).status == "AT_RISK"
    return target


def _newly_at_risk() -> Target:
    """Return the growth target as if it had been judged for the first time that day, whatever day it is now."""
    Standing.objects.all().delete()
    StandingChange.objects.all().delete()
    return _at_risk()


PAGES = [
    ("planning:plan_list", []), ("planning:plan_detail", [PLAN]), ("planning:target_list", []),
    ("planning:target_detail", [PLAN, GROWTH]), ("planning:growth", []), ("planning:scorecard", []),
]  # fmt: skip


@pytest.mark.parametrize("username", ["quantri", "qn.lanhdao", "qn.khkt", "qn.binhchanh", "qn.sonnmt"])
@pytest.mark.parametrize(("name", "args"), PAGES)
def test_pages_ask_a_fixed_number_of_times(username, name, args, django_assert_max_num_queries):
    client = _sign_in(username)
    address = reverse(name, args=args)
    client.get(address)

    with django_assert_max_num_queries(15):
        answer = client.get(address)

    assert answer.status_code == 200


def test_a_target_with_all_that_may_belong_to_it_asks_as_seldom(django_assert_max_num_queries):
    target = _at_risk()
    leader, department = Person.objects.get(username="qn.lanhdao"), Person.objects.get(username="qn.khkt")
    centre = Organisation.objects.get(subject__key="org.qn.trung-tam")
    Handover.objects.create(
        name="Trạm Trì Bình", work=Work.objects.get(subject__key="work.qn.tri-binh"), subject=centre.subject,
        giver=centre, receiver=centre, step="EFFECTIVE", effective_on=date(2026, 6, 1), opening_households=10,
    )  # fmt: skip
    for number in range(2):
        said = {"cause_kind": "OBJECTIVE", "cause": f"Mưa lũ {number}", "solution": "Tăng ca"}
        operations.save_proposal(target, centre, by=department, **said)
        operations.change_target(target, reason=f"Lần {number}", amount=1700 + number, by=leader, path=[
            operations.Point(Period.parse("2026-Q2"), Decimal(800 + number))
        ])  # fmt: skip
    client = _sign_in("qn.lanhdao")
    address = reverse("planning:target_detail", args=[PLAN, GROWTH])
    client.get(address)

    with django_assert_max_num_queries(15):
        answer = client.get(address)

    assert len(answer.context["proposals"]) == len(answer.context["changes"]) == 2


def test_the_page_of_the_growth_target_says_where_it_stands_and_that_it_is_simulated():
    _at_risk()

    page = _sign_in("qn.lanhdao").get(reverse("planning:target_detail", args=[PLAN, GROWTH])).content.decode()

    assert "/1.600 hộ, 2 tháng" in page
    assert "Mô phỏng" in page
    assert "30 phần cộng lại 1.600 hộ, khớp với chỉ tiêu chung" in page
    assert "Diễn biến, tiến độ phải đạt và dự báo" in page


def test_a_station_reads_the_whole_target_without_the_figures_of_others():
    _at_risk()
    client = _sign_in("qn.binhchanh")

    whole = client.get(reverse("planning:target_detail", args=[PLAN, GROWTH])).content.decode()
    own = client.get(reverse("planning:target_detail", args=[PLAN, "khach-hang.binh-chanh"])).content.decode()
    other = client.get(reverse("planning:target_detail", args=[PLAN, "khach-hang.binh-minh"]))

    assert "ngoài phạm vi tài khoản của bạn" in whole
    assert "/1.600 hộ, 2 tháng" not in whole
    assert "Đã đạt" in own
    assert other.status_code == 404


def test_another_province_does_not_see_the_plan():
    client = _sign_in("cb.soxaydung")

    assert client.get(reverse("planning:plan_detail", args=[PLAN])).status_code == 404
    assert client.get(reverse("planning:plan_edit", args=[PLAN])).status_code == 404


def test_those_who_only_read_a_plan_do_not_change_it():
    client = _sign_in("qn.binhchanh")

    for name, args in [
        ("plan_edit", [PLAN]), ("plan_amend", [PLAN]), ("target_add", [PLAN]), ("target_edit", [PLAN, GROWTH]),
        ("target_judge", [PLAN, GROWTH]), ("proposal_add", [PLAN, GROWTH]),
    ]:  # fmt: skip
        assert client.get(reverse(f"planning:{name}", args=args)).status_code == 403, name


@pytest.mark.parametrize("name", ["plan_list", "target_list", "growth", "scorecard"])
@pytest.mark.parametrize("kind", ["xlsx", "csv"])
def test_every_list_is_exported(name, kind):
    answer = _sign_in("qn.lanhdao").get(reverse(f"planning:{name}") + f"?export={kind}")

    assert answer.status_code == 200
    assert len(b"".join(answer.streaming_content)) > 100


def test_the_list_is_filtered_by_status_unit_words_and_level():
    client = _sign_in("qn.lanhdao")
    unit = Organisation.objects.get(subject__key="org.qn.phong-kh-kt-tt").pk

    def count(query: str) -> int:
        return client.get(reverse("planning:target_list") + query).context["total"]

    assert count("?level=part") == 30
    assert count(f"?unit={unit}") == 5  # four that it leads, one that it helps with
    assert count("?q=mau nuoc") == 1
    assert count("?status=MET&level=all") + count("?status=NO_DATA&level=all") <= count("?level=all")
    assert count("?status=khong-co&unit=x&due=y") == count("")


def _form(target: Target, **changed: str) -> dict[str, str]:
    said = {
        "name": target.name, "subject": str(target.subject_id), "metric": str(target.metric_id),
        "measured_as": "GROWTH",
        "comparator": "GE", "amount": "1.600", "unit": "household", "decimals": "0", "period": "2026",
        "parts_check": "SUM", "reason": "Điều chỉnh giữa năm", "version": str(target.version), "baseline": "25.330",
    }  # fmt: skip
    return {**said, **changed}


def test_a_plan_amended_in_mid_year_keeps_what_was_promised_before():
    client = _sign_in("qn.lanhdao")
    plan = Plan.objects.get(key=PLAN)
    amended = client.post(reverse("planning:plan_amend", args=[PLAN]), {
        "reference": "Kế hoạch 200/KH-TTNS", "effective_on": "2026-07-01", "summary": "Tăng chỉ tiêu",
        "version": plan.version,
    })  # fmt: skip
    amendment = PlanAmendment.objects.get(plan=plan)

    changed = client.post(
        reverse("planning:target_edit", args=[PLAN, GROWTH]),
        _form(_target(), amount="1.800", amendment=str(amendment.pk)),
    )

    assert (amended.status_code, changed.status_code) == (302, 302)
    target = _target()
    assert target.amount == 1800
    assert target.changes.get().amendment == amendment
    page = client.get(reverse("planning:target_detail", args=[PLAN, GROWTH])).content.decode()
    assert "1.600 hộ, hạn 31/12/2026" in page
    assert "ít hơn chỉ tiêu chung (1.800 hộ) 200 hộ" in page


def test_two_people_who_change_one_target_do_not_overwrite_each_other():
    target = _target()
    first, second = _sign_in("qn.lanhdao"), _sign_in("qn.khkt")
    address = reverse("planning:target_edit", args=[PLAN, GROWTH])
    first.post(address, _form(target, amount="1.700"))

    answer = second.post(address, _form(target, amount="1.500"))

    assert answer.status_code == 409
    assert "vừa được người khác sửa" in answer.content.decode()
    assert _target().amount == 1700


def test_a_plan_and_a_target_are_entered_by_hand():
    client = _sign_in("qn.lanhdao")
    centre = Organisation.objects.get(subject__key="org.qn.trung-tam")
    made = client.post(reverse("planning:plan_add"), {
        "name": "Kế hoạch mùa khô", "short_name": "Mùa khô 2027", "issuer": centre.pk,
        "territory": Plan.objects.get(key=PLAN).territory_id, "field": "RURAL", "status": "IN_FORCE",
        "valid_from": "2027-01-01", "last_day": "2027-06-30", "bases": "Quyết định số 1\nQuyết định số 2",
    })  # fmt: skip
    plan = Plan.objects.get(short_name="Mùa khô 2027")

    added = client.post(reverse("planning:target_add", args=[plan.key]), {
        "name": "Số công trình có phương án", "subject": centre.pk, "measured_as": "LEVEL", "comparator": "GE",
        "amount": "29", "unit": "work", "decimals": "0", "due_on": "2027-03-31", "parts_check": "NONE",
    })  # fmt: skip

    assert (made.status_code, added.status_code) == (302, 302)
    assert [basis.text for basis in plan.bases.all()] == ["Quyết định số 1", "Quyết định số 2"]
    assert plan.valid_to == date(2027, 7, 1)
    assert plan.targets.get().amount == 29


def test_the_form_of_a_target_takes_its_path_its_baseline_and_who_helps():
    client, target = _sign_in("qn.lanhdao"), _target()
    helper = Organisation.objects.get(subject__key="org.qn.phong-hc-th")
    lead = Organisation.objects.get(subject__key="org.qn.trung-tam")
    said = {
        "leads": [lead.pk], "helpers": [helper.pk], "helpers_printed": "UBND các xã, phường",
        "baseline_period": "2025", "baseline_text": "Thực tế năm 2025: 25.330",
    }  # fmt: skip
    rows = {"path_period": ["2026-Q2", "", "2026-09"], "path_amount": ["800", "", "1.200"]}

    answer = client.post(reverse("planning:target_edit", args=[PLAN, GROWTH]), _form(target) | said | rows)

    assert answer.status_code == 302
    assert list(target.path.values_list("period_kind", "period_start", "amount")) == [
        ("Q", date(2026, 4, 1), 800), ("M", date(2026, 9, 1), 1200)
    ]  # fmt: skip
    assert _target().baseline_period_start == date(2025, 1, 1)
    assert [(one.role, str(one)) for one in target.units.order_by("id")] == [
        ("LEAD", str(lead)), ("COOPERATE", str(helper)), ("COOPERATE", "UBND các xã, phường")
    ]  # fmt: skip
    page = client.get(reverse("planning:target_edit", args=[PLAN, GROWTH])).content.decode()
    assert 'value="2026-Q2"' in page and 'value="1.200"' in page


@pytest.mark.parametrize(
    ("periods", "amounts", "told"),
    [
        (["2026-Q9"], ["5"], "2026-Q9"),
        (["2026-06"], [""], "Chưa ghi mức"),
        ([""], ["5"], "Chưa ghi kỳ"),
        (["2026-06"], ["năm"], "năm"),
        (["2026-06", "2026-06"], ["5", "6"], "đã có ở dòng trên"),
        (["2027-01"], ["5"], "sau hạn của chỉ tiêu"),
        (["2026-06"], ["9" * 20], "quá lớn"),
    ],
)
def test_a_row_of_the_path_that_makes_no_sense_is_told_beside_it(periods, amounts, told):
    said = _form(_target()) | {"path_period": periods, "path_amount": amounts}

    answer = _sign_in("qn.lanhdao").post(reverse("planning:target_edit", args=[PLAN, GROWTH]), said)

    assert answer.status_code == 422
    assert told in "".join(row.error for row in answer.context["form"].path_rows)
    assert not _target().path.exists()


def test_a_unit_does_not_lead_and_help_at_once():
    unit = Organisation.objects.get(subject__key="org.qn.trung-tam").pk
    said = _form(_target()) | {"leads": [unit], "helpers": [unit]}

    answer = _sign_in("qn.lanhdao").post(reverse("planning:target_edit", args=[PLAN, GROWTH]), said)

    assert answer.status_code == 422


def _shares(page: str, **changed: str) -> dict[str, str]:
    """Return what the form of parts holds, as a browser would send it."""
    said = dict(re.findall(r'name="(amount_\d+)" value="([^"]*)"', page))
    said |= {"parts_check": "SUM", "version": re.search(r'name="version" value="(\d+)"', page)[1]}  # type: ignore[index]
    return {**said, **changed}


def test_parts_are_shown_against_the_whole_before_they_are_saved():
    client = _sign_in("qn.lanhdao")
    address = reverse("planning:target_carry_down", args=[PLAN, GROWTH])
    station = _target("khach-hang.binh-minh")
    name = f"amount_{station.subject_id}"
    said = _shares(client.get(address).content.decode())
    assert said[name] == "215" and sum(bool(value) for key, value in said.items() if key.startswith("amount")) == 30

    shown = client.post(address, said | {name: "235"})
    untouched = _target("khach-hang.binh-minh").amount
    other = client.post(address, said | {name: "245", "checked": shown.context["form"].digest})
    saved = client.post(address, said | {name: "235", "checked": shown.context["form"].digest})

    assert "nhiều hơn chỉ tiêu chung (1.600 hộ) 20 hộ" in shown.content.decode()
    assert untouched == 215
    assert "nhiều hơn chỉ tiêu chung (1.600 hộ) 30 hộ" in other.content.decode()
    assert saved.status_code == 302
    part = _target("khach-hang.binh-minh")
    assert part.amount == 235
    assert part.changes.get().before["amount"] == "215.0000"
    assert part.text and part.units.exists()


def test_a_part_is_given_and_taken_back_in_the_same_form():
    client = _sign_in("qn.lanhdao")
    address = reverse("planning:target_carry_down", args=[PLAN, GROWTH]) + "?kind=ORGANISATION"
    station = _target("khach-hang.binh-minh")
    unit = Organisation.objects.get(subject__key="org.qn.phong-kh-kt-tt")
    page = client.get(address).content.decode()
    said = _shares(page, **{f"amount_{station.subject_id}": "", f"amount_{unit.pk}": "215"})

    shown = client.post(address, said)
    saved = client.post(address, said | {"checked": shown.context["form"].digest})

    assert "khớp với chỉ tiêu chung" in shown.content.decode()
    assert saved.status_code == 302
    assert not _target("khach-hang.binh-minh").is_active
    made = Target.objects.get(parent=_target(), subject_id=unit.pk)
    assert (made.amount, made.measured_as, made.due_on) == (215, "GROWTH", date(2026, 12, 31))
    assert [one.organisation_id for one in made.units.all()] == [unit.pk]


def test_two_people_who_give_parts_at_once_do_not_overwrite_each_other():
    client = _sign_in("qn.lanhdao")
    address = reverse("planning:target_carry_down", args=[PLAN, GROWTH])
    said = _shares(client.get(address).content.decode())
    said[f"amount_{_target('khach-hang.binh-minh').subject_id}"] = "235"
    operations.change_target(_target(), reason="Khác", amount=1700, by=None)

    answer = client.post(address, said | {"checked": client.post(address, said).context["form"].digest})

    assert answer.status_code == 409
    assert _target("khach-hang.binh-minh").amount == 215


def test_what_is_no_number_is_told_beside_the_part():
    client = _sign_in("qn.lanhdao")
    address = reverse("planning:target_carry_down", args=[PLAN, GROWTH])
    name = f"amount_{_target('khach-hang.binh-minh').subject_id}"

    for typed in ("nhiều", "-5"):
        answer = client.post(address, _shares(client.get(address).content.decode(), **{name: typed}))
        assert answer.status_code == 422
        assert "field-error" in answer.content.decode()


def test_the_plan_leads_to_what_belongs_to_it():
    client = _sign_in("qn.lanhdao")

    page = client.get(reverse("planning:plan_detail", args=[PLAN]))

    links = {title: (url, count) for title, url, count in page.context["links"]}
    assert links["Nhiệm vụ"][1] == Plan.objects.get(key=PLAN).tasks.count() > 0
    for title in ("Nhiệm vụ", "Dự án"):
        url, count = links[title]
        assert client.get(url).context["page"].paginator.count == count


def test_who_owes_a_proposal_since_when_is_said_until_it_is_sent():
    target = _newly_at_risk()
    client, department = _sign_in("qn.lanhdao"), _sign_in("qn.khkt")
    address = reverse("planning:target_detail", args=[PLAN, GROWTH])
    owed = "Trung tâm Nước sạch"

    before = client.get(address).content.decode()
    listed = department.get(reverse("core:later_overview", args=["now"])).content.decode()
    unit = Organisation.objects.get(subject__key="org.qn.trung-tam")
    proposal = operations.save_proposal(
        target, unit, cause_kind="OBJECTIVE", cause="Mưa lũ", solution="Tăng ca",
        by=Person.objects.get(username="qn.khkt"),
    )  # fmt: skip
    operations.submit_proposal(proposal, by=Person.objects.get(username="qn.khkt"), now=NOW)

    assert "Chưa có đề xuất giải pháp" in before and "có nguy cơ từ ngày 22/11/2026" in before and owed in before
    assert "Đề xuất giải pháp phải lập" in listed
    assert client.get(address).context["owed_text"] == ""


def test_a_proposal_for_an_earlier_time_does_not_answer_a_later_one():
    target = _newly_at_risk()
    unit = Organisation.objects.get(subject__key="org.qn.trung-tam")
    by = Person.objects.get(username="qn.khkt")
    said = {"cause_kind": "OBJECTIVE", "cause": "Mưa lũ", "solution": "Tăng ca", "by": by}
    proposal = operations.save_proposal(target, unit, **said)
    operations.submit_proposal(proposal, by=by, now=datetime(2026, 8, 1, tzinfo=UTC))
    StandingChange.objects.create(target=target, on_date=date(2026, 8, 1), status="AT_RISK", reason="Chậm.")
    StandingChange.objects.create(target=target, on_date=date(2026, 9, 1), status="ON_TRACK", reason="Kịp.")

    row = queries.dress(by, Target.objects.filter(pk=target.pk))[0]

    assert row.owes
    assert row.late_since == date(2026, 11, 22)


def test_a_proposal_goes_from_the_lead_unit_to_who_approves_and_back():
    target = _at_risk()
    department, leader = _sign_in("qn.khkt"), _sign_in("qn.lanhdao")
    said = {
        "organisation": Organisation.objects.get(subject__key="org.qn.trung-tam").pk, "cause_kind": "OBJECTIVE",
        "cause": "Mưa lũ", "solution": "Đấu nối bù trong tháng 12",
    }  # fmt: skip
    department.post(reverse("planning:proposal_add", args=[PLAN, GROWTH]), said)
    proposal = Proposal.objects.get(target=target)

    department.post(reverse("planning:proposal_submit", args=[proposal.pk]))
    refused = department.get(reverse("planning:proposal_decide", args=[proposal.pk]))
    overview = leader.get("/").content.decode()
    leader.post(reverse("planning:proposal_decide", args=[proposal.pk]), {"approve": "0", "text": "Nêu rõ trạm nào"})

    proposal.refresh_from_db()
    assert refused.status_code == 403
    assert proposal.state == "RETURNED"
    assert Notice.objects.filter(person__username="qn.khkt", text__contains="bị trả lại. Nêu rõ trạm nào").exists()
    assert overview


def test_an_agency_that_leads_a_target_proposes_for_itself_alone_and_never_decides_its_own():
    target = Target.objects.filter(units__role="LEAD", units__organisation__subject__key="org.cb.so-xay-dung").first()
    unit = Organisation.objects.get(subject__key="org.cb.so-xay-dung")
    agency, page = _sign_in("cb.soxaydung"), [target.plan.key, target.key]
    said = {"organisation": unit.pk, "cause_kind": "OBJECTIVE", "cause": "Mưa lũ", "solution": "Làm bù"}

    assert (
        reverse("planning:proposal_add", args=page)
        in agency.get(reverse("planning:target_detail", args=page)).content.decode()
    )
    assert agency.post(reverse("planning:proposal_add", args=page), said).status_code == 302
    proposal = Proposal.objects.get(target=target)
    assert agency.post(reverse("planning:proposal_submit", args=[proposal.pk])).status_code == 302

    decided = agency.post(reverse("planning:proposal_decide", args=[proposal.pk]), {"approve": "1", "text": ""})
    proposal.refresh_from_db()
    assert (proposal.state, decided.status_code) == ("SUBMITTED", 422)
    assert "do chính bạn lập" in decided.content.decode()
    assert not queries.list_waiting(Person.objects.get(username="cb.soxaydung")).exists()
    assert _sign_in("cb.capnuoc").get(reverse("planning:proposal_edit", args=[proposal.pk])).status_code in {403, 404}
    others = Target.objects.exclude(units__role="LEAD", units__organisation=unit).filter(plan=target.plan).first()
    assert agency.get(reverse("planning:proposal_add", args=[others.plan.key, others.key])).status_code == 403
    (entry,) = AuditEntry.objects.filter(action="planning.proposal.submitted")
    assert f"«{target.name}»" in audit.sentence(entry)


def test_growth_names_room_excess_and_totals():
    targets.simulate_connections(NOW)
    answer = _sign_in("qn.lanhdao").get(reverse("planning:growth") + "?sort=rank")

    table = answer.context["table"]
    page = answer.content.decode()
    assert table.totals["design"] == 34_657
    assert table.totals["connected"] == 25_330
    assert table.totals["asked"] == 1600
    assert table.shown[0].rank == 1
    assert all(row.rank is None for row in table.rows if row.spare is not None and row.spare <= 0)
    assert "mô phỏng, không phải số liệu thật" in page


def test_who_joined_by_a_handover_did_not_grow_their_station():
    targets.simulate_connections(NOW)
    person = Person.objects.get(username="qn.lanhdao")
    before = queries.list_growth(person, today=NOW.date())
    row = next(one for one in before.rows if one.depth == 0 and one.added is not None)
    work = Work.objects.get(subject__key=row.key)
    owner = Customer.objects.create(operator=work.operator, code="KH-BG", name="Hộ tiếp nhận", created_at=NOW)
    day = date(before.year, 1, 5)
    for number, (origin, closed_date) in enumerate([("HANDOVER", None), ("HANDOVER", day), ("NEW", None)]):
        Connection.objects.create(
            customer=owner, work=work, group="SH", code=f"DN-BG{number}", households=3, status="ACTIVE",
            origin=origin, connected_date=day, closed_date=closed_date,
        )  # fmt: skip

    after = queries.list_growth(person, today=NOW.date())

    same = next(one for one in after.rows if one.key == row.key)
    assert (same.now, same.handed, same.added) == (row.now, 3, row.added - 3)  # who ended on that day is not in `now`
    assert (after.totals["handed"], after.totals["added"]) == (3, before.totals["added"] - 3)


def test_the_scorecard_counts_targets_and_tasks_of_each_unit():
    answer = _sign_in("qn.lanhdao").get(reverse("planning:scorecard") + "?period=2026&plan=qn.79-2026")

    units = {row.name: row for row in answer.context["units"]}
    department = units["Phòng Kế hoạch - Kỹ thuật và Truyền thông"]
    assert department.targets_total == 4
    assert department.tasks_total >= 5
