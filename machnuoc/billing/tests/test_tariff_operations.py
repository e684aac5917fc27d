"""Tariffs from draft to force and back, fee rules and frames: what is done, and what is refused with which words."""

from datetime import date

import pytest
from django.core.exceptions import PermissionDenied

from machnuoc.billing import tariff_operations as operations
from machnuoc.billing import tariff_queries
from machnuoc.billing.models import Bill, FeeRule, Tariff
from machnuoc.billing.tariff_checks import Row
from machnuoc.billing.tests.world import AUGUST, JULY, NOW, World, make_work
from machnuoc.core.models import AuditEntry

pytestmark = pytest.mark.django_db
CONNECTION = "BLOCK_PER_CONNECTION"
GOOD = [
    Row("SH", CONNECTION, 0, 10_000, 6_500), Row("SH", CONNECTION, 10_000, None, 8_000),
    *(Row(group, "FLAT", 0, None, 9_000) for group in ("SH_NGHEO", "HCSN", "SX", "KDDV")),
]  # fmt: skip


def draft(world: World, rows=GOOD, **fields) -> Tariff:
    said = {
        "name": "Giá nước từ tháng 9", "scope": world.operator.subject, "area": "RURAL", "decision": "2/QĐ-THU",
        "valid_from": date(2026, 9, 1), "vat_basis_points": 500, "includes_vat": False, **fields,
    }  # fmt: skip
    return operations.add_draft(rows=rows, by=world.clerk, **said)


def bill(world: World, tariff: Tariff, to_date: date = AUGUST) -> Bill:
    connection = world.connection({JULY: 10})
    return Bill.objects.create(
        series=world.series, number=1, operator=world.operator, connection=connection, customer=connection.customer,
        period_start_date=JULY, from_date=JULY, to_date=to_date, group="SH", tariff=tariff, volume_l=10_000,
        net_vnd=60_000, vat_vnd=3_000, fee_vnd=6_000, total_vnd=69_000, due_date=AUGUST, issued_at=NOW,
    )  # fmt: skip


def test_a_tariff_put_in_force_ends_the_one_before_on_its_first_day(world):
    row = draft(world)

    operations.put_in_force(row, valid_from=date(2026, 9, 1), by=world.leader)

    world.tariff.refresh_from_db()
    assert world.tariff.valid_to == date(2026, 9, 1)
    spans = tariff_queries.price_book([world.work.pk], date(2026, 8, 25), date(2026, 9, 5)).by_work[world.work.pk]
    assert [(span.from_date.day, span.tariff_id) for span in spans] == [(25, world.tariff.pk), (1, row.pk)]
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"billing.tariff.drafted", "billing.tariff.in_force", "billing.tariff.ended"} <= actions


@pytest.mark.parametrize("high_l", [9_000, 12_000])
def test_a_tariff_with_a_gap_or_overlap_can_be_drafted_but_not_put_in_force(world, high_l):
    rows = [Row("SH", CONNECTION, 0, 10_000, 6_500), Row("SH", CONNECTION, high_l, None, 8_000), *GOOD[2:]]
    row = draft(world, rows)

    with pytest.raises(operations.TariffError, match=r"Sinh hoạt hộ dân cư.*(khoảng hở|chồng lên nhau)"):
        operations.put_in_force(row, valid_from=date(2026, 9, 1), by=world.leader, is_confirmed=True)

    row.refresh_from_db()
    assert row.state == Tariff.State.DRAFT


def test_two_tariffs_in_force_at_once_for_one_scope_are_refused(world):
    first, second = draft(world), draft(world, name="Giá khác")
    operations.put_in_force(first, valid_from=date(2026, 9, 1), by=world.leader)

    with pytest.raises(operations.TariffError, match="không thể có hai biểu giá cùng lúc"):
        operations.put_in_force(second, valid_from=date(2026, 9, 1), by=world.leader)
    with pytest.raises(operations.TariffError, match="áp dụng từ 01/09/2026"):
        operations.put_in_force(second, valid_from=date(2026, 8, 15), by=world.leader)

    second.valid_from, second.valid_to = date(2026, 8, 15), date(2026, 9, 1)
    second.save()
    operations.put_in_force(second, valid_from=date(2026, 8, 15), by=world.leader)
    world.tariff.refresh_from_db()
    assert world.tariff.valid_to == date(2026, 8, 15)


def test_a_price_outside_the_frame_needs_someone_who_says_yes(world):
    row = draft(world, [Row("SH", "FLAT", 0, None, 15_000), *GOOD[2:]])

    with pytest.raises(operations.NeedsConfirmation) as reason:
        operations.put_in_force(row, valid_from=date(2026, 9, 1), by=world.leader)
    assert any("ngoài" in text or "cao hơn khung" in text for text in reason.value.texts)

    operations.put_in_force(row, valid_from=date(2026, 9, 1), by=world.leader, is_confirmed=True)
    assert Tariff.objects.get(pk=row.pk).state == Tariff.State.IN_FORCE


