"""What writes places, organisations and grants. Each act is one transaction with its audit row."""

import secrets
from collections.abc import Iterable
from datetime import date

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.urls import reverse

from machnuoc.core import audit, notices
from machnuoc.core.models import Passage, Person
from machnuoc.places import access, containment, queries, search_entries
from machnuoc.places.models import (
    AdministrativeUnit,
    Containment,
    Grant,
    Organisation,
    ParentLink,
    PrintedName,
    Subject,
    UrbanArea,
)

audit.describe("places.units.loaded", "nạp {count} đơn vị hành chính")
audit.describe("places.organisation.saved", "lưu thông tin tổ chức {target}")
audit.describe("places.organisation.ended", "ghi ngày kết thúc hoạt động của tổ chức {target}")
audit.describe("places.urban_area.saved", "lưu khu vực đô thị {target}")
audit.describe("places.outside_works.added", "mở chỗ ghi số liệu không rõ công trình: {target}")
audit.describe("places.printed_name.added", "ghi tên như in của {target}")
audit.describe("places.grant.given", "giao quyền: {target}")
audit.describe("places.grant.ended", "kết thúc quyền: {target}")
audit.describe("places.grant.lent", "ủy quyền tạm thời: {target}")
audit.describe("places.loan.ended", "kết thúc ủy quyền: {target}")
audit.describe("core.person.created", "tạo tài khoản của {target}")
audit.describe("core.person.deactivated", "ngừng tài khoản của {target}")
audit.describe("core.person.reactivated", "mở lại tài khoản của {target}")
audit.describe("core.person.password_reset", "đặt lại mật khẩu của {target}")

# No letters or digits that look alike on paper: the password is read out or copied by hand once.
_PASSWORD_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # noqa: S105


class PlacesError(ValueError):
    """An act on places that cannot be done; the text says why and what to do."""


class ChangedMeanwhile(PlacesError):
    """Somebody else saved first."""


def require_current(subject: Subject, version: int | None) -> None:
    """Raise ChangedMeanwhile if the subject was saved since the reader opened it. Locks the row until commit."""
    current = Subject.objects.select_for_update().only("version", "name").get(pk=subject.pk)
    if version is not None and current.version != version:
        raise ChangedMeanwhile(
            f"«{current.name}» vừa được người khác sửa. Nội dung của bạn chưa được lưu; "
            "tải lại trang để xem bản mới rồi sửa tiếp."
        )


def touch(subject: Subject) -> None:
    """Count one more edit of the subject."""
    Subject.objects.filter(pk=subject.pk).update(version=subject.version + 1)
    subject.version += 1


def rebuild_containment(subject_ids: Iterable[int]) -> None:
    """Make the closure of these subjects, and of all below them, from the live parent links.

    Raises PlacesError if the links form a circle.
    """
    wanted = set(subject_ids)
    frontier = set(wanted)
    while frontier:  # everything below must be made again too
        below = set(
            ParentLink.objects.filter(parent_id__in=frontier, valid_to__isnull=True).values_list("child_id", flat=True)
        )
        frontier = below - wanted
        wanted |= frontier
    links: dict[int, set[int]] = {}
    frontier = set(wanted)
    while frontier:  # and everything above is needed to know the ancestors
        rows = ParentLink.objects.filter(child_id__in=frontier, valid_to__isnull=True).values_list(
            "child_id", "parent_id"
        )
        frontier = set()
        for child, parent in rows:
            links.setdefault(child, set()).add(parent)
            if parent not in links:
                frontier.add(parent)
    closure: dict[int, set[int]] = {}

    def ancestors(node: int, path: tuple[int, ...]) -> set[int]:
        if node in path:
            raise PlacesError("Quan hệ cha – con tạo thành vòng: một đơn vị không thể nằm trong chính nó.")
        if node not in closure:
            found = {node}
            for parent in links.get(node, ()):
                found |= ancestors(parent, (*path, node))
            closure[node] = found
        return closure[node]

    rows_wanted = [(ancestor, node) for node in sorted(wanted) for ancestor in sorted(ancestors(node, ()))]
    Containment.objects.filter(descendant_id__in=wanted).delete()
    Containment.objects.bulk_create(
        [Containment(ancestor_id=ancestor, descendant_id=node) for ancestor, node in rows_wanted], batch_size=2000
    )
    containment.mark_changed()


