-- Each rule has a queue of its own, so that deliveries of a slow rule delay no other rule.
DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (rule, due, seq) WHERE state = 'waiting' AND held = 0;

-- Arrival of the first delivery that this one has superseded while waiting for quiet. The delivery
-- is not in its group yet. Null if its wait is over or there was none.
ALTER TABLE deliveries ADD COLUMN debounced_since INTEGER;
-- Overlap to be applied if the group is busy when the wait is over.
ALTER TABLE deliveries ADD COLUMN lane_overlap TEXT;
CREATE INDEX deliveries_debounced ON deliveries (rule, lane) WHERE state = 'waiting' AND debounced_since IS NOT NULL;
DROP INDEX deliveries_lane;
CREATE INDEX deliveries_lane ON deliveries (lane, held, seq)
    WHERE lane IS NOT NULL AND state = 'waiting' AND debounced_since IS NULL;

-- Id of the failed delivery, for a delivery of a rule's `on_failure` actions. Such a delivery is
-- never a dead letter itself.
ALTER TABLE deliveries ADD COLUMN failure_of TEXT;
DROP INDEX deliveries_dead;
CREATE INDEX deliveries_dead ON deliveries (ended_at) WHERE state = 'dead' AND failure_of IS NULL;

-- The failure that such a delivery is told.
CREATE TABLE failures (
    delivery    INTEGER PRIMARY KEY REFERENCES deliveries (seq) ON DELETE CASCADE,
    action      TEXT    NOT NULL,       -- name of the action that failed
    reason      TEXT    NOT NULL,
    output      TEXT    NOT NULL
) STRICT;
