from datetime import date

import pytest
from django.core.exceptions import ValidationError

from machnuoc.core import documents
from machnuoc.core.models import AuditEntry, Document, Passage

PLAN = {"number": "79/KH-TTNS", "title": "Kế hoạch năm 2026", "issuer": "Trung tâm", "issue_date": "2026-02-10"}


def list_actions() -> list[str]:
    return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


@pytest.mark.django_db
def test_a_document_put_twice_is_recorded_once():
    documents.put_document("kh-79", **PLAN)
    documents.put_document("kh-79", **PLAN)

    assert Document.objects.get().issue_date == date(2026, 2, 10)
    assert list_actions() == ["core.document.recorded"]


@pytest.mark.django_db
def test_only_what_differs_is_written_and_audited():
    documents.put_document("kh-79", **PLAN)

    changed = documents.put_document("kh-79", **PLAN | {"signer": "Giám đốc", "issue_date": date(2026, 2, 10)})

    changed.refresh_from_db()
    assert (changed.signer, changed.title) == ("Giám đốc", "Kế hoạch năm 2026")
    assert list_actions() == ["core.document.recorded", "core.document.changed"]
    assert AuditEntry.objects.first().detail == {"fields": ["signer"]}


@pytest.mark.django_db
def test_a_document_may_be_without_number_and_date_as_printed():
    paper = documents.put_document("cao-bang", title="Kế hoạch", issuer="UBND tỉnh Cao Bằng", issue_date=None)

    assert (paper.number, paper.issue_date) == ("", None)


@pytest.mark.django_db
def test_a_document_without_title_or_with_an_unknown_confidence_is_refused():
    with pytest.raises(ValidationError):
        documents.put_document("kh-79", issuer="Trung tâm")
    with pytest.raises(ValidationError):
        documents.put_document("kh-79", **PLAN, confidence="perhaps")

    assert not Document.objects.exists()


@pytest.mark.django_db
def test_a_passage_is_put_once_changed_in_place_and_found_by_its_keys():
    plan = documents.put_document("kh-79", **PLAN)
    documents.put_passage(plan, "ii.2", "II.2", "đạt 63,6%", 3)
    documents.put_passage(plan, "ii.2", "II.2", "đạt 63,6%", 3)
    documents.put_passage(plan, "ii.2", "II.2, gạch đầu dòng thứ 2", "đạt 63,6%", 3)

    passage = documents.get_passage("kh-79", "ii.2")

    assert Passage.objects.count() == 1
    assert (passage.document, passage.section, passage.order) == (plan, "II.2, gạch đầu dòng thứ 2", 3)
    assert list_actions() == ["core.document.recorded", "core.passage.recorded", "core.passage.changed"]


@pytest.mark.django_db
def test_a_missing_passage_is_named():
    with pytest.raises(documents.NoSuchPassage, match=r"«ii\.9» trong văn bản «kh-79»"):
        documents.get_passage("kh-79", "ii.9")