def set_parents(
    subject: Subject,
    reason: str,
    parents: Iterable[Subject],
    *,
    from_date: date | None = None,
    passage: Passage | None = None,
    rebuild: bool = True,
) -> bool:
    """Let the subject lie in exactly these parents for this reason from from_date on; earlier links are ended.

    Returns whether anything changed. Call inside a transaction.
    """
    wanted = {parent.pk for parent in parents}
    live = {
        link.parent_id: link for link in ParentLink.objects.filter(child=subject, reason=reason, valid_to__isnull=True)
    }
    for parent_id in live.keys() - wanted:
        if from_date is None or live[parent_id].valid_from == from_date:
            live[parent_id].delete()  # never held, or we do not know until when: the operator history keeps the dates
        else:
            live[parent_id].valid_to = from_date
            live[parent_id].save(update_fields=["valid_to"])
    ParentLink.objects.bulk_create(
        [
            ParentLink(child=subject, parent_id=parent_id, reason=reason, valid_from=from_date, passage=passage)
            for parent_id in sorted(wanted - live.keys())
        ]
    )
    changed = wanted != set(live)
    if rebuild and (changed or not Containment.objects.filter(descendant=subject).exists()):
        rebuild_containment([subject.pk])
    return changed


@transaction.atomic
def put_organisation(
    *,
    key: str,
    name: str,
    kind: str,
    parent: Organisation | None = None,
    territory: AdministrativeUnit | None = None,
    address: str = "",
    phone: str = "",
    email: str = "",
    website: str = "",
    note: str = "",
    passage: Passage | None = None,
    version: int | None = None,
    by: Person | None = None,
) -> Organisation:
    """Create the organisation of this key, or bring it to what is said here. Idempotent.

    Raises PlacesError (a circle of parents), ChangedMeanwhile.
    """
    subject, created = Subject.objects.get_or_create(
        key=key, defaults={"kind": Subject.Kind.ORGANISATION, "name": name}
    )
    if subject.kind != Subject.Kind.ORGANISATION:
        raise PlacesError(
            f"Khóa «{key}» đã dùng cho {subject.get_kind_display().lower()} «{subject.name}». Chọn khóa khác."
        )
    fields = {
        "kind": kind, "parent": parent, "territory": territory, "address": address, "phone": phone, "email": email,
        "website": website, "note": note, "passage": passage,
    }  # fmt: skip
    if created:
        organisation = Organisation.objects.create(subject=subject, **fields)
        changed = True
    else:
        require_current(subject, version)
        organisation = Organisation.objects.select_related("subject").get(pk=subject.pk)
        changed = subject.name != name or any(getattr(organisation, name_) != value for name_, value in fields.items())
        if changed:
            for name_, value in fields.items():
                setattr(organisation, name_, value)
            organisation.save()
            subject.name = name
            subject.save(update_fields=["name"])
            touch(subject)
            organisation.subject = subject
            Subject.objects.filter(key=queries.outside_works_key(subject.pk)).update(name=_outside_works_name(name))
    set_parents(subject, ParentLink.Reason.SUBORDINATE, [parent.subject] if parent else [], passage=passage)
    set_parents(subject, ParentLink.Reason.TERRITORY, [territory.subject] if territory else [])
    if changed:
        search_entries.put_organisation(organisation)
        audit.record("places.organisation.saved", actor=by, target=organisation, created=created)
    return organisation


