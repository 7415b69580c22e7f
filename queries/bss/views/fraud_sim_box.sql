-- F7: SIM cards that a machine calls from, to bring calls into the network past its gateway.
--
-- Key: msisdn, day. In: calls, usage_records, resource_history, number_owners. A number with 80 outgoing calls or more on a
-- day (UTC) is weighed: each called number hardly ever twice (0.9 different) 0.25, hardly any incoming (0.05) 0.2, two cells
-- or fewer 0.15, a third or more at night (22:00 to 06:00) 0.1, no messages or data 0.1, 3 IMSIs or more on its device that
-- day 0.1, a SIM card younger than 30 days 0.1. A hit at 0.7. Late calls count on their own day; voided and corrected ones may
-- take the hit back.
CREATE MATERIALIZED VIEW fraud_sim_box WITH (key = 'msisdn,day') AS
WITH days AS (
    SELECT msisdn, started_at::date AS day, max(customer_id) AS customer_id, max(imei) AS imei, max(started_at) AS happened_at,
           count(*) FILTER (WHERE direction = 'out') AS outgoing, count(DISTINCT b_party) FILTER (WHERE direction = 'out') AS called,
           count(*) FILTER (WHERE direction = 'in') AS incoming, count(DISTINCT cell_id) AS cells,
           count(*) FILTER (WHERE direction = 'out' AND (extract(hour FROM started_at) >= 22 OR extract(hour FROM started_at) < 6)) AS at_night
    FROM calls
    WHERE msisdn IS NOT NULL
    GROUP BY msisdn, started_at::date
    HAVING count(*) FILTER (WHERE direction = 'out') >= 80
), devices AS (
    SELECT imei, started_at::date AS day, count(DISTINCT imsi) AS imsis FROM calls WHERE imei IS NOT NULL GROUP BY imei, started_at::date
), others AS (
    SELECT msisdn, used_at::date AS day, count(*) AS records FROM usage_records
    WHERE usage_type <> 'voice' AND msisdn IS NOT NULL GROUP BY msisdn, used_at::date
), cards AS (
    SELECT msisdn, min(coalesce(effective_at, changed_at)) AS since FROM resource_history WHERE msisdn IS NOT NULL GROUP BY msisdn
), weighed AS (
    SELECT d.msisdn, d.day, d.customer_id, d.happened_at, d.outgoing, d.called, d.incoming, d.cells, d.at_night,
           coalesce(o.records, 0) AS messages_and_data, coalesce(v.imsis, 0) AS imsis_on_device, d.day - c.since::date AS card_days,
           CASE WHEN d.called * 10 >= d.outgoing * 9 THEN 0.25 ELSE 0.0 END AS from_called,
           CASE WHEN d.incoming * 20 <= d.outgoing THEN 0.2 ELSE 0.0 END AS from_incoming,
           CASE WHEN d.cells <= 2 THEN 0.15 ELSE 0.0 END AS from_cells,
           CASE WHEN d.at_night * 3 >= d.outgoing THEN 0.1 ELSE 0.0 END AS from_night,
           CASE WHEN coalesce(o.records, 0) <= 1 THEN 0.1 ELSE 0.0 END AS from_silence,
           CASE WHEN v.imsis >= 3 THEN 0.1 ELSE 0.0 END AS from_device,
           CASE WHEN d.day - c.since::date < 30 THEN 0.1 ELSE 0.0 END AS from_age
    FROM days d
    LEFT JOIN devices v ON v.imei = d.imei AND v.day = d.day
    LEFT JOIN others o ON o.msisdn = d.msisdn AND o.day = d.day
    LEFT JOIN cards c ON c.msisdn = d.msisdn
)
SELECT 'F7' AS rule_id, 1 AS rule_version, 'msisdn/' || w.msisdn AS pivot, coalesce(w.customer_id, n.customer_id) AS customer_id, w.msisdn, day, happened_at,
       outgoing, 80 AS outgoing_min, called, incoming, cells, at_night, messages_and_data, imsis_on_device, card_days,
       from_called, from_incoming, from_cells, from_night, from_silence, from_device, from_age,
       from_called + from_incoming + from_cells + from_night + from_silence + from_device + from_age AS score, 0.7 AS score_min,
       'msisdn/' || w.msisdn || ' on ' || day::text AS evidence
FROM weighed w
LEFT JOIN number_owners n ON n.msisdn = w.msisdn
WHERE from_called + from_incoming + from_cells + from_night + from_silence + from_device + from_age >= 0.7;
