-- Records that do not count, why, and what was decided about them since.
--
-- Key: id, ascending in the order in which they were met. The process itself keeps it, in every catalogue.
-- rule: json, specversion, attribute, extension, time, data, type, column, size, conflict, future.
-- payload: the first 4,096 bytes of the record as text; GET /api/v1/quarantine/{id} has all of it. size: all its bytes.
-- state: pending, replayed, failed_again (outcome says why), superseded (the same event counts by another way), discarded;
-- settled: when that was decided.
CREATE TABLE quarantine (
    id BIGINT PRIMARY KEY,
    time TIMESTAMPTZ NOT NULL,
    "partition" INT NOT NULL,
    "offset" BIGINT NOT NULL,
    rule TEXT NOT NULL,
    reason TEXT NOT NULL,
    event_id TEXT,
    event_source TEXT,
    type TEXT,
    payload TEXT NOT NULL,
    size BIGINT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    settled TIMESTAMPTZ
) WITH (origin = 'system.quarantine');
