"""What the plans' duties say agrees with the plans' text."""

import pytest

from machnuoc.demo import plans
from machnuoc.demo.planning import read_duties
from machnuoc.planning import duty_rules

PLANS = plans.PLANS
ROWS = [(folder, row) for folder in read_duties.FOLDERS for row in read_duties.list_duties(folder)]
OWN = [(folder, row) for folder, row in ROWS if folder in PLANS]


def test_keys_are_used_once():
    keys = [row.key for _, row in ROWS]

    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("folder", "row"), OWN, ids=lambda value: getattr(value, "key", value))
def test_the_edge_stands_in_the_passage(folder, row):
    text = plans.get_document(folder).get_passage(row.passage_key).text
    printed = row.edge_as_printed.split(" (")[0]

    assert printed in text or printed == "không in thời hạn"


@pytest.mark.parametrize(("folder", "row"), ROWS, ids=lambda value: getattr(value, "key", value))
def test_a_dated_duty_has_a_rule_that_can_be_kept(folder, row):
    if row.timing in ("AD_HOC", "CONTINUOUS"):
        assert row.rule == ""
        return
    terms = duty_rules.Terms(
        row.rule, row.edge, starts_on=row.starts_on, ends_on=row.ends_on, covers=row.covers,
        period_kind=row.period_kind,
    )  # fmt: skip
    assert duty_rules.words(terms)


def test_the_rules_say_what_is_printed():
    said = {
        row.key: duty_rules.words(duty_rules.Terms(row.rule, row.edge, starts_on=row.starts_on))
        for _, row in OWN
        if row.rule
    }

    assert said == {
        "duty.qn.thang": "chậm nhất ngày 14 hằng tháng",
        "duty.qn.quy": "chậm nhất ngày 14 tháng cuối quý",
        "duty.cb.nam": "trước ngày 15/11/2026, một lần",
        "duty.ct.bo-chi-so": "trước ngày 15/11 hằng năm",
        "duty.lc.ra-soat-nam": "trước ngày 20/11 hằng năm",
        "duty.lc.6-thang": "trong tháng 6 hằng năm",
        "duty.lc.nam": "trong tháng 12 hằng năm",
        "duty.lc.giao-ban-quy": "trong tháng cuối quý",
        "duty.kh.ket-qua-quy": "trước ngày 28 tháng cuối quý",
        "duty.kh.tien-do-nam": "trong các tháng 3, 5, 7, 8 hằng năm",
        "duty.kh.kiem-tra-thang": "trong mỗi tháng",
        "duty.kh.dia-phuong-thang": "trong mỗi tháng",
        "duty.kh.ho-so-xa": "trước ngày 25/9 hằng năm",
        "duty.kh.ho-so-huyen": "trước ngày 20/10 hằng năm",
        "duty.kh.tham-dinh": "trong tháng 12 hằng năm",
    }


@pytest.mark.parametrize("folder", PLANS)
def test_units_and_recipients_are_organisations_of_the_plan(folder):
    keys = {row.key for row in plans.list_organisations(folder)}
    keys |= {"org.cb.ubnd-xa-phuc-hoa", "org.cb.ubnd-xa-dong-khe"}  # named in the text, loaded with their communes
    for row in read_duties.list_duties(folder):
        assert not row.to_key or row.to_key in keys
        for pattern in row.from_keys:
            assert any(key == pattern or key.startswith(pattern.rstrip("*")) for key in keys)