@transaction.atomic
def end_organisation(organisation: Organisation, *, from_date: date, by: Person | None = None) -> None:
    """Record that the organisation is no more from that day on. It stays readable with all that it did. Idempotent."""
    subject = Subject.objects.select_for_update().get(pk=organisation.pk)
    if subject.valid_to == from_date:
        return
    if subject.valid_from is not None and subject.valid_from >= from_date:
        raise PlacesError(
            f"«{subject.name}» hoạt động từ {subject.valid_from:%d/%m/%Y}: ngày kết thúc phải sau ngày đó."
        )
    subject.valid_to = from_date
    subject.save(update_fields=["valid_to"])
    touch(subject)
    organisation.subject = subject
    audit.record("places.organisation.ended", actor=by, target=organisation)


@transaction.atomic
def put_urban_area(
    *,
    key: str,
    name: str,
    commune: AdministrativeUnit,
    former_unit: AdministrativeUnit | None = None,
    note: str = "",
    passage: Passage | None = None,
    by: Person | None = None,
) -> UrbanArea:
    """Create or correct an urban area: a part of today's commune, perhaps a former thị trấn. Idempotent."""
    subject, created = Subject.objects.get_or_create(
        key=key,
        defaults={
            "kind": Subject.Kind.URBAN_AREA, "name": name,
            "latitude": commune.subject.latitude, "longitude": commune.subject.longitude,
        },
    )  # fmt: skip
    if subject.kind != Subject.Kind.URBAN_AREA:
        raise PlacesError(
            f"Khóa «{key}» đã dùng cho {subject.get_kind_display().lower()} «{subject.name}». Chọn khóa khác."
        )
    fields = {"commune": commune, "former_unit": former_unit, "note": note, "passage": passage}
    area, area_created = UrbanArea.objects.get_or_create(subject=subject, defaults=fields)
    changed = created or area_created or subject.name != name
    changed = changed or any(getattr(area, field) != value for field, value in fields.items())
    if changed:
        subject.name = name
        subject.save(update_fields=["name"])
        for field, value in fields.items():
            setattr(area, field, value)
        area.save()
        audit.record("places.urban_area.saved", actor=by, target=area, created=created)
    set_parents(subject, ParentLink.Reason.TERRITORY, [commune.subject])
    if changed:
        search_entries.put_urban_area(area)
    return area


@transaction.atomic
def put_outside_works(whole: Subject, *, by: Person | None = None) -> Subject:
    """Return the subject of what belongs to an organisation or a place but to none of its works. Idempotent.

    Figures about it are summed wherever those of the whole's works are; whoever may read the whole reads it.
    """
    subject, created = Subject.objects.get_or_create(
        key=queries.outside_works_key(whole.pk),
        defaults={"kind": Subject.Kind.OUTSIDE, "name": _outside_works_name(whole.name)},
    )
    if created:
        # In the country too: an organisation may have no territory.
        above = Subject.objects.filter(Q(pk=whole.pk) | Q(kind=Subject.Kind.COUNTRY))
        reason = ParentLink.Reason
        ParentLink.objects.bulk_create(
            [
                ParentLink(
                    child=subject, parent=one,
                    reason=reason.OPERATED_BY if one.kind == Subject.Kind.ORGANISATION else reason.TERRITORY,
                )
                for one in above
            ]
        )  # fmt: skip
        rebuild_containment([subject.pk])
        audit.record("places.outside_works.added", actor=by, target=subject, of=whole.pk)
    return subject


def _outside_works_name(name: str) -> str:
    return f"Không rõ công trình – {name}"[:200]


@transaction.atomic
def put_printed_name(
    subject: Subject,
    text: str,
    *,
    certainty: str = PrintedName.Certainty.STATED,
    note: str = "",
    passage: Passage | None = None,
    by: Person | None = None,
) -> PrintedName:
    """Keep a name under which a document prints the subject. Idempotent."""
    printed, created = PrintedName.objects.update_or_create(
        subject=subject, text=text, passage=passage, defaults={"certainty": certainty, "note": note}
    )
    if created:
        search_entries.refresh(subject)  # whoever types the name as printed finds the subject too
        audit.record("places.printed_name.added", actor=by, target=subject)
    return printed