def test_days_that_were_billed_already_need_someone_who_says_yes(world):
    bill(world, world.tariff)
    row = draft(world)

    with pytest.raises(operations.NeedsConfirmation, match="Đã có hóa đơn cho những ngày từ 16/07/2026"):
        operations.put_in_force(row, valid_from=date(2026, 7, 16), by=world.leader)


def test_only_who_may_approve_puts_in_force_and_only_who_may_bill_drafts(world):
    row = draft(world)

    with pytest.raises(PermissionDenied):
        operations.put_in_force(row, valid_from=date(2026, 9, 1), by=world.clerk)
    with pytest.raises(PermissionDenied):
        operations.add_draft(
            rows=GOOD, by=world.cashier, name="Giá", scope=world.operator.subject, area="RURAL", decision="",
            valid_from=JULY,
        )  # fmt: skip


def test_a_tariff_is_withdrawn_before_any_bill_and_the_one_before_goes_on(world):
    row = draft(world)
    operations.put_in_force(row, valid_from=date(2026, 9, 1), by=world.leader)

    operations.withdraw(row, by=world.leader)

    world.tariff.refresh_from_db()
    assert (Tariff.objects.get(pk=row.pk).state, world.tariff.valid_to) == (Tariff.State.WITHDRAWN, None)


def test_a_tariff_that_was_billed_with_stays(world):
    bill(world, world.tariff)

    with pytest.raises(operations.TariffError, match="đã có 1 hóa đơn tính theo biểu giá này"):
        operations.withdraw(world.tariff, by=world.leader)


def test_a_draft_is_deleted_unless_a_bill_names_it(world):
    kept, gone = draft(world), draft(world)
    bill(world, kept)

    operations.delete_draft(gone, by=world.clerk)
    with pytest.raises(operations.TariffError, match="đã có hóa đơn ghi biểu giá này"):
        operations.delete_draft(kept, by=world.clerk)

    assert not Tariff.objects.filter(pk=gone.pk).exists()


def test_what_is_in_force_is_copied_not_edited(world):
    with pytest.raises(operations.TariffError, match="Chỉ sửa được bản đang soạn"):
        operations.edit_draft(world.tariff, version=1, by=world.clerk, name="Tên khác")

    made = operations.copy(world.tariff, valid_from=date(2027, 1, 1), by=world.clerk)

    assert (made.state, made.is_verified, made.valid_to) == (Tariff.State.DRAFT, False, None)
    assert tariff_queries.rows_of(made) == tariff_queries.rows_of(world.tariff)


def test_a_draft_saved_by_somebody_else_meanwhile_is_not_overwritten(world):
    row = draft(world)
    operations.edit_draft(row, version=row.version, by=world.clerk, name="Tên mới", rows=GOOD[:2])

    with pytest.raises(operations.ChangedMeanwhile, match="vừa được người khác lưu"):
        operations.edit_draft(row, version=1, by=world.clerk, name="Tên khác")

    row.refresh_from_db()
    assert (row.name, row.prices.count()) == ("Tên mới", 2)


def test_the_fee_is_switched_off_for_a_work_from_a_day_and_back_again(world):
    said = {"scope": world.work.subject, "group": "", "document": "Thử", "is_verified": False, "by": world.leader}

    rule = operations.add_fee_rule(basis_points=0, valid_from=AUGUST, **said)
    with pytest.raises(operations.TariffError, match="đã có mức phí từ 01/08/2026"):
        operations.add_fee_rule(basis_points=1_000, valid_from=JULY, **said)
    again = operations.add_fee_rule(basis_points=1_000, valid_from=date(2026, 9, 1), **said)

    rule.refresh_from_db()
    assert rule.valid_to == date(2026, 9, 1)
    operations.remove_fee_rule(again, by=world.leader)
    rule.refresh_from_db()
    assert (rule.valid_to, FeeRule.objects.filter(scope=world.work.subject).count()) == (None, 1)


def test_a_fee_that_was_billed_stays(world):
    bill(world, world.tariff)
    rule = FeeRule.objects.get(scope=world.operator.subject)

    with pytest.raises(operations.TariffError, match="Không bỏ được mức phí đã dùng"):
        operations.remove_fee_rule(rule, by=world.leader)


def test_keys_of_tariffs_differ_even_where_their_names_do_not(world):
    keys = {draft(world).key for _ in range(4)}

    assert len(keys) == 4


def test_a_person_sees_the_tariffs_of_what_holds_their_own_scope(world):
    other = make_work(world.operator, "work.khac", "Trạm khác")
    Tariff.objects.create(
        key="gia-khac", name="Giá khác", scope=other.subject, area="RURAL", decision="", valid_from=JULY
    )

    seen = set(tariff_queries.list_tariffs(world.station).values_list("key", flat=True))

    assert seen == {world.tariff.key}
    assert set(tariff_queries.list_tariffs(world.clerk).values_list("key", flat=True)) == {world.tariff.key, "gia-khac"}
