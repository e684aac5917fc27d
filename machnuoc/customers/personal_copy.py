"""How the copy of somebody's data is written, so that who asked for it can read it."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from django.db.models import Field, Model, QuerySet
from django.utils import timezone

TITLES = {
    "account__address": "Tài khoản", "address": "Địa chỉ", "amount_vnd": "Số tiền (đồng)", "answered_at": "Trả lời lúc",
    "at": "Lúc", "closed_date": "Ngày chấm dứt", "code": "Mã", "connected_date": "Ngày đấu nối",
    "connection__code": "Đấu nối", "decision": "Quyết định", "email": "Thư điện tử", "end_reason": "Lý do chấm dứt",
    "ended_at": "Thôi lúc", "ended_date": "Ngày hết hiệu lực", "fee_vnd": "Phí (đồng)", "given_at": "Đồng ý lúc",
    "group": "Đối tượng", "households": "Số hộ", "how": "Hình thức", "identity_number": "Số định danh cá nhân",
    "index_l": "Chỉ số (lít)", "issued_at": "Phát hành lúc", "kind": "Loại", "latitude": "Vĩ độ", "linked_at": "Từ lúc",
    "longitude": "Kinh độ", "method": "Hình thức", "name": "Họ tên, tên đơn vị", "net_vnd": "Tiền nước (đồng)",
    "nickname": "Tên gọi riêng", "number": "Số", "payer": "Người trả", "period_start_date": "Kỳ từ ngày",
    "persons": "Số người", "phone": "Điện thoại", "priority": "Diện ưu tiên", "purpose": "Mục đích",
    "read_at": "Đọc lúc", "reason": "Lý do", "receipt_number": "Số biên lai", "received_at": "Nhận lúc",
    "signed_date": "Ngày ký", "state": "Tình trạng", "status": "Tình trạng", "tax_code": "Mã số thuế",
    "text": "Nội dung", "total_vnd": "Tổng tiền (đồng)", "valid_from": "Từ ngày", "valid_to": "Đến trước ngày",
    "vat_vnd": "Thuế GTGT (đồng)", "what": "Việc", "withdrawn_at": "Rút lại lúc", "work__subject__name": "Công trình",
    "year": "Năm",
}  # fmt: skip


def list_rows(rows: QuerySet[Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the columns of the rows under Vietnamese titles, with words for keys and local days and hours."""
    columns = [(TITLES[name], _words(rows.model, name)) for name in names]
    return [_say(columns, row) for row in rows.values_list(*names)]


def one_row(row: Model, names: Sequence[str]) -> dict[str, Any]:
    columns = [(TITLES[name], _words(type(row), name)) for name in names]
    return _say(columns, (getattr(row, name) for name in names))


def _say(columns: Sequence[tuple[str, dict[Any, Any]]], values: Iterable[Any]) -> dict[str, Any]:
    return {title: _show(words.get(value, value)) for (title, words), value in zip(columns, values, strict=True)}


def _words(model: type[Model], path: str) -> dict[Any, Any]:
    """Return what the stored keys of a column are called."""
    *through, last = path.split("__")
    for name in through:
        model = model._meta.get_field(name).related_model  # type: ignore[assignment]
    field = model._meta.get_field(last)
    return dict(field.flatchoices) if isinstance(field, Field) else {}


def _show(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{timezone.localtime(value):%d/%m/%Y %H:%M}"
    if isinstance(value, date):
        return f"{value:%d/%m/%Y}"
    return value if isinstance(value, int | float | None) else str(value)
