from pathlib import Path

import pytest

from machnuoc.bench import common, indicators


def test_a_size_is_named_or_spelled_out():
    assert common.read_size("", indicators.SIZES) == indicators.SIZES["full"]
    assert common.read_size("small", indicators.SIZES) == indicators.SIZES["small"]
    assert common.read_size("communes=300,months=6", indicators.SIZES) == indicators.Size(300, 20, 6)


@pytest.mark.parametrize("text", ["huge", "communes", "communes=0", "communes=-1", "villages=5", "communes=3,"])
def test_an_odd_size_is_refused_in_words(text):
    with pytest.raises(common.BenchFailed, match="Không hiểu cỡ"):
        common.read_size(text, indicators.SIZES)


def test_a_row_says_what_it_is_held_against_and_why_a_figure_is_missing():
    held = common.Result("figures_sqlite", 2.0, "s", "câu SQL", 1.23456, 3.0).as_row()
    missing = common.Result("lineage_ms_sqlite", None, "ms", note="chưa có").as_row()

    assert held == {
        "metric": "figures_sqlite", "value": 2.0, "unit": "s", "against": "câu SQL", "ratio": 1.235, "limit": 3.0,
    }  # fmt: skip
    assert missing["value"] is None
    assert missing["note"] == "chưa có"


def test_the_peak_of_memory_counts_what_is_freed_again_before_the_end():
    peak_mb = common.peak_mb_above_idle(lambda: len(bytearray(64 * 1024 * 1024)))

    assert 60 <= peak_mb <= 80


def test_a_throw_away_database_leaves_nothing_behind():
    with common.throw_away_database("sqlite") as environment:
        data_dir = Path(environment["MACHNUOC_DATA_DIR"])
        (data_dir / "something").write_text("x")
        assert "MACHNUOC_DATABASE_URL" not in environment

    assert not data_dir.exists()


@pytest.mark.postgresql
def test_a_server_for_measuring_keeps_what_was_committed_through_a_crash():
    import psycopg

    with common.throw_away_database("postgresql") as environment:
        url = environment["MACHNUOC_DATABASE_URL"]
        with psycopg.connect(url) as connection:
            kept = {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in ("fsync", "synchronous_commit")}
        home = Path(url.partition("host=")[2])
        assert home.exists()

    assert kept == {"fsync": "on", "synchronous_commit": "on"}
    assert not home.exists()
