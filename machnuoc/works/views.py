"""Pages of water works: the list as table, map and chart; the page of one work; what changes it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from machnuoc.core import export, panels
from machnuoc.core.vietnamese import format_date, format_number
from machnuoc.indicators import operations as indicator_operations
from machnuoc.indicators import queries as indicator_queries
from machnuoc.places import access
from machnuoc.places import operations as place_operations
from machnuoc.places.models import Grant, Organisation, Subject
from machnuoc.works import forms, operations, queries
from machnuoc.works.models import Capacity, Work

_ROWS_A_PAGE = 30
_SPOKEN = {code: text.lower() for code, text in queries.WARNINGS.items()}
_RUNNING, _STOPPED = str(Work.Status.RUNNING), str(Work.Status.STOPPED)
_BARS = 40  # more of them cannot be read beside one another
_get_or_post = require_http_methods(["GET", "HEAD", "POST"])


# --- the list as table, map and chart: one selection


@require_safe
def works_list(request: HttpRequest) -> HttpResponseBase:
    selection = _select(request)
    if export.format_of(request):
        return _export(request, selection)
    page = Paginator(selection.roots, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    rows = queries.dress(queries.flatten(page.object_list), selection)
    return _render_list(request, "list", selection, {"page": page, "rows": rows})


@require_safe
def works_map(request: HttpRequest) -> HttpResponseBase:
    selection = _select(request)
    if export.format_of(request):
        return _export(request, selection)
    placed = [row for row in selection.rows if row.latitude is not None]
    queries.mark_centres(placed, request.user)  # type: ignore[arg-type]
    losses = queries.read_losses(placed, selection) if selection.has_urban else {}
    page: Page[Any] = Paginator(placed, _ROWS_A_PAGE).get_page(request.GET.get("page"))
    page.object_list = [_point(row, losses.get(row.pk)) for row in page.object_list]
    context = {
        "points": _pack(placed, losses),
        "page": page,
        "unplaced": [row for row in selection.rows if row.latitude is None],
        "at_centre": sum(row.is_at_centre for row in placed),
        "placed": len(placed),
    }
    return _render_list(request, "map", selection, context)


@require_safe
def works_chart(request: HttpRequest) -> HttpResponseBase:
    selection = _select(request)
    if export.format_of(request):
        return _export(request, selection)
    known = [row for row in selection.roots if (row.design, row.connected, row.planned) != (None, None, None)]
    drawn = known[:_BARS]
    data = {
        "type": "bar",
        "unit": "hộ",
        "decimals": 0,
        "category_title": "Công trình",
        "categories": [row.name for row in drawn],
        "series": [
            {"name": "Thiết kế", "values": [row.design for row in drawn]},
            {"name": f"Đấu nối {selection.year}", "values": [row.connected for row in drawn]},
            {"name": f"Kế hoạch {selection.plan_year}", "values": [row.planned for row in drawn]},
        ],
    }
    context = {
        "losses_data": _losses_chart(selection) if selection.has_urban else None,
        "chart_data": data,
        "drawn": drawn,
        "left_out": len(known) - len(drawn),
        "without": len(selection.roots) - len(known),
    }
    return _render_list(request, "chart", selection, context)


def _losses_chart(selection: queries.Selection) -> dict[str, Any] | None:
    """Return how many works have which losses: plans print classes and edges, seldom the number. None without any."""
    works = [row for row in selection.rows if not row.parts and row.sector == Work.Sector.URBAN]
    losses = queries.read_losses(works, selection, sector=Work.Sector.URBAN)
    if not losses:
        return None
    told = Counter(value.text for value in losses.values())
    classes = sorted({(value.rank, value.text) for value in losses.values()})
    names = [*dict.fromkeys(text for _, text in classes)]
    counts = [told[name] for name in names]
    if len(works) > len(losses):
        names.append("chưa có số liệu")
        counts.append(len(works) - len(losses))
    return {
        "type": "bar",
        "unit": "công trình",
        "decimals": 0,
        "category_title": "Tỷ lệ thất thoát",
        "categories": names,
        "series": [{"name": f"Số công trình {selection.year}", "values": counts}],
    }


def _select(request: HttpRequest) -> queries.Selection:
    sort = request.GET.get("sort", "")
    return queries.select(
        request.user,  # type: ignore[arg-type]
        forms.read_filters(request.GET),
        sort if sort.removeprefix("-") in queries.SORTS else "",
        today=timezone.localdate(),
    )


def _render_list(
    request: HttpRequest, view: str, selection: queries.Selection, context: dict[str, Any]
) -> HttpResponse:
    kept = request.GET.copy()
    kept.pop("page", None)
    query = f"?{kept.urlencode()}" if kept else ""
    tabs = [
        (name, title, reverse(f"works:{name}") + query)
        for name, title in (("list", "Danh sách"), ("map", "Bản đồ"), ("chart", "Biểu đồ"))
    ]
    return render(
        request,
        f"works/{view}.html",
        {
            "selection": selection,
            "totals": selection.totals,
            "form": forms.WorkFilter(request.GET, selection),
            "tabs": tabs,
            "view": view,
            "may_add": access.may(request.user, "manage"),  # type: ignore[arg-type]
            "all_url": reverse(f"works:{view}"),
            **context,
        },
    )


def _tone(row: queries.Row, warnings: tuple[str, ...], losses: queries.Stored | None = None) -> str:
    severity = losses.band.severity if losses is not None and losses.band is not None else ""
    if queries.ABOVE_DESIGN in warnings or severity == "danger":
        return "danger"
    if warnings or severity == "warning":
        return "warning"
    return "neutral" if row.status == _STOPPED else "info"


def _point(row: queries.Row, losses: queries.Stored | None = None) -> dict[str, Any]:
    warnings = row.warnings
    said = [row.kind_label, row.operator, _households(row), *_notes(row, warnings, losses)]
    return {
        "lat": row.latitude, "lon": row.longitude, "title": row.name, "tone": _tone(row, warnings, losses),
        "text": " · ".join(filter(None, said)),
        "url": reverse("works:detail", args=[row.key]),
    }  # fmt: skip


def _pack(rows: list[queries.Row], losses: dict[int, queries.Stored]) -> dict[str, Any]:
    """Return the points of many works: what repeats stands once (see core/maps.js), so that the page stays small."""
    prefix, _, suffix = reverse("works:detail", args=["0"]).rpartition("0")
    words: defaultdict[str, int] = defaultdict(lambda: len(words))
    packed = []
    for row in rows:
        own, warnings = losses.get(row.pk), row.warnings
        spoken = (_tone(row, warnings, own), row.kind_label, row.operator, *_notes(row, warnings, own))
        said = [words[word] for word in spoken]
        packed.append([row.latitude, row.longitude, row.name, row.key, _households(row), *said])
    return {"packed": packed, "words": list(words), "url": [prefix, suffix]}


def _households(row: queries.Row) -> str:
    if row.connected is None:
        return ""
    against = f"/{_in_words(row.design)}" if row.design is not None else ""
    return f"{_in_words(row.connected)}{against} hộ"


_in_words = lru_cache(maxsize=10_000)(format_number)  # the map of a country says the same few thousand numbers


def _notes(row: queries.Row, warnings: tuple[str, ...], losses: queries.Stored | None) -> list[str]:
    found = [_SPOKEN[warnings[0]]] if warnings else []
    if losses is not None:
        found.append(f"thất thoát {losses.text}")
    if row.status != _RUNNING:
        found.append(row.get_status_display().lower())
    return [*found, "điểm ở tâm xã, phường"] if row.is_at_centre else found


def _export(request: HttpRequest, selection: queries.Selection) -> HttpResponseBase:
    rows = selection.rows
    queries.name_places(rows)
    losses = queries.read_losses(rows, selection) if selection.has_urban else {}
    totals = selection.totals
    year, plan_year = selection.year, selection.plan_year

    def of(name: str) -> Callable[[Any], Any]:
        return lambda row: getattr(row, name, None)

    def text_of(name: str) -> Callable[[Any], Any]:
        return lambda row: getattr(row, name) if isinstance(row, queries.Row) else None

    def losses_of(row: Any) -> str | None:
        if isinstance(row, queries.Row):
            return losses[row.pk].text if row.pk in losses else None
        value = totals.values["losses_pct"]
        return indicator_queries.as_text(value, value.metric) if value else None

    columns: Sequence[export.Column] = [
        ("Công trình", lambda row: "  " * row.depth + row.name if isinstance(row, queries.Row) else "Cộng", "text"),
        ("Thuộc công trình", text_of("parent_name"), "text"),
        ("Đơn vị vận hành", text_of("operator"), "text"),
        ("Tổ, trạm trực tiếp", text_of("team"), "text"),
        ("Loại", text_of("kind_label"), "text"),
        ("Khu vực", text_of("sector_label"), "text"),
        ("Tình trạng", lambda row: row.get_status_display() if isinstance(row, queries.Row) else None, "text"),
        ("Nơi cấp nước", lambda row: ", ".join(row.places) if isinstance(row, queries.Row) else None, "text"),
        (f"Thiết kế {year} (hộ)", of("design"), "number"),
        (f"Đấu nối {year}, dòng riêng (hộ)", of("connected_own"), "number"),
        (f"Đấu nối {year}, gồm phân hệ (hộ)", of("connected"), "number"),
        (f"Kế hoạch {plan_year} (hộ)", of("planned"), "number"),
        (f"Tăng {plan_year} so với {year} (hộ)", of("growth"), "number"),
        ("Tăng (%)", of("growth_pct"), "number"),
        (f"Khai thác {year} (% thiết kế)", of("utilisation_pct"), "number"),
        (f"Thất thoát {year}", losses_of, "text"),
        (
            "Cảnh báo",
            lambda row: (
                "; ".join(queries.WARNINGS[code] for code in row.warnings) if isinstance(row, queries.Row) else None
            ),
            "text",
        ),
    ]
    return export.export(
        request,
        name="Công trình cấp nước",
        columns=columns,
        rows=[*rows, totals] if rows else [],
        filters=forms.describe_filters(selection.filters, selection),
        source_note="Hồ sơ công trình và số liệu của Mạch Nước. Dòng «Cộng» không cộng hai lần hộ của phân hệ.",
    )


# --- one work


@require_safe
def work(request: HttpRequest, key: str) -> HttpResponse:
    shown = _get_work(request, key)
    person: Any = request.user
    page = queries.get_page(shown, today=timezone.localdate())
    is_colleague = _is_colleague(request)
    context = {
        "page": page,
        "work": shown,
        "subject": shown.subject,
        "row": page.row,
        "panels": panels.list_for_subject(person, shown.subject),
        "is_colleague": is_colleague,
        "linked": queries.list_linked_ids(person, page),
        "may_manage": queries.may_manage(person, shown),
        "facts": _facts(shown, page, is_colleague),
        "warnings": [_warning(page, code) for code in page.row.warnings],
        "points": _points(shown, page),
        "year": page.plan_year - 1,
        "apparent_names": list({name.text: name for name in page.names if name.certainty == "apparent"}.values()),
    }
    return render(request, "works/work.html", context)


@require_safe
def history(request: HttpRequest, key: str) -> HttpResponse:
    """Who did what to the work. The page of the work brings it in when the reader gets there."""
    shown = _get_work(request, key)
    if not _is_colleague(request):
        raise PermissionDenied("Lịch sử cập nhật dành cho người làm việc với công trình.")
    template = "works/history.html#list" if request.htmx else "works/history.html"  # type: ignore[attr-defined]
    return render(request, template, {"subject": shown.subject, "changes": queries.list_changes(shown)})


def _is_colleague(request: HttpRequest) -> bool:
    """Names and telephones of people are for those who work with them, not for programs of partners."""
    return bool(access.roles(request.user) - {Grant.Role.PARTNER})  # type: ignore[arg-type]


def _facts(shown: Work, page: queries.WorkPage, is_colleague: bool) -> list[tuple[str, Any]]:
    lies_in = ", ".join(queries.place_name(place) for place in page.territories)
    facts: list[tuple[str, Any]] = [
        ("Loại", shown.get_kind_display()),
        ("Khu vực", shown.get_sector_display()),
        ("Nằm ở", lies_in),
        ("Nguồn nước", shown.get_source_kind_display()),
    ]
    if is_colleague:
        contact = " · ".join(filter(None, [shown.contact_name, shown.contact_phone]))
        facts.append(("Liên hệ", contact))
    if shown.note:
        facts.append(("Ghi chú", shown.note))
    facts.append(("Mã trong hệ thống", shown.subject.key))
    return facts


def _warning(page: queries.WorkPage, code: str) -> dict[str, str]:
    row = page.row
    if code == queries.ABOVE_DESIGN:
        over, design, what = row.connected, row.design, f"Số hộ đấu nối cuối năm {page.plan_year - 1}"
        tone = "danger"
    else:
        over, design, what = row.planned, row.design_planned, f"Số hộ theo kế hoạch năm {page.plan_year}"
        tone = "warning"
    text = (
        f"{what} là {format_number(over)} hộ, thiết kế {format_number(design)} hộ "
        f"(vượt {format_number((over or 0) - (design or 0))} hộ). "
        "Kiểm tra số liệu; nếu đúng, xem xét nâng công suất hoặc điều chỉnh kế hoạch phát triển khách hàng."
    )
    return {"tone": tone, "title": queries.WARNINGS[code], "text": text}


def _points(shown: Work, page: queries.WorkPage) -> dict[str, Any] | None:
    if shown.subject.latitude is None:
        return None
    point = {
        "lat": shown.subject.latitude, "lon": shown.subject.longitude, "title": shown.subject.name,
        "text": "tâm xã, phường" if page.is_at_centre else "", "tone": _tone(page.row, page.row.warnings),
    }  # fmt: skip
    return {"points": [point]}


def _get_work(request: HttpRequest, key: str) -> Work:
    """Return the work, or answer 404: what lies out of scope looks like what does not exist."""
    try:
        return queries.get_work(key, request.user)  # type: ignore[arg-type]
    except Work.DoesNotExist:
        raise Http404(f"no work {key} in scope") from None


# --- what changes a work

_Act = Callable[[Work, Any], None]


def _change(
    request: HttpRequest,
    key: str,
    form_class: type[Any],
    *,
    title: str,
    icon: str,
    lead: str,
    done: str,
    act: _Act,
    confirm: Callable[[Work, Any], str] | None = None,
    after: Callable[[Work], str] | None = None,
) -> HttpResponse:
    """Show a form about one work, let a weighty act be confirmed, then do it in one transaction.

    Two people who edit at once: the second is told, and nothing is overwritten.
    """
    shown = _get_work(request, key)
    access.require(request.user, "manage", shown.subject, shown.sector)  # type: ignore[arg-type]
    data = request.POST if request.method == "POST" else None
    form: Any = form_class(data, work=shown, person=request.user, today=timezone.localdate())
    question = ""
    is_stale = False
    if data is not None and form.is_valid():
        if confirm is not None and "confirmed" not in data:
            question = "" if "again" in data else confirm(shown, form)
        else:
            try:
                with transaction.atomic():
                    place_operations.require_current(shown.subject, form.cleaned_data["version"])
                    act(shown, form)
                    place_operations.touch(shown.subject)
            except place_operations.ChangedMeanwhile as reason:
                is_stale = True
                form.add_error(None, str(reason))
            except (operations.WorksError, place_operations.PlacesError) as reason:
                form.add_error(None, str(reason))
            else:
                indicator_operations.recompute_dirty(timezone.now())
                messages.success(request, done.format(name=shown.subject.name))
                return redirect(after(shown) if after else _address_after(request, shown))
    context = {
        "work": shown, "subject": shown.subject, "form": form, "title": title, "icon_name": icon, "lead": lead,
        "question": question, "is_stale": is_stale,
    }  # fmt: skip
    status = 409 if is_stale else 422 if data is not None and form.errors else 200
    return render(request, "works/work_form.html", context, status=status)


def _address_after(request: HttpRequest, shown: Work) -> str:
    """Return the page of the work, or the list where the act has taken it out of the person's scope."""
    if access.may(request.user, "view", shown.subject):  # type: ignore[arg-type]
        return reverse("works:detail", args=[shown.subject.key])
    return reverse("works:list")


