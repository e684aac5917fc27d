-- Every commune: one measure over another, rounded half up to two decimals of a per cent, with its band.
WITH {plan}
INSERT INTO indicators_value (metric_id, subject_id, period_kind, period_start, scenario, number, low_open, high_open,
    band_id, state, numerator, denominator, parts_present, parts_total, formula_id, version, computed_at)

SELECT metric_id, subject_id, 'M', period_start, 'A', number, FALSE, FALSE,
    CASE WHEN number <= 5000 THEN band_1 WHEN number < 7500 THEN band_2 WHEN number <= 9000 THEN band_3 ELSE band_4 END,
    state, part, whole, parts_present, parts_total, formula_id, 1, '{now}'

FROM (
    SELECT plan.*, part.subject_id, part.period_start, part.number AS part, whole.number AS whole,
        {larger}(part.state, whole.state) AS state, 1 AS parts_present, 1 AS parts_total,
        (part.number * 20000 + whole.number) / (whole.number * 2) AS number
    FROM plan
    JOIN indicators_value part ON part.metric_id = plan.part_id AND part.period_kind = 'M' AND part.scenario = 'A'
        AND part.period_start >= '{from_date}' AND part.period_start < '{to_date}'
    JOIN indicators_value whole ON whole.metric_id = plan.whole_id AND whole.period_kind = 'M'
        AND whole.period_start = part.period_start AND whole.scenario = 'A' AND whole.subject_id = part.subject_id
    WHERE part.number IS NOT NULL AND whole.number <> 0
) AS computed
