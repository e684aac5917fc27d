import numpy as np
import pytest

from machnuoc.bench import common, soak


def test_growth_is_the_slope_after_the_warm_up_and_noise_does_not_count():
    samples = [
        (float(at_s), {"ingest": (20.0 * at_s if at_s < 60 else 1200.0 + at_s / 3600 * 12) + at_s % 2})
        for at_s in range(0, 600, 2)
    ]

    growth_mb_h, most_mb = soak.grown(samples, "ingest", 60)

    assert growth_mb_h == pytest.approx(12, abs=0.5)
    assert most_mb == pytest.approx(1202, abs=1)


def test_a_cache_that_fills_slows_down_and_a_leak_does_not():
    caches = [(float(at_s), {"watch": 20 * (1 - np.exp(-at_s / 200))}) for at_s in range(0, 1200, 2)]
    leak = [(float(at_s), {"watch": at_s / 60}) for at_s in range(0, 1200, 2)]

    assert soak.grown(caches, "watch", 900)[0] < 0.5 * soak.grown(caches, "watch", 600)[0]
    assert [soak.grown(leak, "watch", after_s)[0] for after_s in (600, 900)] == pytest.approx([60, 60])


def test_a_process_that_died_is_named():
    with pytest.raises(common.BenchFailed, match="watch"):
        soak.grown([(float(at_s), {"ingest": 100.0}) for at_s in range(20)], "watch", 4)
