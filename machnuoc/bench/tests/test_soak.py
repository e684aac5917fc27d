import pytest

from machnuoc.bench import common, soak


def test_growth_is_the_slope_after_the_warm_up_and_noise_does_not_count():
    samples = [
        (float(at_s), {"ingest": (20.0 * at_s if at_s < 60 else 1200.0 + at_s / 3600 * 12) + at_s % 2})
        for at_s in range(0, 600, 2)
    ]

    growth_mb_h, most_mb = soak.grown(samples, "ingest")

    assert growth_mb_h == pytest.approx(12, abs=0.5)
    assert most_mb == pytest.approx(1202, abs=1)


def test_a_process_that_died_is_named():
    with pytest.raises(common.BenchFailed, match="watch"):
        soak.grown([(float(at_s), {"ingest": 100.0}) for at_s in range(20)], "watch")
