"""Money is shared out oldest bill first, to the đồng."""

from hypothesis import given
from hypothesis import strategies as st

from machnuoc.billing.allocation import Owed, Share, Source, share_out

AMOUNTS = st.lists(st.integers(0, 10_000_000), max_size=8)


@given(AMOUNTS, AMOUNTS)
def test_either_every_bill_is_paid_or_every_source_is_used_up(left, owed):
    shares = share_out([Source(i, v) for i, v in enumerate(left)], [Owed(i, v) for i, v in enumerate(owed)])

    given_vnd = [sum(one.amount_vnd for one in shares if one.source == i) for i in range(len(left))]
    taken_vnd = [sum(one.amount_vnd for one in shares if one.bill == i) for i in range(len(owed))]
    assert all(one.amount_vnd > 0 for one in shares)
    assert all(a <= b for a, b in zip(given_vnd, left, strict=True))
    assert all(a <= b for a, b in zip(taken_vnd, owed, strict=True))
    assert sum(taken_vnd) == min(sum(left), sum(owed))


@given(AMOUNTS, AMOUNTS)
def test_a_younger_bill_waits_until_the_older_ones_are_paid(left, owed):
    shares = share_out([Source(i, v) for i, v in enumerate(left)], [Owed(i, v) for i, v in enumerate(owed)])

    last = max((one.bill for one in shares), default=0)
    for bill in range(last):
        assert sum(one.amount_vnd for one in shares if one.bill == bill) == owed[bill]


def test_one_dong_short_leaves_one_dong_open():
    assert share_out([Source(1, 104_999)], [Owed(9, 105_000)]) == [Share(1, 9, 104_999)]
