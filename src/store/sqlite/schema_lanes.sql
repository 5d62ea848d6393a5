-- Concurrency groups. A delivery with held = 1 waits for its turn, even if it is due. With held = 0
-- it keeps its turn until it has ended, also while it waits for another attempt. A delivery that
-- the operator drops while it may be running has held = 2 until the daemon knows that its attempt
-- is over.
ALTER TABLE deliveries ADD COLUMN lane TEXT;
ALTER TABLE deliveries ADD COLUMN lane_limit INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN held INTEGER NOT NULL DEFAULT 0;

CREATE INDEX deliveries_lane ON deliveries (lane, held, seq) WHERE lane IS NOT NULL AND state = 'waiting';

CREATE INDEX deliveries_dropped ON deliveries (lane) WHERE held = 2;

DROP INDEX deliveries_due;
CREATE INDEX deliveries_due ON deliveries (due, seq) WHERE state = 'waiting' AND held = 0;
