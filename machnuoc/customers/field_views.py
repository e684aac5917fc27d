"""The page for meter readers: a shell that works without network, what it asks of the server; what the office sees."""

import hashlib
import json
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, render
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from machnuoc.core import export
from machnuoc.customers import field_forms, field_operations, field_queries, reading_views
from machnuoc.customers.models import FieldItem
from machnuoc.places import access

_FATES_MOST = 500
# What the page is made of; the worker keeps exactly these, and the shell itself.
_STYLES = ("vendor/be-vietnam-pro/be-vietnam-pro.css", "customers/field/field.css")
_SCRIPTS = (
    "core/theme.js", "customers/field/rules.js", "customers/field/store.js", "customers/field/sending.js",
    "customers/field/screens.js",
)  # fmt: skip
_WORKER_SCRIPTS = ("customers/field/store.js", "customers/field/sending.js")
_OTHERS = (
    "core/icons.svg", "core/mark.svg",
    *(f"vendor/be-vietnam-pro/be-vietnam-pro-{part}-{weight}-normal.woff2"
      for part in ("latin", "vietnamese") for weight in (400, 600, 700)),
)  # fmt: skip
_ICON_SIZES = (192, 512)


@require_safe
def field_home(request: HttpRequest) -> HttpResponse:
    """The shell: the same bytes for everybody, since the phone keeps it. Who reads is asked by field_me."""
    access.require(reading_views.person_of(request), "read_meters")
    return HttpResponse(_shell())


def _shell() -> str:
    context = {
        "styles": [static(name) for name in _STYLES], "scripts": [static(name) for name in _SCRIPTS],
        "icons": static("core/icons.svg"),
    }  # fmt: skip
    return render_to_string("customers/field/shell.html", context)  # without the request: nothing of a person is in it


@login_not_required
@require_safe
def field_worker(request: HttpRequest) -> HttpResponse:
    """The service worker. It names what to keep; another list, or another shell, is another version."""
    assets = [static(name) for name in (*_STYLES, *_SCRIPTS, *_OTHERS)]
    version = hashlib.sha256((_shell() + json.dumps(assets)).encode()).hexdigest()[:12]
    said = {
        "version": version, "shell": reverse("customers:field_home"), "assets": assets,
        "imports": [static(name) for name in _WORKER_SCRIPTS],
    }  # fmt: skip
    response = render(request, "customers/field/worker.js", {"said": json.dumps(said)}, "text/javascript")
    response["Cache-Control"] = "no-cache"
    return response


@login_not_required
@require_safe
def field_manifest(request: HttpRequest) -> JsonResponse:
    home = reverse("customers:field_home")
    return JsonResponse(
        {
            "id": home, "name": "Mạch Nước – Ghi chỉ số", "short_name": "Ghi chỉ số", "lang": "vi", "start_url": home,
            "scope": home, "display": "standalone", "orientation": "portrait", "background_color": "#f2f6f8",
            "theme_color": "#0a3047", "description": "Ghi chỉ số đồng hồ nước, cả khi mất mạng.",
            "icons": [
                {"src": static("customers/field/icon.svg"), "sizes": "any", "type": "image/svg+xml"},
                *({"src": static(f"customers/field/icon-{size}.png"), "sizes": f"{size}x{size}", "type": "image/png",
                   "purpose": "any maskable"} for size in _ICON_SIZES),
            ],
        },
        content_type="application/manifest+json", headers={"Cache-Control": "no-cache"},
    )  # fmt: skip


# --- what the page asks


@require_safe
def field_me(request: HttpRequest) -> JsonResponse:
    """Who is signed in, the token for sending, the clock, the first of the open rounds and the ids of all."""
    person = reading_views.person_of(request)
    access.require(person, "read_meters")
    found = field_queries.find_rounds(person)
    return JsonResponse({
        "person": {"id": person.pk, "name": person.full_name or person.username, "is_demo": person.is_demo},
        "csrf": get_token(request), "now": timezone.now().isoformat(timespec="seconds"),
        "rounds": found.rounds, "pages": found.pages, "open": found.open_ids,
    })  # fmt: skip


@require_safe
def field_rounds(request: HttpRequest) -> JsonResponse:
    """A page of the open rounds that match what is looked for: ?q=words&page=2."""
    person = reading_views.person_of(request)
    access.require(person, "read_meters")
    page = request.GET.get("page", "")
    found = field_queries.find_rounds(
        person,
        request.GET.get("q", "")[:100],
        int(page) if page.isascii() and page.isdecimal() and len(page) < 7 else 1,
    )
    return JsonResponse({"rounds": found.rounds, "page": found.page, "pages": found.pages, "count": found.count})


@require_safe
def field_route(request: HttpRequest, pk: int) -> JsonResponse:
    """The package of one open round."""
    person = reading_views.person_of(request)
    shown = get_object_or_404(field_queries.list_rounds(person), pk=pk)
    return JsonResponse(field_queries.make_package(shown, person=person, now=timezone.now()))


