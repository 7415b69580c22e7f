-- What money is left on each prepaid account.
--
-- Key: account_id, currency. In: bucket_grants (top-ups), bucket_uses, fact_voids. Every top-up, less what was used, expired and
-- reset. A voided top-up gives nothing; a use that fact_voids names never was; a late one counts at once. Below zero: the network let
-- it go on. A corrected top-up takes the place of the one before.
CREATE MATERIALIZED VIEW prepaid_balance WITH (key = 'account_id,currency') AS
SELECT account_id, currency, sum(loaded) AS loaded, sum(taken) AS taken, sum(loaded) - sum(taken) AS balance,
       max(loaded_at) AS last_loaded_at
FROM (
    SELECT account_id, unit AS currency, amount AS loaded, 0.000 AS taken, granted_at AS loaded_at
    FROM bucket_grants
    WHERE event_type LIKE '%topUp%' AND coalesce(state, 'active') <> 'voided' AND unit IN ('EUR', 'GBP', 'CHF', 'USD')
    UNION ALL
    SELECT u.account_id, u.unit, 0, u.amount, NULL
    FROM bucket_uses u
    WHERE u.unit IN ('EUR', 'GBP', 'CHF', 'USD')
      AND NOT EXISTS (SELECT 1 FROM fact_voids v WHERE v.supersedes = u.event_id)
) p
WHERE account_id IS NOT NULL
GROUP BY account_id, currency;