@_get_or_post
def edit_work(request: HttpRequest, key: str) -> HttpResponse:
    def act(shown: Work, form: forms.EditWork) -> None:
        said = form.cleaned_data
        places = form.chosen_places()
        urban_area = next((place for place in places if place.kind == Subject.Kind.URBAN_AREA), None)
        units = [place.unit for place in places if place.kind == Subject.Kind.UNIT]
        operations.put_work(
            key=shown.subject.key, name=said["name"], kind=said["kind"], sector=said["sector"], parent=shown.parent,
            territories=units, urban_area=urban_area, latitude=said["latitude"], longitude=said["longitude"],
            source_kind=said["source_kind"], treatment=said["treatment"], contact_name=said["contact_name"],
            contact_phone=said["contact_phone"], note=said["note"], passage=shown.passage, version=said["version"],
            by=request.user,  # type: ignore[arg-type]
        )  # fmt: skip

    return _change(
        request, key, forms.EditWork, title="Sửa hồ sơ", icon="edit", act=act,
        lead="Tên, loại, vị trí, nguồn nước, liên hệ. "
        "Đơn vị vận hành, công suất và phạm vi cấp nước có lịch sử, sửa ở mục riêng.",
        done="Đã lưu hồ sơ «{name}».",
    )  # fmt: skip


