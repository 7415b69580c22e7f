-- What visitors and customers did in the shop, as known now: views, searches, carts, ratings, clicks.
--
-- Key: event_id. In: visits_told. A voided event is gone; a correction takes the place of what it corrects. A late event stands
-- at the time when it happened.
CREATE VIEW visits AS
SELECT event_id, session_id, customer_id, visitor, kind, offering_id, happened_at, recorded_at
FROM visits_told
WHERE voided_at IS NULL;
