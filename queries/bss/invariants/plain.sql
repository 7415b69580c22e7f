-- Holds where nothing is late, corrected or malformed: what the preview says of a period is what was billed.
CREATE MATERIALIZED VIEW inv_preview_is_bill AS
SELECT account_id, period_start, currency, due_now, billed FROM carried_forward WHERE carry <> 0;
