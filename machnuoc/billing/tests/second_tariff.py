"""The written rule of docs/algorithms/tariff.md once more, by someone who has not seen the first: exact fractions.

Other structure on purpose: parts are peeled off recursively, and a block is what lies above its lower edge less what
lies above its upper one. Plain tuples, so that a million cases take seconds.
"""

from fractions import Fraction


def nearest(value: Fraction) -> int:
    """The nearest whole number, halves up."""
    whole, beyond = divmod(value.numerator, value.denominator)
    return whole + (2 * beyond >= value.denominator)


def peel(total: int, weights: tuple[int, ...]) -> tuple[int, ...]:
    if len(weights) == 1:
        return (total,)
    before = nearest(total * Fraction(sum(weights[:-1]), sum(weights)))
    return (*peel(before, weights[:-1]), total - before)


def bill(volume_l, parts, tariffs):
    """Return (net, vat, fee, lines) or the name of the problem.

    parts: [(days, tariff_id, households, persons, [(group, pct, fee_bp)])]
    tariffs: {id: (includes_vat, vat_bp, minimum_l, {group: (structure, [(upper_l or None, price)])})}
    lines: [(tariff_id, group, block, volume_l, amount_vnd)]
    """
    if volume_l < 0:
        return "NEGATIVE"
    if any(sum(pct for _, pct, _ in part[4]) != 100 for part in parts):
        return "BAD_SHARES"
    days = tuple(part[0] for part in parts)
    lines = []
    treatments = {}
    volumes = peel(volume_l, days)
    for number, (_, tariff_id, households, persons, shares) in enumerate(parts):
        if tariff_id not in tariffs:
            return "NO_TARIFF"
        includes_vat, vat_bp, minimum_l, groups = tariffs[tariff_id]
        volume = volumes[number]
        if minimum_l and households >= 2:
            volume = max(volume, peel(minimum_l * households, days)[number])
        amounts = (volume,) if len(shares) == 1 else peel(volume, tuple(pct for _, pct, _ in shares))
        for (group, _, fee_bp), mine in zip(shares, amounts, strict=True):
            if group not in groups:
                return "NO_TARIFF"
            structure, steps = groups[group]
            times = persons if structure == "BLOCK_PER_PERSON" else households
            if structure == "FLAT":
                times = 1
            elif times == 0:
                return "NO_PERSONS"
            above = mine
            money = 0
            for block, (upper_l, price) in enumerate(steps, start=1):
                higher = 0 if upper_l is None else max(0, mine - peel(upper_l * times, days)[number])
                if above > higher:
                    amount = nearest(Fraction((above - higher) * price, 1000))
                    lines.append((tariff_id, group, block, above - higher, amount))
                    money += amount
                above = higher
            if above:
                return "NO_TARIFF"
            key = (includes_vat, vat_bp, fee_bp)
            treatments[key] = treatments.get(key, 0) + money
    net = vat = fee = 0
    for (includes_vat, vat_bp, fee_bp), money in treatments.items():
        before_tax = nearest(money / (1 + Fraction(vat_bp, 10_000))) if includes_vat else money
        net += before_tax
        vat += money - before_tax if includes_vat else nearest(money * Fraction(vat_bp, 10_000))
        fee += nearest(before_tax * Fraction(fee_bp, 10_000))
    return net, vat, fee, lines