@transaction.atomic
def give_grant(
    *,
    person: Person,
    role: str,
    scope: Subject,
    field: str = Grant.Field.ALL,
    valid_from: date | None = None,
    valid_to: date | None = None,
    by: Person | None,
) -> Grant:
    """Give a role in a scope. Idempotent for the same role, scope and field that is in force.

    by None is the program itself (installation, demo). Raises PermissionDenied if `by` does not administer the scope,
    PlacesError if the span is empty.
    """
    if by is not None and not access.may_give(by, scope, field):
        raise PermissionDenied("Bạn chỉ giao được quyền trong phạm vi và lĩnh vực mình quản trị.")
    if valid_from and valid_to and valid_to <= valid_from:
        raise PlacesError("Ngày kết thúc quyền phải sau ngày bắt đầu.")
    until = access.borrowed_until(by, scope, field) if by is not None else None
    if until is not None and (role == Grant.Role.ADMIN or valid_to is None or valid_to > until):
        raise PlacesError(
            f"Bạn quản trị nơi này theo ủy quyền đến trước {until:%d/%m/%Y}: chỉ giao được quyền kết thúc chậm nhất "
            "vào ngày đó, và không giao quyền quản trị. Nhờ người đã ủy quyền."
        )
    live = Grant.objects.filter(person=person, role=role, scope=scope, field=field, lent_from__isnull=True).filter(
        Q(valid_to__isnull=True) if valid_to is None else Q(valid_to=valid_to)
    )
    found = live.first()
    if found:
        return found
    extra = {"valid_from": valid_from} if valid_from else {}
    grant = Grant.objects.create(
        person=person, role=role, scope=scope, field=field, valid_to=valid_to, granted_by=by, **extra
    )
    access.forget(person)
    audit.record("places.grant.given", actor=by, target=grant, person=person.pk, role=role, scope=scope.pk, field=field)
    if by is not None:
        notices.notify(
            [person], kind="places.grant", text=f"Bạn được giao vai trò «{grant.get_role_display()}» tại {scope.name}.",
            url=reverse("places:loans"),
        )  # fmt: skip
    return grant


@transaction.atomic
def end_grant(grant: Grant, *, on_date: date, by: Person) -> None:
    """End a grant (from on_date on it no longer holds). One that would not have begun by then is removed."""
    if not access.may_give(by, grant.scope, grant.field):
        raise PermissionDenied("Bạn chỉ kết thúc được quyền trong phạm vi và lĩnh vực mình quản trị.")
    if grant.person_id == by.pk and grant.role == Grant.Role.ADMIN:
        raise PlacesError("Bạn không thể tự bỏ quyền quản trị của chính mình. Nhờ một quản trị viên khác.")
    audit.record("places.grant.ended", actor=by, target=grant, person=grant.person_id, role=grant.role)
    _end(grant, on_date)


@transaction.atomic
def lend_grant(grant: Grant, *, to: Person, valid_from: date, valid_to: date, by: Person) -> Grant:
    """Let somebody stand in for a time. Only the holder lends, only what is theirs, never what was lent to them.

    The loan ends at the latest with the lender's own grant (`access.list_grants`). Raises PlacesError.
    """
    if grant.person_id != by.pk or grant.lent_from_id is not None:
        raise PlacesError("Chỉ người giữ quyền mới được ủy quyền, và không ủy quyền lại quyền được giao tạm.")
    if valid_to <= valid_from:
        raise PlacesError("Ngày kết thúc ủy quyền phải sau ngày bắt đầu.")
    if to.pk == by.pk:
        raise PlacesError("Không cần ủy quyền cho chính mình.")
    if not to.is_active:
        raise PlacesError(f"Tài khoản «{to.username}» đã ngừng hoạt động. Chọn người khác.")
    overlapping = grant.loans.filter(person=to, valid_from__lt=valid_to).exclude(valid_to__lte=valid_from)
    if overlapping.exists():
        raise PlacesError(f"{to.full_name} đã được ủy quyền này trong khoảng ngày trùng. Kết thúc lần cũ trước.")
    loan = Grant.objects.create(
        person=to, role=grant.role, scope=grant.scope, field=grant.field, valid_from=valid_from, valid_to=valid_to,
        granted_by=by, lent_from=grant,
    )  # fmt: skip
    access.forget(to)
    audit.record("places.grant.lent", actor=by, target=loan, person=to.pk, role=grant.role)
    notices.notify(
        [to], kind="places.grant",
        text=f"{by.full_name} ủy quyền cho bạn vai trò «{grant.get_role_display()}» tại {grant.scope.name} "
        f"từ {valid_from:%d/%m/%Y} đến trước {valid_to:%d/%m/%Y}.",
        url=reverse("places:loans"),
    )  # fmt: skip
    return loan