@_get_or_post
def hand_over(request: HttpRequest, key: str) -> HttpResponse:
    def ask(shown: Work, form: forms.HandOver) -> str:
        operator: Organisation = form.cleaned_data["operator"]
        day = form.cleaned_data["from_date"]
        since = f"Từ ngày {format_date(day)}" if day else "Từ trước tới nay"
        if shown.operator is None or shown.operator_id == operator.pk:
            return f"{since}, «{shown}» do «{operator}» vận hành."
        parts = shown.parts.filter(operator=shown.operator).count()
        along = f" Cùng bàn giao {parts} phân hệ." if parts else ""
        return (
            f"{since}, «{shown}» do «{operator}» vận hành thay «{shown.operator}».{along} "
            "Quyền xem, nhập số liệu và các số tổng chuyển theo đơn vị mới."
        )

    def act(shown: Work, form: forms.HandOver) -> None:
        said = form.cleaned_data
        operations.hand_over(
            shown, said["operator"], team=said["team"], from_date=said["from_date"], passage=form.source,
            by=request.user,  # type: ignore[arg-type]
        )  # fmt: skip

    return _change(
        request, key, forms.HandOver, title="Đơn vị vận hành", icon="git-merge", act=act, confirm=ask,
        lead="Chuyển giao cho đơn vị khác từ một ngày, hoặc đổi tổ, trạm trực tiếp. Đơn vị cũ vẫn nằm trong lịch sử.",
        done="Đã ghi đơn vị vận hành của «{name}».",
    )  # fmt: skip


