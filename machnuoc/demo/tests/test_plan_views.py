"""Pages of plans and targets: what they show to whom, and what two people do to one target."""

from datetime import UTC, date, datetime

import pytest
from django.test import Client
from django.urls import reverse

from machnuoc.core.models import Notice, Person
from machnuoc.demo.planning import targets
from machnuoc.places.models import Organisation
from machnuoc.planning import plan_operations as operations
from machnuoc.planning.models import Plan, PlanAmendment, Proposal, Standing, Target

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

    with django_assert_max_num_queries(32):
        answer = client.get(address)

    assert answer.status_code == 200


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


def test_the_scorecard_counts_targets_and_tasks_of_each_unit():
    answer = _sign_in("qn.lanhdao").get(reverse("planning:scorecard") + "?period=2026&plan=qn.79-2026")

    units = {row.name: row for row in answer.context["units"]}
    department = units["Phòng Kế hoạch - Kỹ thuật và Truyền thông"]
    assert department.targets_total == 4
    assert department.tasks_total >= 5
