-- Events that count and came late: their time lies 10 minutes or more before the tick that took them in.
--
-- Key: partition and offset, where the event stands in the log. The process itself keeps it, in every catalogue.
-- time: the tick. late_ms: by how much. For another bound write a view with WHERE late_ms >= n.
CREATE TABLE late_events (
    time TIMESTAMPTZ NOT NULL,
    "partition" INT NOT NULL,
    "offset" BIGINT NOT NULL,
    event_time TIMESTAMPTZ NOT NULL,
    late_ms BIGINT NOT NULL,
    type TEXT NOT NULL,
    event_source TEXT NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY ("partition", "offset")
) WITH (origin = 'system.late_events');
