"""Pages on which devices, channels and readings come in as sheets."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.core import export, files, jobs
from machnuoc.core.models import Job, Person
from machnuoc.indicators.sheets import SheetError
from machnuoc.places import access
from machnuoc.telemetry import device_sheets
from machnuoc.telemetry.models import DeviceImport

_get_or_post = require_http_methods(["GET", "HEAD", "POST"])
_TEMPLATES = {"thiet-bi": DeviceImport.Kind.DEVICES, "kenh": DeviceImport.Kind.CHANNELS,
              "so-doc": DeviceImport.Kind.READINGS}  # fmt: skip


class UploadForm(forms.Form):
    kind = forms.ChoiceField(label="Tệp chứa", choices=DeviceImport.Kind.choices)
    file = forms.FileField(
        label="Tệp", widget=forms.ClearableFileInput({"accept": ".xlsx,.csv"}), help_text="Bảng tính .xlsx hoặc .csv."
    )

    def __init__(self, *args: Any, person: Person) -> None:
        super().__init__(*args)
        if not access.may(person, "manage"):
            only = DeviceImport.Kind.READINGS
            self.fields["kind"].choices = [(only.value, only.label)]  # type: ignore[attr-defined]


def _person(request: HttpRequest) -> Person:
    """Return who asks. Raises PermissionDenied for those who may neither enter figures nor manage anything."""
    person: Person = request.user  # type: ignore[assignment]
    if not (access.may(person, "enter") or access.may(person, "manage")):
        raise PermissionDenied("Tài khoản của bạn không nhập được thiết bị hay số đọc.")
    return person


@require_safe
def sheet_template(request: HttpRequest, name: str) -> HttpResponse:
    _person(request)
    if name not in _TEMPLATES:
        raise Http404("no such template")
    answer = HttpResponse(device_sheets.template(_TEMPLATES[name]), content_type=export.XLSX)
    answer["Content-Disposition"] = f'attachment; filename="mau-{name}.xlsx"'
    return answer


@_get_or_post
def sheet_imports(request: HttpRequest) -> HttpResponse:
    """Take an upload to its preview; list the person's uploads."""
    person = _person(request)
    form = UploadForm(*([request.POST, request.FILES] if request.method == "POST" else []), person=person)
    if form.is_bound and form.is_valid():
        upload = form.cleaned_data["file"]
        try:
            batch = device_sheets.receive_sheet(
                upload, kind=form.cleaned_data["kind"], name=upload.name, by=person, now=timezone.now()
            )
            if batch.found.get("is_unread"):
                with transaction.atomic():
                    batch.job = jobs.enqueue(
                        "telemetry.preview_sheet", by=person, batch_id=batch.pk, person_id=person.pk
                    )
                    batch.save(update_fields=["job"])
        except (files.RefusedFile, SheetError) as reason:
            form.add_error("file", str(reason))
        else:
            return redirect("telemetry:sheet_import", batch.pk)
    rows = DeviceImport.objects.filter(uploaded_by=person)
    page = Paginator(rows, 20).get_page(request.GET.get("page"))
    context = {"form": form, "page": page, "templates": [(name, kind.label) for name, kind in _TEMPLATES.items()]}
    return render(request, "telemetry/devices/imports.html", context, status=422 if form.errors else 200)


@_get_or_post
def sheet_import(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what a sheet holds, by cell; take it, long ones in the background."""
    person: Person = request.user  # type: ignore[assignment]
    batch = get_object_or_404(DeviceImport.objects.select_related("job"), pk=pk, uploaded_by=person)
    refusal = ""
    is_long = batch.received > device_sheets.LONG_ROWS
    is_waiting = _is_waiting(batch)
    if request.method == "POST" and not is_waiting:
        mode = request.POST.get("mode", "")
        try:
            if is_long and batch.applied_at is None and mode in {"ALL", "GOOD"}:
                with transaction.atomic():
                    batch.job = jobs.enqueue(
                        "telemetry.import_sheet", by=person, batch_id=batch.pk, mode=mode, person_id=person.pk
                    )
                    batch.save(update_fields=["job"])
            else:
                batch = device_sheets.apply(batch, mode=mode, by=person, now=timezone.now())
                messages.success(request, f"Đã nhập: {device_sheets.outcome(batch)}.")
            return redirect("telemetry:sheet_import", batch.pk)
        except SheetError as reason:
            refusal = str(reason)
    context = {
        "batch": batch, "refusal": refusal, "is_waiting": is_waiting, "is_long": is_long,
        "is_unread": bool(batch.found.get("is_unread")),
        "is_readings": batch.kind == DeviceImport.Kind.READINGS, "outcome": device_sheets.outcome(batch),
    }  # fmt: skip
    template = "telemetry/devices/import.html#state" if request.htmx else "telemetry/devices/import.html"  # type: ignore[attr-defined]
    return render(request, template, context, status=422 if refusal else 200)


def _is_waiting(batch: DeviceImport) -> bool:
    live = {Job.State.QUEUED, Job.State.RUNNING}
    return batch.applied_at is None and batch.job is not None and batch.job.state in live
