"""The billing benchmark prints what the contract names; its figures mean nothing at this size."""

import pytest

from machnuoc.bench import common

NAMES = ("sqlite", "postgresql")


@pytest.mark.sqlite
@pytest.mark.slow
def test_the_run_is_measured_against_the_bare_load_and_the_plain_loop():
    report = common.run_on_each("billing", "connections=120,small=30,sample=5", "sqlite", "--only", "run")

    found = {row["metric"]: row for row in report["results"]}
    assert {
        "run_sqlite", "run_vs_orm_sqlite", "run_peak_mb_sqlite", "scaling_exponent_sqlite", "ledger_verify_s_sqlite",
    } <= set(found)  # fmt: skip
    assert found["run_sqlite"]["ratio"] > 0
    assert "120 hóa đơn" in found["run_sqlite"]["note"]


@pytest.mark.slow
@pytest.mark.parametrize("database", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in NAMES])
def test_a_process_killed_in_the_middle_of_issuing_loses_no_bill_doubles_none_and_leaves_no_gap(database):
    report = common.run_on_each("billing", "connections=2533", database, "--only", "billing_kill")

    found = {row["metric"]: row["value"] for row in report["results"]}
    if f"{database}_missing" not in found:
        assert found[f"kill_kills_{database}"] > 0
        lost, doubled, gaps = (found[f"kill_{what}_{database}"] for what in ("lost", "doubled", "gaps"))
        assert (lost, doubled, gaps) == (0, 0, 0)


@pytest.mark.sqlite
@pytest.mark.slow
def test_a_database_in_use_is_not_filled():
    with common.throw_away_database("sqlite") as environment:
        common.run_child("billing", "connections=20,small=10,sample=2", environment, "--only", "run")
        with pytest.raises(common.BenchFailed):
            common.run_child("billing", "connections=20,small=10,sample=2", environment, "--only", "run")
