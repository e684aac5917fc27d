"""The tasks of the five plans as data: counts, references, printed words."""

import re
from collections import Counter

import pytest

from machnuoc.core.models import Passage
from machnuoc.demo.planning import read_tasks, tasks
from machnuoc.planning import task_operations
from machnuoc.planning.models import Task, TaskUnit

COUNTS = {"quang_ngai": 21, "cao_bang": 51, "cam_tan": 6, "lai_chau": 67, "khanh_hoa": 22}


@pytest.mark.parametrize("folder", COUNTS)
def test_the_tasks_of_a_plan_are_read(folder):
    rows = read_tasks.list_tasks(folder)

    assert len(rows) == COUNTS[folder]
    assert all(row.key.startswith(f"{read_tasks.PLANS[folder][0]}.") for row in rows)
    assert max(Counter(row.key for row in rows).values()) == 1
    for row in rows:
        assert row.content == row.content.strip()
        assert (row.lead_basis == "") == (not row.leads), row.key
        assert row.timing != "BY_DATE" or row.due_on is not None, row.key


def test_appendix_2_of_quang_ngai_is_seven_tasks_as_printed():
    rows = [row for row in read_tasks.list_tasks("quang_ngai") if row.key.startswith("qn.79-2026.phu-luc-2.")]

    assert [row.number for row in rows] == list("1234567")
    assert [row.timing_as_printed for row in rows] == [
        "Thường xuyên", "Thường xuyên", "Trước 31/12/2026", "Năm 2026", "Thường xuyên", "Năm 2026",
        "Định kỳ, đột xuất",
    ]  # fmt: skip
    assert str(rows[2].due_on) == "2026-12-30"  # «trước» leaves the day itself out
    assert rows[5].product.startswith("Hoàn thành 02 nhiệm vụ chuyển đổi số, gồm: (i)")
    assert [unit.printed for unit in rows[5].cooperating][-1] == "các đơn vị công nghệ (VNPT/Viettel...)"


def test_a_file_that_contradicts_itself_is_refused():
    row = dict.fromkeys(read_tasks.PlanTask.__dataclass_fields__, "") | {
        "lead_keys": "a;b", "lead_printed": "A", "cooperate_keys": "", "cooperate_printed": "", "timing": "AD_HOC",
    }  # fmt: skip
    for changed, told in (({}, "không bằng nhau"), ({"timing": "X"}, "thời gian"), ({"lead_basis": "x"}, "căn cứ")):
        with pytest.raises(read_tasks.BadTaskFile, match=told):
            read_tasks._read(row | changed, "thử, dòng 2")


@pytest.mark.usefixtures("demo_data", "db")
class TestLoaded:
    def test_every_task_stands_in_a_passage_that_holds_its_words(self):
        wrong = []
        for task in Task.objects.select_related("passage"):
            words = re.sub(r"\W+", "", task.content)[:50]
            if task.passage is None or words not in re.sub(r"\W+", "", task.passage.text):
                wrong.append(task.key)

        assert Task.objects.count() == sum(COUNTS.values())
        assert wrong == []
        assert Passage.objects.filter(document__key="doc.kh.1355").exists()

    def test_every_printed_key_of_a_unit_is_an_organisation(self):
        known = set(TaskUnit.objects.values_list("organisation__subject__key", flat=True))
        named = {
            unit.key
            for folder in COUNTS
            for row in read_tasks.list_tasks(folder)
            for unit in (*row.leads, *row.cooperating)
            if unit.key and not unit.key.startswith("group:")
        }

        assert named - known == set()

    def test_all_29_stations_stand_behind_the_printed_group(self):
        leads = TaskUnit.objects.filter(task__key="qn.79-2026.phu-luc-2.2", role="LEAD")

        assert leads.filter(organisation__isnull=True).get().name_as_printed == "Các Trạm cấp nước"
        assert leads.filter(organisation__isnull=False).count() == 29

    def test_loading_again_changes_nothing_and_leaves_alone_what_people_changed(self):
        task = Task.objects.get(key="qn.79-2026.phu-luc-2.4")
        task_operations.put_task(
            key=task.key, content="Đổi bởi người dùng", subject=task.subject, plan=task.plan, units=[]
        )
        units = TaskUnit.objects.count()

        tasks.load_tasks(None)  # type: ignore[arg-type]

        task.refresh_from_db()
        assert (task.content, task.version) == ("Đổi bởi người dùng", 2)
        assert TaskUnit.objects.count() == units
        assert not Task.objects.exclude(pk=task.pk).filter(version__gt=1).exists()
