-- The queue is one for each rule: what waits for a slow rule stands in nobody else's way.
DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (rule, due, seq) WHERE state = 'waiting' AND held = 0;

-- Of a delivery that waits until its rule has been left alone for a while: when the first of those came that it stands
-- for. It is in no lane yet. Null: its wait is over, or it had none.
ALTER TABLE deliveries ADD COLUMN debounced_since INTEGER;
-- What becomes of it if its lane is busy when its wait is over.
ALTER TABLE deliveries ADD COLUMN lane_overlap TEXT;
CREATE INDEX deliveries_debounced ON deliveries (rule, lane) WHERE state = 'waiting' AND debounced_since IS NOT NULL;
DROP INDEX deliveries_lane;
CREATE INDEX deliveries_lane ON deliveries (lane, held, seq)
    WHERE lane IS NOT NULL AND state = 'waiting' AND debounced_since IS NULL;

-- Of a delivery of a rule's `on_failure` actions: the id of the delivery that failed. It is never itself a dead letter.
ALTER TABLE deliveries ADD COLUMN failure_of TEXT;
DROP INDEX deliveries_dead;
CREATE INDEX deliveries_dead ON deliveries (ended_at) WHERE state = 'dead' AND failure_of IS NULL;

-- What it is told of the failure.
CREATE TABLE failures (
    delivery    INTEGER PRIMARY KEY REFERENCES deliveries (seq) ON DELETE CASCADE,
    action      TEXT    NOT NULL,       -- name of the action that failed
    reason      TEXT    NOT NULL,
    output      TEXT    NOT NULL
) STRICT;
