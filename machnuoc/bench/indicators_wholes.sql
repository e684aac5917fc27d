-- Every province by the sums of its communes, the country by the sums of its provinces.
WITH {plan},
size AS (
    SELECT ancestor_id, COUNT(*) AS parts_total FROM places_containment
    JOIN places_administrativeunit commune ON commune.subject_id = descendant_id
    WHERE commune.level = 'COMMUNE' AND commune.is_in_force GROUP BY ancestor_id
),
province AS (
    SELECT plan.metric_id, unit.parent_id AS subject_id, part.period_start,
        CAST(SUM(part.number) AS BIGINT) AS part, CAST(SUM(whole.number) AS BIGINT) AS whole,
        MAX({larger}(part.state, whole.state)) AS state, COUNT(*) AS parts_present
    FROM plan
    JOIN indicators_value part ON part.metric_id = plan.part_id AND part.period_kind = 'M' AND part.scenario = 'A'
        AND part.period_start >= '{from_date}' AND part.period_start < '{to_date}'
    JOIN indicators_value whole ON whole.metric_id = plan.whole_id AND whole.period_kind = 'M'
        AND whole.period_start = part.period_start AND whole.scenario = 'A' AND whole.subject_id = part.subject_id
    JOIN places_administrativeunit unit ON unit.subject_id = part.subject_id
    WHERE part.number IS NOT NULL AND whole.number IS NOT NULL
    GROUP BY plan.metric_id, part.period_start, unit.parent_id
),
summed AS (
    SELECT * FROM province
    UNION ALL
    SELECT metric_id, (SELECT id FROM places_subject WHERE kind = 'COUNTRY'), period_start, CAST(SUM(part) AS BIGINT),
        CAST(SUM(whole) AS BIGINT), MAX(state), CAST(SUM(parts_present) AS BIGINT)
    FROM province GROUP BY metric_id, period_start
)

INSERT INTO indicators_value (metric_id, subject_id, period_kind, period_start, scenario, number, low_open, high_open,
    band_id, state, numerator, denominator, parts_present, parts_total, formula_id, version, computed_at)

SELECT metric_id, subject_id, 'M', period_start, 'A', number, FALSE, FALSE,
    CASE WHEN number <= 5000 THEN band_1 WHEN number < 7500 THEN band_2 WHEN number <= 9000 THEN band_3 ELSE band_4 END,
    state, part, whole, parts_present, parts_total, formula_id, 1, '{now}'

FROM (
    SELECT plan.*, summed.subject_id, period_start, part, whole, state, parts_present, parts_total,
        (part * 20000 + whole) / (whole * 2) AS number
    FROM summed JOIN plan ON plan.metric_id = summed.metric_id JOIN size ON size.ancestor_id = summed.subject_id
    WHERE whole <> 0
) AS computed
