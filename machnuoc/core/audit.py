"""The audit trail: who did what to which object, sealed in batches into a chain of hashes.

Whoever acts writes an entry in the transaction of the act. One sealer (a scheduled job) later takes what nobody has
sealed yet, also entries that committed late, and chains it. Writers never wait for the chain.

A chain proves what lies inside it. Someone with full control of the database could cut off its end: keep the
`last_hash` of a verification elsewhere from time to time, and compare.
"""

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.apps import apps
from django.db import IntegrityError, models, transaction
from django.db.models import Max, Q
from django.utils import timezone
from django.utils.module_loading import autodiscover_modules

from machnuoc.core import vietnamese
from machnuoc.core.models import AuditEntry, AuditSeal, Person, SealedEntry

FIRST_HASH = "0" * 64
SEAL_AT_MOST = 5_000  # entries in one seal: bounds the length of the transaction
CSV_HEAD = (
    "Số",
    "Thời điểm",
    "Người thực hiện",
    "Tên đăng nhập",
    "Hành động",
    "Diễn giải",
    "Loại đối tượng",
    "Mã đối tượng",
    "Số lượng",
    "Chi tiết",
    "Niêm phong",
)
Namer = Callable[[set[str]], dict[str, str]]  # from what the detail holds, as text, to what people call it
_sentences: dict[str, str] = {}
_namers: dict[str, dict[str, Namer]] = {}


def record(
    action: str, *, actor: Person | None, target: models.Model | None = None, count: int = 1, **detail: Any
) -> AuditEntry:
    """Write down an act, in the transaction of the act.

    action: a dotted name that some room describes, such as "works.capacity.recorded". actor None is the program
    itself. count: how many objects a bulk act touched. detail: ids, keys, counts and hashes, never personal data.
    """
    return AuditEntry.objects.create(
        at=timezone.now(),
        actor=actor,
        action=action,
        target_kind=target._meta.label_lower if target is not None else "",
        target_id=str(target.pk) if target is not None else "",
        count=count,
        detail=json.loads(json.dumps(detail, default=str, allow_nan=False)),
    )


# --- the chain ------------------------------------------------------------------------------------------------------


def seal(now: datetime) -> AuditSeal | None:
    """Seal what is not sealed yet, at most SEAL_AT_MOST entries, and return the seal; None if there was nothing.

    Two sealers at once cannot fork the chain: the second finds its predecessor taken, and returns None.
    """
    try:
        with transaction.atomic():
            # The order matters. Read first, a last seal that is out of date clashes with the unique previous_hash;
            # read second, it could let entries be claimed by a seal that another sealer has just finished.
            last = AuditSeal.objects.order_by("-id").first()
            entries = list(AuditEntry.objects.filter(sealed__isnull=True).order_by("id")[:SEAL_AT_MOST])
            if not entries:
                return None
            previous_hash = last.hash if last else FIRST_HASH
            made = AuditSeal.objects.create(
                sealed_at=now,
                previous_hash=previous_hash,
                hash=_seal_hash(previous_hash, now, entries),
                entry_count=len(entries),
            )
            SealedEntry.objects.bulk_create(SealedEntry(entry=entry, seal=made) for entry in entries)
    except IntegrityError:
        if AuditSeal.objects.filter(previous_hash=previous_hash).exists():
            return None
        raise
    return made


@dataclass(frozen=True)
class VerifyResult:
    """sealed, unsealed: numbers of entries. problems: sentences, empty when the chain holds."""

    sealed: int
    unsealed: int
    problems: list[str]
    last_hash: str = FIRST_HASH

    @property
    def is_sound(self) -> bool:
        return not self.problems


