import pytest

from machnuoc.bench import rollup
from machnuoc.telemetry import archive, store


@pytest.mark.django_db(transaction=True)
def test_a_small_measurement_gives_every_figure(clean_store, settings, tmp_path):
    if store.is_postgresql():
        settings.DATA_DIR = tmp_path
    with store.transaction() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_hour")

    report = rollup.measure(rollup.Size(channels=2, days=2, interval_s=300, latest=3))

    on = "postgresql" if store.is_postgresql() else "sqlite"
    values = {row["metric"]: row["value"] for row in report["results"]}
    for name in ("chart_30d", "latest_10k", "hourly_90d", "archive_90d", "archive_bytes_per_reading"):
        assert values[f"{name}_{on}"] > 0
    with store.transaction() as cursor:
        cursor.execute("DROP TABLE bench_hour")
    for path in archive.folder().glob("*.parquet"):
        path.unlink()
