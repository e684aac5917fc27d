"""Filters of the list of e-invoices, and what may be printed at once."""

from datetime import date
from typing import Any

from django import forms

from machnuoc.billing import bill_pdf, einvoice_queries
from machnuoc.billing.models import EInvoice
from machnuoc.core.choices import OneOf
from machnuoc.core.models import Person
from machnuoc.core.number_fields import WholeField
from machnuoc.customers import visibility
from machnuoc.customers.models import Route
from machnuoc.works.models import Work

_MONTHS_BACK = 25
FAILED = "FAILED"


def list_months(today: date) -> list[tuple[str, str]]:
    """Return the months that a page offers, the newest first."""
    found = []
    at = today.year * 12 + today.month - 1
    for back in range(_MONTHS_BACK):
        month = date((at - back) // 12, (at - back) % 12 + 1, 1)
        found.append((month.isoformat(), f"Tháng {month:%m/%Y}"))
    return found


class EInvoiceFilter(forms.Form):
    state = forms.ChoiceField(
        label="Tình trạng", required=False,
        choices=[("", "Mọi tình trạng"), *EInvoice.State.choices, (FAILED, "Có lỗi")],
    )  # fmt: skip
    month = forms.ChoiceField(label="Kỳ", required=False)
    number = WholeField(label="Số hóa đơn", required=False, min_value=1, max_value=99_999_999)
    operator = forms.ChoiceField(label="Đơn vị", required=False)

    def __init__(self, data: Any, *, person: Person, today: date) -> None:
        super().__init__(data)
        self.fields["month"].choices = [("", "Mọi kỳ"), *list_months(today)]  # type: ignore[attr-defined]
        operators = einvoice_queries.list_operators(person)
        if len(operators) < 2:
            del self.fields["operator"]
        else:
            self.fields["operator"].choices = [  # type: ignore[attr-defined]
                ("", "Mọi đơn vị"),
                *((str(one.pk), str(one)) for one in operators),
            ]

    def read(self) -> einvoice_queries.Filters:
        """Return the filters; what is not understood is left out and told beside its field."""
        self.is_valid()
        said = self.cleaned_data
        state = said.get("state") or ""
        return einvoice_queries.Filters(
            state="" if state == FAILED else state,
            is_failed=state == FAILED,
            month=date.fromisoformat(said["month"]) if said.get("month") else None,
            number=said.get("number"),
            operator=int(said["operator"]) if said.get("operator") else None,
        )


class _WorkField(OneOf):
    def label_from_instance(self, obj: Work) -> str:
        return obj.subject.name


class _RouteField(OneOf):
    def label_from_instance(self, obj: Route) -> str:
        return f"{obj.code} · {obj.name}"


class PrintForm(forms.Form):
    """Which bills, on which paper."""

    month = forms.ChoiceField(label="Kỳ")
    work = _WorkField(Work.objects.none(), label="Công trình", required=False, empty_label="Mọi công trình")
    route = _RouteField(Route.objects.none(), label="Tuyến", required=False, empty_label="Mọi tuyến")
    paper = forms.ChoiceField(
        label="Khổ giấy", choices=[(paper, paper.upper()) for paper in bill_pdf.PAPERS], initial="a5",
        help_text="A5: hai hóa đơn trên một tờ A4 khi in «2 trang một mặt».",
    )  # fmt: skip

    def __init__(self, data: Any, *, person: Person, today: date) -> None:
        super().__init__(data)
        self.fields["month"].choices = list_months(today)  # type: ignore[attr-defined]
        works = Work.objects.select_related("subject").order_by("subject__name")
        routes = Route.objects.order_by("code")
        ids = visibility.list_work_ids(person, "serve")
        if ids is not None:
            works, routes = works.filter(pk__in=ids), routes.filter(work_id__in=ids)
        self.fields["work"].queryset = works  # type: ignore[attr-defined]
        self.fields["route"].queryset = routes  # type: ignore[attr-defined]

    def title(self) -> str:
        said = self.cleaned_data
        parts = [f"kỳ {date.fromisoformat(said['month']):%m/%Y}"]
        if said["work"] is not None:
            parts.append(said["work"].subject.name)
        if said["route"] is not None:
            parts.append(f"tuyến {said['route'].code}")
        return "Hóa đơn " + ", ".join(parts)