def verify() -> VerifyResult:
    """Recompute the whole chain. Finds entries that were changed or removed, changed seals and a broken chain."""
    problems: list[str] = []
    sealed_count = 0
    expected_previous = FIRST_HASH
    # A sealer may be at work: what it adds after this line is left to the next verification.
    seals = AuditSeal.objects.filter(pk__lte=AuditSeal.objects.aggregate(last=Max("pk"))["last"] or 0)
    rows = (
        SealedEntry.objects.filter(seal__in=seals)
        .select_related("entry")
        .order_by("seal_id", "entry_id")
        .iterator(chunk_size=2_000)
    )
    pending = next(rows, None)
    for link in seals.order_by("id").iterator(chunk_size=2_000):
        entries = []
        while pending is not None and pending.seal_id == link.pk:
            entries.append(pending.entry)
            pending = next(rows, None)
        sealed_count += len(entries)
        name = f"Niêm phong #{link.pk} lúc {timezone.localtime(link.sealed_at):%d/%m/%Y %H:%M}"
        if link.previous_hash != expected_previous:
            problems.append(
                f"{name}: chuỗi bị đứt, không nối vào niêm phong liền trước. "
                "Có niêm phong đã bị xóa, chèn hoặc sửa; đối chiếu với bản sao lưu."
            )
        if len(entries) != link.entry_count:
            problems.append(
                f"{name}: phủ {link.entry_count} bản ghi nhưng nay có {len(entries)}; "
                "bản ghi đã bị xóa hoặc chèn. Đối chiếu với bản sao lưu."
            )
        elif _seal_hash(link.previous_hash, link.sealed_at, entries) != link.hash:
            span = f"từ #{entries[0].pk} đến #{entries[-1].pk}" if entries else "không còn bản ghi"
            problems.append(
                f"{name}: nội dung không khớp mã băm; một bản ghi ({span}) hoặc chính niêm phong đã bị sửa. "
                "Đối chiếu với bản sao lưu."
            )
        expected_previous = link.hash
    unsealed_count = AuditEntry.objects.filter(sealed__isnull=True).count()
    return VerifyResult(sealed_count, unsealed_count, problems, expected_previous)


def _seal_hash(previous_hash: str, sealed_at: datetime, entries: list[AuditEntry]) -> str:
    digest = hashlib.sha256(_canonical([previous_hash, _instant(sealed_at), len(entries)]))
    for entry in entries:
        digest.update(b"\n" + _canonical(_content(entry)))
    return digest.hexdigest()


def _content(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.pk,
        "at": _instant(entry.at),
        "actor": entry.actor_id,
        "action": entry.action,
        "target_kind": entry.target_kind,
        "target_id": entry.target_id,
        "count": entry.count,
        "detail": entry.detail,
    }


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


# --- reading it -----------------------------------------------------------------------------------------------------


def describe(action: str, text: str, **names: Namer) -> None:
    """Say in Vietnamese what an action is: `describe("works.capacity.recorded", "ghi công suất của {target}")`.

    The text follows the actor's name. {target}, {count} and the keys of the detail are filled in. Rooms call this
    when their `operations.py` is imported. names: for keys of the detail that hold ids or keys of something, how these
    are told; asked once for all entries of a page.
    """
    _sentences[action] = text
    if names:
        _namers[action] = names


@cache
def _discover() -> None:
    autodiscover_modules("operations")


def list_described() -> dict[str, str]:
    """Return every action with its text, in the order of the action names."""
    _discover()
    return dict(sorted(_sentences.items()))


def sentence(entry: AuditEntry) -> str:
    """Return the entry as a Vietnamese sentence, such as «Nguyễn Văn A ghi công suất của Trạm Nghĩa Phú»."""
    return sentences([entry])[0]


def sentences(entries: Iterable[AuditEntry], known: Iterable[models.Model] = ()) -> list[str]:
    """Return the entries as sentences, with one query for each kind of target. known: targets read already."""
    _discover()
    entries = list(entries)
    names = {(row._meta.label_lower, str(row.pk)): str(row) for row in known}
    names |= _target_names([entry for entry in entries if (entry.target_kind, entry.target_id) not in names])
    values = _named_values(entries)
    return [_one_sentence(entry, names.get((entry.target_kind, entry.target_id), ""), values) for entry in entries]


