"""The closure, organisations, urban areas and printed names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from machnuoc.core import search
from machnuoc.core.models import AuditEntry, SearchEntry
from machnuoc.places import operations
from machnuoc.places.models import Containment, Organisation, ParentLink, PrintedName, Subject, UrbanArea


def naive_closure() -> set[tuple[int, int]]:
    """Return who lies in whom by plain recursion over the live links."""
    parents: dict[int, list[int]] = {}
    for child, parent in ParentLink.objects.filter(valid_to=None).values_list("child_id", "parent_id"):
        parents.setdefault(child, []).append(parent)

    def ancestors(node: int) -> set[int]:
        return {node}.union(*(ancestors(parent) for parent in parents.get(node, [])))

    return {(above, node) for node in Subject.objects.values_list("pk", flat=True) for above in ancestors(node)}


# Each node may have any number of earlier nodes as parents: any graph without a circle.
graphs = st.integers(2, 9).flatmap(
    lambda size: st.tuples(
        *(st.sets(st.integers(0, max(node - 1, 0)), max_size=min(3, node)) for node in range(size)),
    )
)


class ClosureProperty(TestCase):
    @given(graphs, graphs, st.lists(st.integers(0, 8), min_size=1, max_size=3))
    @settings(max_examples=25, deadline=None)
    def test_a_rebuild_after_moves_equals_naive_recursion(self, first, second, moved):
        subjects = [
            Subject.objects.create(kind=Subject.Kind.ORGANISATION, key=f"org.{number}", name=str(number))
            for number in range(len(first))
        ]
        for number, parents in enumerate(first):
            operations.set_parents(
                subjects[number], "SUBORDINATE", [subjects[parent] for parent in parents if parent != number]
            )
        self.assertEqual(closure(), naive_closure())

        for number in moved:
            if number < min(len(first), len(second)):
                above = [subjects[parent] for parent in second[number] if parent != number]
                operations.set_parents(subjects[number], "SUBORDINATE", above)

        self.assertEqual(closure(), naive_closure())


def closure() -> set[tuple[int, int]]:
    return set(Containment.objects.values_list("ancestor_id", "descendant_id"))


pytestmark = pytest.mark.django_db


def test_an_organisation_cannot_be_put_below_itself(water_centre, station):
    with pytest.raises(operations.PlacesError, match="vòng"):
        operations.put_organisation(
            key="org.qn.trung-tam", name="Trung tâm Nước sạch Quảng Ngãi", kind="CENTRE", parent=station
        )

    assert Organisation.objects.get(pk=water_centre.pk).parent is None
    assert closure() == naive_closure()


def test_a_moved_organisation_takes_all_below_it_along(station, water_centre, cao_bang_operator):
    operations.put_organisation(
        key="org.qn.trung-tam", name="Trung tâm", kind="CENTRE", parent=cao_bang_operator, territory=None
    )

    above = set(Containment.objects.filter(descendant=station.subject).values_list("ancestor__key", flat=True))

    assert above == {"org.qn.nghia-phu", "org.qn.trung-tam", "org.cb.cap-nuoc", "thu.cao-bang", "vn"}


def test_putting_the_same_organisation_again_changes_nothing(station, water_centre):
    entries = AuditEntry.objects.count()

    again = operations.put_organisation(
        key="org.qn.nghia-phu", name="Trạm Nghĩa Phú", kind="STATION", parent=water_centre, phone="0255 123 456"
    )

    assert again.subject.version == 1
    assert AuditEntry.objects.count() == entries


def test_the_second_of_two_editors_is_told_and_nothing_is_overwritten(station, water_centre):
    seen = station.subject.version
    order = {"key": "org.qn.nghia-phu", "name": "Trạm Nghĩa Phú", "kind": "STATION", "parent": water_centre}
    operations.put_organisation(**order, phone="111", version=seen)

    with pytest.raises(operations.ChangedMeanwhile, match="vừa được người khác sửa"):
        operations.put_organisation(**order, phone="222", version=seen)

    assert Organisation.objects.get(pk=station.pk).phone == "111"


def test_a_key_of_another_kind_is_refused(quang_ngai):
    with pytest.raises(operations.PlacesError, match="đã dùng cho đơn vị hành chính «Quảng Ngãi»"):
        operations.put_organisation(key="thu.quang-ngai", name="Tỉnh", kind="AUTHORITY")


def test_an_ended_link_is_kept_with_its_dates(station, water_centre, cao_bang_operator):
    from datetime import date

    link = ParentLink.objects.get(child=station.subject, reason="SUBORDINATE")
    ParentLink.objects.filter(pk=link.pk).update(valid_from=date(2020, 1, 1))

    operations.set_parents(station.subject, "SUBORDINATE", [cao_bang_operator.subject], from_date=date(2026, 1, 1))

    old = ParentLink.objects.get(pk=link.pk)
    assert (old.valid_from, old.valid_to) == (date(2020, 1, 1), date(2026, 1, 1))
    assert closure() == naive_closure()


def test_two_urban_areas_can_lie_in_one_commune(nghia_phu):
    for key, name in (("urban.a", "Khu thị trấn Tà Lùng cũ"), ("urban.b", "Khu thị trấn Hòa Thuận cũ")):
        operations.put_urban_area(key=key, name=name, commune=nghia_phu)
        operations.put_urban_area(key=key, name=name, commune=nghia_phu)

    assert UrbanArea.objects.filter(commune=nghia_phu).count() == 2
    assert Containment.objects.filter(ancestor=nghia_phu.subject, descendant__kind="URBAN_AREA").count() == 2
    assert AuditEntry.objects.filter(action="places.urban_area.saved").count() == 2


def test_a_name_as_printed_finds_the_subject(nghia_phu, station):
    operations.put_printed_name(nghia_phu.subject, "xã Nghiã Phở", certainty="apparent", note="Lỗi quét")
    operations.put_printed_name(nghia_phu.subject, "xã Nghiã Phở", certainty="apparent", note="Lỗi quét")
    operations.put_printed_name(station.subject, "Trạm Cổ Lũy")

    assert PrintedName.objects.filter(subject=nghia_phu.subject).count() == 1
    assert list(search.matching_ids("unit", "nghia pho")) == [nghia_phu.pk]
    assert list(search.matching_ids("organisation", "co luy")) == [station.pk]
    assert SearchEntry.objects.get(kind="unit").title == "Xã Nghĩa Phú"


def test_every_act_reads_as_a_sentence(admin, make_person, station):
    from django.utils import timezone

    from machnuoc.core import audit

    clerk = make_person("can-bo")
    grant = operations.give_grant(person=clerk, role="STATION", scope=station.subject, by=admin)
    entry = AuditEntry.objects.get(action="places.grant.given", actor=admin)

    sentence = audit.sentence(entry)
    operations.end_grant(grant, on_date=timezone.localdate(), by=admin)

    assert sentence == "Người quan-tri giao quyền: Trạm cấp nước của Người can-bo tại Trạm Nghĩa Phú"