@_get_or_post
def set_status(request: HttpRequest, key: str) -> HttpResponse:
    def ask(shown: Work, form: forms.SetStatus) -> str:
        day = form.cleaned_data["from_date"]
        label = Work.Status(form.cleaned_data["status"]).label
        return f"«{shown}»: «{label}»" + (f" từ ngày {format_date(day)}." if day else ", không rõ từ ngày nào.")

    def act(shown: Work, form: forms.SetStatus) -> None:
        said = form.cleaned_data
        operations.set_status(
            shown, said["status"], from_date=said["from_date"], reason=said["reason"], passage=form.source,
            by=request.user,  # type: ignore[arg-type]
        )  # fmt: skip

    return _change(
        request, key, forms.SetStatus, title="Tình trạng", icon="activity-heartbeat", act=act, confirm=ask,
        lead="Đang vận hành, dừng, đang xây dựng hay đang bàn giao. Tình trạng trước đó được giữ trong lịch sử.",
        done="Đã ghi tình trạng của «{name}».",
    )  # fmt: skip


@_get_or_post
def record_capacity(request: HttpRequest, key: str) -> HttpResponse:
    def ask(shown: Work, form: forms.RecordCapacity) -> str:
        said = form.cleaned_data
        kind, basis = Capacity.Kind(said["kind"]).label.lower(), Capacity.Basis(said["basis"]).label
        since = f" từ ngày {format_date(said['from_date'])}" if said["from_date"] else ""
        live = shown.capacities.filter(kind=said["kind"], basis=said["basis"], valid_to__isnull=True).first()
        instead = f", thay cho {format_number(live.amount.normalize() + 0)} {basis}" if live else ""
        return (
            f"Công suất {kind} của «{shown}» là {format_number(said['amount'])} {basis}{since}{instead}. "
            "Các tỷ lệ khai thác tính trên công suất này sẽ được tính lại."
        )

    def act(shown: Work, form: forms.RecordCapacity) -> None:
        said = form.cleaned_data
        operations.record_capacity(
            shown, kind=said["kind"], basis=said["basis"], amount=said["amount"], from_date=said["from_date"],
            passage=form.source, by=request.user,  # type: ignore[arg-type]
        )  # fmt: skip

    return _change(
        request, key, forms.RecordCapacity, title="Ghi công suất mới", icon="gauge", act=act, confirm=ask,
        lead="Công suất có hiệu lực từ một ngày; số liệu các kỳ trước ngày đó giữ công suất cũ.",
        done="Đã ghi công suất của «{name}» và tính lại số liệu liên quan.",
    )  # fmt: skip


