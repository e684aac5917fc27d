"""Forms of the counter, drawers, refunds, collectors, statements and debts."""

import uuid
from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import QueryDict

from machnuoc.billing.models import BankLine, DebtCase, GatewayOrder, Payment, Refund
from machnuoc.billing.payment_queries import PaymentFilters
from machnuoc.core.choices import DayField, OneOf
from machnuoc.core.number_fields import WholeField
from machnuoc.core.vietnamese import format_money_vnd, format_number
from machnuoc.customers.models import Customer, Route
from machnuoc.places.models import Organisation

_KEY_MAX = 64


def new_key() -> str:
    """Return the key of one form: a button pressed twice sends it twice."""
    return uuid.uuid4().hex


def _search(placeholder: str) -> forms.CharField:
    widget = forms.TextInput({"type": "search", "placeholder": placeholder})
    return forms.CharField(label="Tìm", required=False, max_length=100, widget=widget)


class _Filter(forms.Form):
    """A filter in the address: what makes no sense asks for nothing."""

    def __init__(self, data: QueryDict, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)

    def said(self) -> dict[str, Any]:
        self.is_valid()
        return {name: self.cleaned_data.get(name) for name in self.fields}

    def describe(self) -> list[tuple[str, str]]:
        rows = []
        for name, field in self.fields.items():
            text = str(self.cleaned_data.get(name) or "")
            if text:
                rows.append((str(field.label), str(dict(getattr(field, "choices", [])).get(text, text))))
        return rows


class CounterSearch(forms.Form):
    q = forms.CharField(
        label="Khách hàng", max_length=100, required=False,
        widget=forms.TextInput({
            "type": "search", "placeholder": "Mã đấu nối, tên, địa chỉ, điện thoại, mã hóa đơn", "autofocus": True,
        }),
    )  # fmt: skip


class CashForm(forms.Form):
    amount_vnd = WholeField(label="Số tiền nhận (đồng)", min_value=1)
    payer = forms.CharField(label="Người nộp", max_length=160, required=False)
    note = forms.CharField(label="Ghi chú", max_length=300, required=False)
    key = forms.CharField(widget=forms.HiddenInput, max_length=_KEY_MAX, required=False)
    seen_vnd = forms.IntegerField(widget=forms.HiddenInput, required=False)  # what was owed when the page was shown

    def __init__(self, *args: Any, former: Sequence[tuple[Customer, int]] = (), **kwargs: Any) -> None:
        """former: those who held the connection before and still owe; the money may be for their bills."""
        super().__init__(*args, **kwargs)
        if former:
            choices = [("", "Chủ hiện tại")]
            choices += [(str(one.pk), f"{one.name} ({one.code}), nợ {format_money_vnd(owed)}") for one, owed in former]
            self.fields["holder"] = forms.ChoiceField(label="Trả cho hóa đơn của", choices=choices, required=False)
        self.fields["amount_vnd"].widget.attrs |= {"autofocus": True, "autocomplete": "off"}
        self.initial.setdefault("key", new_key())

    def owed_has_changed(self, owed_vnd: int) -> bool:
        """Return whether something else is owed than was shown; then say so, and show what is owed now.

        So two clerks who take the money for the same bills do not both take it.
        """
        said = self.cleaned_data
        seen_vnd = said.get("seen_vnd")
        if seen_vnd is None or seen_vnd == owed_vnd:
            return False
        self.add_error(
            None,
            f"Số phải thu vừa đổi từ {format_money_vnd(seen_vnd)} thành {format_money_vnd(owed_vnd)}: có khoản thu "
            "hoặc hóa đơn khác vừa ghi. Xem lại rồi bấm nhận.",
        )
        shown = {**dict(self.data.items()), "seen_vnd": str(owed_vnd)}
        if said["amount_vnd"] == seen_vnd:
            shown["amount_vnd"] = format_number(owed_vnd) if owed_vnd else ""
        self.data = shown
        return True


class _Operator(OneOf):
    def label_from_instance(self, obj: Organisation) -> str:
        return obj.subject.name


