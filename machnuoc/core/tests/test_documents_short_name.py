"""How a document is called where there is little room."""

from datetime import date

import pytest

from machnuoc.core.models import Document


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (Document(kind="Kế hoạch", number="79/KH-TTNS", issue_date=date(2026, 2, 10)), "Kế hoạch 79/KH-TTNS"),
        (Document(number="12/QĐ-UBND"), "12/QĐ-UBND"),
        (
            Document(
                kind="Kế hoạch",
                issuer="Ủy ban nhân dân tỉnh Cao Bằng",
                issue_date_as_printed="Cao Bằng, ngày tháng 5 năm 2026",
            ),
            "Kế hoạch (số để trống), UBND tỉnh Cao Bằng, 5/2026",
        ),
        (
            Document(kind="Kế hoạch", issuer="Ủy ban nhân dân tỉnh Lai Châu"),
            "Kế hoạch (số để trống), UBND tỉnh Lai Châu",
        ),
        (Document(issuer="Sở Xây dựng"), "Văn bản (số để trống), Sở Xây dựng"),
    ],
)
def test_a_document_without_a_number_is_called_by_its_kind_issuer_and_month(document, name):
    assert document.short_name == name