@_get_or_post
def set_service_areas(request: HttpRequest, key: str) -> HttpResponse:
    def act(shown: Work, form: forms.SetServiceAreas) -> None:
        said = form.cleaned_data
        for name in ("served", "planned"):
            operations.set_service_areas(
                shown, form.chosen(name), is_planned=name == "planned", from_date=said["from_date"],
                passage=form.source, by=request.user,  # type: ignore[arg-type]
            )  # fmt: skip

    return _change(
        request, key, forms.SetServiceAreas, title="Phạm vi cấp nước", icon="map-pin", act=act,
        lead="Xã, phường, khu vực đô thị được công trình cấp nước hiện nay và dự kiến.",
        done="Đã ghi phạm vi cấp nước của «{name}».",
    )  # fmt: skip


@_get_or_post
def add_alias(request: HttpRequest, key: str) -> HttpResponse:
    def act(shown: Work, form: forms.AddAlias) -> None:
        said = form.cleaned_data
        operations.add_alias(
            shown, said["text"], certainty=said["certainty"], note=said["note"], passage=form.source,
            by=request.user,  # type: ignore[arg-type]
        )  # fmt: skip

    return _change(
        request, key, forms.AddAlias, title="Thêm tên khác", icon="tag", act=act,
        lead="Tên mà một văn bản dùng cho công trình này. Ô tìm kiếm tìm được theo cả tên này.",
        done="Đã ghi tên khác của «{name}».",
    )  # fmt: skip


