import pytest
from django.db import connection

from machnuoc.core import audit, statistics
from machnuoc.core.models import AuditEntry


def estimate(model) -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE relname = %s", [model._meta.db_table])
        return cursor.fetchone()[0]


@pytest.mark.django_db
@pytest.mark.postgresql
@pytest.mark.parametrize("models", [(AuditEntry,), ()])
def test_the_planner_knows_what_the_same_transaction_put_in(models):
    for number in range(30):
        audit.record("test.counted", actor=None, number=number)

    statistics.gather(*models)

    assert estimate(AuditEntry) == AuditEntry.objects.count()


@pytest.mark.django_db
@pytest.mark.sqlite
def test_the_embedded_database_counts_too():
    audit.record("test.counted", actor=None)

    statistics.gather(AuditEntry)

    with connection.cursor() as cursor:
        cursor.execute("SELECT stat FROM sqlite_stat1 WHERE tbl = %s", [AuditEntry._meta.db_table])
        assert {row[0].split()[0] for row in cursor.fetchall()} == {str(AuditEntry.objects.count())}