class OpenTillForm(forms.Form):
    operator = _Operator(Organisation.objects.none(), label="Đơn vị cấp nước")
    opening_vnd = WholeField(label="Tiền đầu ca (đồng)", min_value=0, initial=0)

    def __init__(self, *args: Any, operators: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["operator"].queryset = operators  # type: ignore[attr-defined]
        only = list(operators[:2])
        if len(only) == 1:
            self.fields["operator"].initial = only[0].pk


class CloseTillForm(forms.Form):
    counted_vnd = WholeField(label="Tiền đếm được (đồng)", min_value=0)
    note = forms.CharField(
        label="Ghi chú", max_length=300, required=False, help_text="Bắt buộc khi tiền đếm được lệch so với sổ."
    )


class ReasonForm(forms.Form):
    reason = forms.CharField(label="Lý do", max_length=300)


class RefundForm(forms.Form):
    amount_vnd = WholeField(label="Số tiền hoàn (đồng)", min_value=1)
    reason = forms.CharField(label="Lý do", max_length=300)


class PaymentFilter(_Filter):
    q = _search("Đấu nối, giao dịch, biên lai")
    method = forms.ChoiceField(
        label="Hình thức", required=False, choices=[("", "Mọi hình thức"), *Payment.Method.choices]
    )
    state = forms.ChoiceField(
        label="Tình trạng", required=False,
        choices=[("", "Tất cả"), ("valid", "Đang có hiệu lực"), ("reversed", "Đã đảo")],
    )  # fmt: skip
    from_date = DayField(label="Từ ngày", required=False)
    to_date = DayField(label="Đến hết ngày", required=False)

    def read(self) -> PaymentFilters:
        said = self.said()
        return PaymentFilters(
            q=str(said["q"] or "").strip(), method=str(said["method"] or ""), state=str(said["state"] or ""),
            from_date=said["from_date"], to_date=said["to_date"],
        )  # fmt: skip


class RefundFilter(_Filter):
    state = forms.ChoiceField(label="Tình trạng", required=False, choices=[("", "Tất cả"), *Refund.State.choices])


class OrderFilter(_Filter):
    q = _search("Mã đấu nối, mã giao dịch")
    gateway = forms.ChoiceField(label="Cổng", required=False, choices=[("", "Mọi cổng"), *GatewayOrder.Gateway.choices])
    state = forms.ChoiceField(label="Tình trạng", required=False, choices=[("", "Tất cả"), *GatewayOrder.State.choices])


class SettlementForm(forms.Form):
    """What a gateway handed over. Of a bank transfer the amount and the day are the bank's."""

    operator = _Operator(Organisation.objects.none(), label="Đơn vị cấp nước")
    gateway = forms.ChoiceField(label="Cổng", choices=GatewayOrder.Gateway.choices)
    document = forms.CharField(label="Số bảng kê đối soát", max_length=80, help_text="Của cổng thanh toán.")
    until_date = DayField(label="Giao dịch đến hết ngày")
    paid_date = DayField(label="Ngày tiền về ngân hàng")
    net_vnd = WholeField(label="Thực nhận (đồng)", min_value=1)
    without = forms.CharField(
        label="Bỏ các khoản thu", max_length=2_000, required=False,
        help_text="Số của khoản thu chưa có trong bảng kê, cách nhau bằng dấu phẩy.",
    )  # fmt: skip

    def __init__(self, *args: Any, operators: Any, line: BankLine | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["operator"].queryset = operators  # type: ignore[attr-defined]
        only = list(operators[:2])
        if len(only) == 1:
            self.fields["operator"].initial = only[0].pk
        if line is not None:
            for name in ("operator", "paid_date", "net_vnd"):
                del self.fields[name]

    def clean_without(self) -> list[int]:
        parts = [part.strip() for part in self.cleaned_data["without"].split(",") if part.strip()]
        if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
            raise forms.ValidationError("Ghi số của khoản thu, cách nhau bằng dấu phẩy.")
        return [int(part) for part in parts]


class _Route(OneOf):
    def label_from_instance(self, obj: Route) -> str:
        return f"{obj.code} · {obj.name}"


class SheetForm(forms.Form):
    route = _Route(Route.objects.none(), label="Tuyến")

    def __init__(self, *args: Any, routes: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["route"].queryset = routes  # type: ignore[attr-defined]


class StatementForm(forms.Form):
    operator = _Operator(Organisation.objects.none(), label="Đơn vị cấp nước")
    bank = forms.CharField(
        label="Ngân hàng", max_length=40,
        help_text="Tên này giữ cách đọc cột cho các lần sau, ví dụ: Vietcombank 0123456789.",
    )  # fmt: skip
    file = forms.FileField(label="Tệp sao kê", help_text="xlsx hoặc csv, tải từ ngân hàng, không sửa.")

    def __init__(self, *args: Any, operators: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["operator"].queryset = operators  # type: ignore[attr-defined]
        only = list(operators[:2])
        if len(only) == 1:
            self.fields["operator"].initial = only[0].pk


class ColumnsForm(forms.Form):
    """Which heading of the file holds what; made for the headings that are there."""

    def __init__(self, *args: Any, headings: list[str], roles: dict[str, str], optional: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = [(text, text) for text in headings if text]
        for role, label in roles.items():
            empty = "Không có cột này" if role in optional else "Chọn cột"
            self.fields[role] = forms.ChoiceField(
                label=label, choices=[("", empty), *named], required=role not in optional
            )

    def clean(self) -> dict[str, Any]:
        said = super().clean() or {}
        chosen = [text for text in said.values() if text]
        if len(set(chosen)) < len(chosen):
            raise forms.ValidationError("Một cột được chọn cho hai việc. Mỗi cột chỉ giữ một việc.")
        return said


class LineFilter(_Filter):
    match = forms.ChoiceField(
        label="Khớp", required=False, choices=[("", "Tất cả"), ("WAITING", "Chờ xác nhận"), *BankLine.Match.choices]
    )
    q = _search("Nội dung, số tham chiếu")


class DebtFilter(_Filter):
    q = _search("Mã đấu nối, tên, địa chỉ")
    work = forms.ChoiceField(label="Trạm", required=False)
    age = forms.ChoiceField(
        label="Tuổi nợ", required=False,
        choices=[("", "Mọi tuổi nợ"), ("overdue", "Quá hạn"), ("30", "Quá 30 ngày"), ("60", "Quá 60 ngày"),
                 ("90", "Quá 90 ngày")],
    )  # fmt: skip
    case = forms.ChoiceField(
        label="Hồ sơ", required=False,
        choices=[("", "Tất cả"), ("none", "Chưa có hồ sơ"), *DebtCase.State.choices[:2], DebtCase.State.choices[3]],
    )  # fmt: skip

    def __init__(self, data: QueryDict, *, works: list[tuple[int, str]]) -> None:
        super().__init__(data)
        choices = [("", "Mọi trạm"), *((str(pk), name) for pk, name in works)]
        self.fields["work"].choices = choices  # type: ignore[attr-defined]


class StepForm(forms.Form):
    """A step of a debt case: the day is the day on which it is recorded."""

    text = forms.CharField(label="Nội dung", max_length=200, required=False)
    proof = forms.FileField(label="Bản quét văn bản", required=False, help_text="PDF hoặc ảnh.")
