"""The rows of the five plans themselves: what each is called, who signed it, how long it runs."""

from datetime import date, datetime
from typing import Any

from machnuoc.core.models import Document, Passage
from machnuoc.demo import plans
from machnuoc.demo.planning import people
from machnuoc.places.models import Organisation, Subject
from machnuoc.planning import plan_operations
from machnuoc.planning.models import Plan

# What the documents do not print is left empty and said in the note.
_PLANS: tuple[dict[str, Any], ...] = (
    {
        "key": "qn.79-2026",
        "document": "doc.qn.79-kh-ttns-2026",
        "data": "quang_ngai",
        "name": "Kế hoạch thực hiện chỉ tiêu phát triển kinh tế – xã hội năm 2026 của Trung tâm Nước sạch và Vệ sinh "
        "môi trường nông thôn tỉnh Quảng Ngãi",
        "short_name": "Kế hoạch 79/KH-TTNS năm 2026",
        "issuer": "org.qn.trung-tam",
        "territory": "vn.quang-ngai",
        "field": "RURAL",
        "valid_from": date(2026, 1, 1),
        "valid_to": date(2027, 1, 1),
    },
    {
        "key": "cb.cap-nuoc-2026",
        "document": "doc.cb.kh-ubnd-2026-05",
        "data": "cao_bang",
        "name": "Kế hoạch phát triển hệ thống cấp nước, nâng cao tỷ lệ dân cư được sử dụng nước sạch tại các đô thị "
        "trên địa bàn tỉnh Cao Bằng năm 2026",
        "short_name": "Kế hoạch cấp nước đô thị Cao Bằng 2026",
        "issuer": "org.cb.ubnd-tinh",
        "territory": "vn.cao-bang",
        "field": "URBAN",
        "valid_from": date(2026, 1, 1),
        "valid_to": date(2027, 1, 1),
        "note": "Văn bản để trống số và ngày ban hành.",
    },
    {
        "key": "ct.bo-chi-so-2024",
        "document": "doc.ct.bo-chi-so",
        "name": "Kế hoạch triển khai thực hiện Bộ chỉ số theo dõi - đánh giá nước sạch nông thôn",
        "short_name": "Bộ chỉ số nước sạch nông thôn xã Cẩm Tân",
        "issuer": "org.ct.ubnd-xa-cam-tan",
        "territory": "vn.thanh-hoa.cam-tan-xa",
        "field": "RURAL",
        "valid_from": date(2024, 10, 22),
        "note": "Kế hoạch của Ủy ban nhân dân xã Cẩm Tân, huyện Cẩm Thủy (trước ngày 01/07/2025); gắn với xã Cẩm Tân "
        "hiện nay. Văn bản không đặt chỉ tiêu bằng số và không ghi ngày kết thúc.",
    },
    {
        "key": "lc.chi-thi-34",
        "document": "doc.lc.ct34",
        "data": "lai_chau",
        "name": "Kế hoạch triển khai Chỉ thị số 34/CT-TTg ngày 28 tháng 8 năm 2020 của Thủ tướng Chính phủ trên "
        "địa bàn tỉnh Lai Châu",
        "short_name": "Triển khai Chỉ thị 34 tại Lai Châu",
        "issuer": "org.lc.ubnd-tinh",
        "territory": "vn.lai-chau",
        "note": "Bản lưu không có số và ngày ban hành. Mục tiêu «đến năm 2020 và các năm tiếp theo»; nhiệm vụ và "
        "báo cáo hằng năm không ghi ngày kết thúc.",
    },
    {
        "key": "kh.1355-2024",
        "document": "doc.kh.1355",
        "data": "khanh_hoa",
        "name": "Kế hoạch thực hiện Chương trình mục tiêu quốc gia xây dựng nông thôn mới tỉnh Khánh Hòa đến năm 2025",
        "short_name": "Kế hoạch 1355/KH-UBND Khánh Hòa",
        "issuer": "org.kh.ubnd-tinh",
        "territory": "vn.khanh-hoa",
        "field": "RURAL",
        "valid_from": date(2024, 1, 1),
        "valid_to": date(2026, 1, 1),
        "status": Plan.Status.ENDED,
    },
)  # fmt: skip


def load_plans(now: datetime) -> None:
    """Put the five plans. Called again after the other areas: documents and issuers loaded meanwhile are attached."""
    documents = {row.key: row for row in Document.objects.filter(key__in=[plan["document"] for plan in _PLANS])}
    issuers = {
        row.subject.key: row
        for row in Organisation.objects.select_related("subject").filter(
            subject__key__in=[plan["issuer"] for plan in _PLANS]
        )
    }
    territories = {row.key: row for row in Subject.objects.filter(key__in=[plan["territory"] for plan in _PLANS])}
    edited = people.list_edited(Plan.objects.all(), "planning.plan.saved", "planning.plan.amended")
    kept = set(Plan.objects.filter(pk__in=edited).values_list("key", flat=True))
    for said in _PLANS:
        if said["key"] in kept:
            continue
        document = documents.get(said["document"])
        plan_operations.put_plan(
            key=said["key"], name=said["name"], short_name=said["short_name"], document=document,
            issuer=issuers.get(said["issuer"]), territory=territories[said["territory"]],
            field=said.get("field", "ALL"), valid_from=said.get("valid_from"), valid_to=said.get("valid_to"),
            status=said.get("status", Plan.Status.IN_FORCE), note=said.get("note", ""), bases=_bases(said, document),
        )  # fmt: skip


def _bases(said: dict[str, Any], document: Document | None) -> list[plan_operations.Basis] | None:
    """Return what the plan rests on, as its document data name it; None where the data name nothing."""
    if "data" not in said or document is None:
        return None
    passages = {row.key: row for row in Passage.objects.filter(document=document)}
    bases = []
    for cited in plans.get_document(said["data"]).cited:
        if cited.role != "basis":
            continue
        dated = f" ngày {cited.issue_date:%d/%m/%Y}" if cited.issue_date else ""
        numbered = f" số {cited.number}" if cited.number else ""
        text = f"{cited.kind}{numbered}{dated} của {cited.issuer}"
        bases.append(plan_operations.Basis(f"{text}: {cited.title}" if cited.title else text,
                                           passage=passages.get(cited.passage_key)))  # fmt: skip
    return bases


def get_plans() -> dict[str, Plan]:
    return {plan.key: plan for plan in Plan.objects.select_related("territory")}
