-- What events that came late changed: a row for each tick that took some and each view that the tick changed.
--
-- Key: time, the tick, and view. events: how many came late; late_ms: by how much at most. added, withdrawn: rows of the view that
-- came and went with the tick. The process itself keeps it, in every catalogue. Rows come some seconds after their tick; where very
-- many come at once, those of a view are one, with the last tick and the sums.
CREATE TABLE late_changes (
    time TIMESTAMPTZ NOT NULL,
    view TEXT NOT NULL,
    events BIGINT NOT NULL,
    late_ms BIGINT NOT NULL,
    added BIGINT NOT NULL,
    withdrawn BIGINT NOT NULL,
    PRIMARY KEY (time, view)
) WITH (origin = 'system.late_changes');