@_get_or_post
def add_part(request: HttpRequest, key: str) -> HttpResponse:
    made: list[Work] = []

    def act(shown: Work, form: forms.AddPart) -> None:
        if shown.parent_id is not None:
            raise operations.WorksError(
                f"«{shown}» đã là một phân hệ. Thêm phân hệ cho công trình chính «{shown.parent}»."
            )
        said = form.cleaned_data
        units = [place.unit for place in queries.list_territories(shown) if place.kind == Subject.Kind.UNIT]
        made.append(
            operations.add_work(
                name=said["name"], kind=Work.Kind.SUBSCHEME, sector=shown.sector, parent=shown, territories=units,
                operator=shown.operator, team=shown.team, status=said["status"], from_date=said["from_date"],
                note=said["note"], passage=form.source, by=request.user,  # type: ignore[arg-type]
            )
        )  # fmt: skip

    return _change(
        request, key, forms.AddPart, title="Thêm phân hệ", icon="plus", act=act,
        lead="Phân hệ thuộc công trình này, cùng đơn vị vận hành và địa bàn. "
        "Số hộ của phân hệ được cộng vào công trình.",
        done="Đã thêm phân hệ vào «{name}».",
        after=lambda shown: reverse("works:detail", args=[made[0].subject.key]),
    )  # fmt: skip


@_get_or_post
def add_work(request: HttpRequest) -> HttpResponse:
    person: Any = request.user
    access.require(person, "manage")
    provinces = list(queries.list_provinces_managed(person))
    wanted = request.GET.get("province", "")
    province = next((unit for unit in provinces if unit.subject.key == wanted), None)
    if province is None and len(provinces) == 1:
        province = provinces[0]
    if not provinces:
        raise PermissionDenied("Phạm vi của bạn không gắn với tỉnh nào, nên chưa thêm được công trình.")
    if province is None:
        return render(request, "works/choose_province.html", {"form": forms.ProvinceChoice(None, provinces)})
    data = request.POST if request.method == "POST" else None
    form = forms.AddWork(data, province=province, person=person, today=timezone.localdate())
    if data is not None and form.is_valid():
        said = form.cleaned_data
        try:
            made = operations.add_work(
                name=said["name"], kind=said["kind"], sector=said["sector"], operator=said["operator"],
                team=said["team"], territories=form.units(), status=said["status"], from_date=said["from_date"],
                source_kind=said["source_kind"], note=said["note"], passage=form.source, by=person,
            )  # fmt: skip
        except (operations.WorksError, place_operations.PlacesError) as reason:
            form.add_error(None, str(reason))
        else:
            done = f"Đã thêm công trình «{made.subject.name}». Ghi tiếp công suất và phạm vi cấp nước."
            messages.success(request, done)
            return redirect("works:detail", made.subject.key)
    context = {"form": form, "province": province, "may_choose": len(provinces) > 1}
    return render(request, "works/add_work.html", context, status=422 if data is not None else 200)