class _Filled(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "…"


def _named_values(entries: Iterable[AuditEntry]) -> dict[tuple[Namer, str], str]:
    """Return how values of the details are told, asked once of each namer."""
    wanted: dict[Namer, set[str]] = defaultdict(set)
    for entry in entries:
        for key, namer in _namers.get(entry.action, {}).items():
            if isinstance(entry.detail, dict) and key in entry.detail:
                wanted[namer].add(str(entry.detail[key]))
    return {(namer, value): text for namer, values in wanted.items() for value, text in namer(values).items()}


def _one_sentence(entry: AuditEntry, target_name: str, values: dict[tuple[Namer, str], str]) -> str:
    actor = entry.actor.full_name if entry.actor else "Hệ thống"
    text = _sentences.get(entry.action)
    if text is None:
        return f"{actor}: {entry.action} {target_name}".strip()
    detail = entry.detail if isinstance(entry.detail, dict) else {}
    told = {
        key: values.get((namer, str(detail[key])), detail[key])
        for key, namer in _namers.get(entry.action, {}).items()
        if key in detail
    }
    filled = _Filled(detail | told, target=target_name, count=vietnamese.format_number(entry.count))
    return f"{actor} {text.format_map(filled)}".strip()


def _target_names(entries: list[AuditEntry]) -> dict[tuple[str, str], str]:
    ids: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.target_kind:
            ids[entry.target_kind].add(entry.target_id)
    names = {}
    for kind, target_ids in ids.items():
        try:
            model = apps.get_model(kind)
        except (LookupError, ValueError):
            found = {}  # a kind of an older version of the program
        else:
            # Names are often made of a parent's name: one query brings the required parents along.
            found = {str(row.pk): str(row) for row in model._default_manager.select_related().filter(pk__in=target_ids)}
        for target_id in target_ids:
            names[kind, target_id] = found.get(target_id) or f"đối tượng #{target_id} (không còn)"
    return names


def list_entries(
    *,
    actor_id: int | None = None,
    within: Any = None,
    action: str = "",
    target_kind: str = "",
    target_id: str = "",
    start_at: datetime | None = None,
    end_at: datetime | None = None,
) -> models.QuerySet[AuditEntry]:
    """Return entries, newest first. action also names a family ("works" or "works.capacity"). [start_at, end_at).

    within: ids of the people (a subquery or a collection) whose acts may be told; None: all, and the program's own.
    """
    entries = AuditEntry.objects.select_related("actor", "sealed").order_by("-id")
    if actor_id is not None:
        entries = entries.filter(actor_id=actor_id)
    if within is not None:
        entries = entries.filter(actor_id__in=within)
    if action:
        entries = entries.filter(Q(action=action) | Q(action__startswith=action + "."))
    if target_kind:
        entries = entries.filter(target_kind=target_kind)
    if target_id:
        entries = entries.filter(target_id=target_id)
    if start_at is not None:
        entries = entries.filter(at__gte=start_at)
    if end_at is not None:
        entries = entries.filter(at__lt=end_at)
    return entries


class _Echo:
    def write(self, text: str) -> str:
        return text


def export_csv(entries: models.QuerySet[AuditEntry]) -> Iterator[str]:
    """Yield the lines of a CSV file (UTF-8 with byte order mark, as spreadsheets expect), in chunks of 500 entries."""
    writer = csv.writer(_Echo())
    yield "\ufeff" + writer.writerow(CSV_HEAD)
    chunk: list[AuditEntry] = []
    for entry in entries.iterator(chunk_size=500):
        chunk.append(entry)
        if len(chunk) == 500:
            yield from _csv_lines(writer, chunk)
            chunk = []
    yield from _csv_lines(writer, chunk)


def _csv_lines(writer: Any, entries: list[AuditEntry]) -> Iterator[str]:
    for entry, text in zip(entries, sentences(entries), strict=True):
        cells = [
            entry.pk,
            f"{timezone.localtime(entry.at):%d/%m/%Y %H:%M:%S}",
            entry.actor.full_name if entry.actor else "Hệ thống",
            entry.actor.username if entry.actor else "",
            entry.action,
            text,
            entry.target_kind,
            entry.target_id,
            entry.count,
            json.dumps(entry.detail, ensure_ascii=False, sort_keys=True) if entry.detail else "",
            entry.sealed.seal_id if hasattr(entry, "sealed") else "",
        ]
        yield writer.writerow([_plain_cell(cell) for cell in cells])


def _plain_cell(cell: object) -> object:
    """Return the cell so that a spreadsheet reads text as text: a leading =, +, -, @ would be run as a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t", "\r"} else cell


describe("core.audit.exported", "xuất {count} bản ghi nhật ký")
describe("core.document.recorded", "ghi nhận văn bản {target}")
describe("core.document.changed", "sửa thông tin văn bản {target}")
describe("core.passage.recorded", "ghi đoạn trích {key} của {target}")
describe("core.passage.changed", "sửa đoạn trích {key} của {target}")
describe("core.file.stored", "tải lên tệp {target}")
describe("core.job.retried", "cho chạy lại tác vụ {target}")
describe("core.job.cancelled", "hủy tác vụ {target}")
