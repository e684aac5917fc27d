"""What the search box of the task list knows of tasks."""

from collections import defaultdict
from collections.abc import Sequence

from django.urls import reverse

from machnuoc.core import search
from machnuoc.core.models import SearchEntry
from machnuoc.planning.models import Task, TaskUnit

TASK = "task"
_AT_ONCE = 1_000


def put_tasks(tasks: Sequence[Task]) -> None:
    """Index tasks under their content, product, section and the names of their units, 1,000 at a time."""
    for start in range(0, len(tasks), _AT_ONCE):
        rows = tasks[start : start + _AT_ONCE]
        names: dict[int, list[str]] = defaultdict(list)
        units = TaskUnit.objects.filter(task__in=[row.pk for row in rows])
        for task_id, *said in units.values_list("task_id", "name_as_printed", "organisation__subject__name"):
            names[task_id] += [text for text in said if text]
        search.put_many(
            search.Entry(
                TASK,
                row.pk,
                title=row.content[:300],
                subtitle=row.section,
                url=reverse("planning:task_detail", args=[row.key]),
                text=" ".join([row.number, row.section, row.content, row.product, *dict.fromkeys(names[row.pk])]),
                subject_id=row.subject_id,
                weight=5,
            )
            for row in rows
        )


def remove_tasks(task_ids: Sequence[int]) -> None:
    for start in range(0, len(task_ids), _AT_ONCE):
        SearchEntry.objects.filter(kind=TASK, object_id__in=task_ids[start : start + _AT_ONCE]).delete()
