-- Attempts that try an earlier payment again, with the first of their chain and how far they are from it.
--
-- Key: payment_id. In: payment_states. An attempt whose predecessor comes late moves to that one's chain when it does. A
-- payment that is voided stays in its chain: it was tried.
CREATE MATERIALIZED VIEW payment_chains WITH (key = 'payment_id') AS
WITH RECURSIVE back (payment_id, earlier, tries) AS (
    SELECT payment_id, retry_of, 1 FROM payment_states WHERE retry_of IS NOT NULL
    UNION
    SELECT b.payment_id, p.retry_of, b.tries + 1
    FROM back b
    JOIN payment_states p ON p.payment_id = b.earlier
    WHERE p.retry_of IS NOT NULL AND b.tries < 100
)
SELECT payment_id, arg_max(earlier, tries) AS first_payment_id, max(tries) + 1 AS tries
FROM back
GROUP BY payment_id;