@transaction.atomic
def end_loan(loan: Grant, *, on_date: date, by: Person) -> None:
    """Take back what was lent: from on_date on it no longer holds. The lender does it, or who administers the scope."""
    if loan.lent_from is None:
        raise PlacesError("Đây không phải quyền được ủy tạm thời.")
    if loan.lent_from.person_id != by.pk:
        access.require(by, "administer", loan.scope)
    audit.record("places.loan.ended", actor=by, target=loan, person=loan.person_id, role=loan.role)
    _end(loan, on_date)


def _end(grant: Grant, on_date: date) -> None:
    if grant.valid_from >= on_date:
        grant.delete()
    elif grant.valid_to is None or grant.valid_to > on_date:
        grant.valid_to = on_date
        grant.save(update_fields=["valid_to"])
    access.forget(grant.person)


# --- people


@transaction.atomic
def add_person(
    *,
    username: str,
    full_name: str,
    title: str = "",
    email: str = "",
    phone: str = "",
    role: str = "",
    scope: Subject | None = None,
    field: str = Grant.Field.ALL,
    valid_from: date | None = None,
    valid_to: date | None = None,
    by: Person,
) -> tuple[Person, str]:
    """Create a person with a first grant and return them with a password that is told once and kept nowhere.

    Without a grant only those who administer the whole country may create one: nobody else would see the person.
    Raises PlacesError (name taken, no grant), PermissionDenied.
    """
    access.require(by, "administer")
    if not (role and scope) and not access.sees_everything(by, "administer"):
        raise PlacesError(
            "Chọn vai trò và phạm vi cho người mới: bạn chỉ quản lý được người có quyền trong phạm vi của bạn."
        )
    if Person.objects.filter(username__iexact=username).exists():
        raise PlacesError(f"Đã có người dùng «{username}». Chọn tên đăng nhập khác.")
    password = _make_password()
    person = Person.objects.create_user(username, password, full_name=full_name, title=title, email=email, phone=phone)
    audit.record("core.person.created", actor=by, target=person)
    if role and scope:
        give_grant(person=person, role=role, scope=scope, field=field, valid_from=valid_from, valid_to=valid_to, by=by)
    return person, password


@transaction.atomic
def reset_password(person: Person, *, by: Person) -> str:
    """Give the person a new password, told once. Their sessions end. Raises PermissionDenied."""
    access.require_over(by, person)
    password = _make_password()
    person.set_password(password)
    person.save(update_fields=["password"])
    audit.record("core.person.password_reset", actor=by, target=person)
    return password


@transaction.atomic
def set_active(person: Person, is_active: bool, *, by: Person) -> None:
    """Stop a person's account or open it again. Grants stay, but hold only while the account is active.

    Raises PlacesError (one's own account), PermissionDenied.
    """
    access.require_over(by, person)
    if person.pk == by.pk:
        raise PlacesError("Bạn không thể tự ngừng tài khoản của mình. Nhờ một quản trị viên khác.")
    if person.is_active == is_active:
        return
    person.is_active = is_active
    person.save(update_fields=["is_active"])
    audit.record(f"core.person.{'reactivated' if is_active else 'deactivated'}", actor=by, target=person)


def _make_password() -> str:
    """Return 16 characters in groups of four: 80 bits of chance."""
    return "-".join("".join(secrets.choice(_PASSWORD_ALPHABET) for _ in range(4)) for _ in range(4))