@require_POST
def field_send(request: HttpRequest) -> JsonResponse:
    """Take a batch: {"person": id, "sent_at": instant, "items": […]}. Answers with a receipt for each, in order."""
    person = reading_views.person_of(request)
    access.require(person, "read_meters")
    said = _json(request)
    items = said.get("items") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(items, list):
        return _refusal("Nội dung gửi lên không đúng dạng. Tải lại trang ghi chỉ số rồi gửi lại.", 422)
    if said.get("person") != person.pk:
        # Somebody else signed in between: items of one person are never taken as another's.
        return _refusal("Máy đang đăng nhập tài khoản khác. Đăng nhập đúng tài khoản đã ghi rồi gửi lại.", 409)
    try:
        receipts = field_operations.receive(
            items, person=person, now=timezone.now(), sent_at=_instant(said.get("sent_at"))
        )
    except field_operations.BadBatch as reason:
        return _refusal(str(reason), 422)
    return JsonResponse({"receipts": [one.__dict__ for one in receipts]})


@require_POST
def field_fates(request: HttpRequest) -> JsonResponse:
    """What became of own items until today: {"ids": […]}, at most 500."""
    person = reading_views.person_of(request)
    access.require(person, "read_meters")
    said = _json(request)
    ids = said.get("ids") if isinstance(said, dict) else None
    if not isinstance(ids, list) or len(ids) > _FATES_MOST:
        return _refusal(f"Hỏi tối đa {_FATES_MOST} mục mỗi lần.", 422)
    wanted = []
    for one in ids:
        try:
            wanted.append(uuid.UUID(str(one)))
        except ValueError:
            return _refusal("Mã mục không hợp lệ.", 422)
    return JsonResponse({"fates": [one.__dict__ for one in field_queries.list_fates(person, wanted)]})


def _json(request: HttpRequest) -> Any:
    if request.content_type != "application/json":
        return None
    try:
        return json.loads(request.body)
    except (ValueError, RecursionError):
        return None


def _instant(said: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(said) if isinstance(said, str) and len(said) < 40 else None
    except ValueError:
        return None
    return moment if moment is not None and field_operations.is_moment(moment) else None


def _refusal(text: str, status: int) -> JsonResponse:
    return JsonResponse({"error": text}, status=status)


# --- the office


def _code(item: FieldItem) -> str:
    if item.reading is not None:
        return item.reading.connection.code
    said = item.body.get("code")
    return str(said)[:24] if isinstance(said, str) else ""


def _index_m3(item: FieldItem) -> float | None:
    said = item.body.get("index_l")
    return said / 1000 if type(said) is int else None


def _read_at(item: FieldItem) -> datetime | None:
    """Return when the phone says it was read."""
    return _instant(item.body.get("read_at"))


_COLUMNS: Sequence[export.Column] = [
    ("Nhận lúc", lambda row: row.received_at, "datetime"), ("Người gửi", lambda row: row.person.full_name, "text"),
    ("Mã đấu nối", _code, "text"), ("Kỳ", lambda row: str(row.body.get("period", ""))[:7], "text"),
    ("Ghi lúc (theo máy)", _read_at, "datetime"), ("Chỉ số (m³)", _index_m3, "number"),
    ("Kết quả", lambda row: row.get_fate_display(), "text"),
    ("Lý do", lambda row: row.reason, "text"), ("Gửi lặp", lambda row: row.repeats, "number"),
    ("Mã mục", lambda row: str(row.client_id), "text"),
]  # fmt: skip


@require_safe
def field_item_list(request: HttpRequest) -> HttpResponseBase:
    """Every item that phones sent, with its fate, and the sum by which nothing is lost."""
    person = reading_views.person_of(request)
    access.require(person, "serve")
    form = field_forms.ItemFilter(request.GET)
    rows = field_queries.list_items(person)
    if text := form.value("q"):
        rows = rows.filter(
            Q(reading__connection__code__icontains=text) | Q(person__full_name__icontains=text)
            | Q(person__username__icontains=text) | Q(reading__isnull=True, body__code__icontains=text)
        )  # fmt: skip
    days = int(form.value("days") or 31)
    rows = rows.filter(received_at__gte=timezone.now() - timedelta(days=days))
    sums = rows.order_by().aggregate(
        received=Count("pk"), duplicate=Count("pk", filter=Q(fate=FieldItem.Fate.DUPLICATE)),
        refused=Count("pk", filter=Q(fate=FieldItem.Fate.REFUSED)),
    )  # fmt: skip
    sums["stored"] = sums["received"] - sums["duplicate"] - sums["refused"]
    if fate := form.value("fate"):
        rows = rows.filter(fate=fate)
    if export.format_of(request):
        return export.export(
            request, name="Phiếu gửi từ máy", columns=_COLUMNS, rows=rows[:50_000], filters=form.describe(),
            simulated=rows.filter(reading__is_simulated=True).exists(),
        )  # fmt: skip
    page = reading_views.page_of(rows, request, 50)
    context = {
        "form": form, "page": page, "sums": sums, "tabs": reading_views.tabs(),
        "rows": [(one, _code(one), _index_m3(one), _read_at(one)) for one in page.object_list],
        "is_filtered": reading_views.is_filtered(request),
    }  # fmt: skip
    return render(request, "customers/field/items.html", context)
