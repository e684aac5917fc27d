"""Official documents and the passages that figures and facts come from."""

from typing import Any

from django.db import transaction

from machnuoc.core import audit
from machnuoc.core.models import Document, Passage, Person


class NoSuchPassage(LookupError):
    """The document or the passage is not recorded."""


def put_document(key: str, *, by: Person | None = None, **fields: Any) -> Document:
    """Record a document under its key, or bring it up to date; writes (and audits) only what differs.

    fields: those of Document: kind, number, title, issuer, issue_date, issue_date_as_printed, signer, note, confidence,
    file.
    """
    document: Document = _put(Document, {"key": key}, fields, by=by, action="core.document")
    return document


def put_passage(
    document: Document, key: str, section: str, text: str, order: int = 0, *, by: Person | None = None
) -> Passage:
    """Record a passage, quoted as printed, or bring it up to date; writes (and audits) only what differs."""
    passage: Passage = _put(
        Passage,
        {"document": document, "key": key},
        {"section": section, "text": text, "order": order},
        by=by,
        action="core.passage",
        detail={"key": key},
    )
    return passage


def get_passage(document_key: str, passage_key: str) -> Passage:
    """Return a passage with its document. Raises NoSuchPassage."""
    try:
        return Passage.objects.select_related("document").get(document__key=document_key, key=passage_key)
    except Passage.DoesNotExist:
        raise NoSuchPassage(
            f"Không có đoạn trích «{passage_key}» trong văn bản «{document_key}». "
            "Kiểm tra khóa của đoạn trích, hoặc ghi nhận đoạn trích trước."
        ) from None


@transaction.atomic
def _put(
    model: Any,
    identity: dict[str, Any],
    fields: dict[str, Any],
    *,
    by: Person | None,
    action: str,
    detail: dict[str, Any] | None = None,
) -> Any:
    # As the column would hold them: «2026-02-10» given as text is no change to that date.
    columns = {name: model._meta.get_field(name) for name in fields}
    fields = {
        name: value if columns[name].is_relation else columns[name].to_python(value) for name, value in fields.items()
    }
    existing = model.objects.select_for_update().filter(**identity).first()
    if existing is None:
        made = model(**identity, **fields)
        made.full_clean(validate_unique=False, validate_constraints=False)
        made.save(force_insert=True)
        audit.record(f"{action}.recorded", actor=by, target=_audited(made), **(detail or {}))
        return made
    changed = [name for name, value in fields.items() if getattr(existing, name) != value]
    if changed:
        for name in changed:
            setattr(existing, name, fields[name])
        existing.full_clean(validate_unique=False, validate_constraints=False)
        existing.save(update_fields=changed)
        audit.record(f"{action}.changed", actor=by, target=_audited(existing), fields=changed, **(detail or {}))
    return existing


def _audited(row: Document | Passage) -> Document:
    return row if isinstance(row, Document) else row.document
