-- Start of the running attempt, once it is recorded; null if no running attempt is known. A start
-- that finds a value records the attempt as interrupted.
ALTER TABLE deliveries ADD COLUMN begun_at INTEGER;
-- Number of consecutive interrupted attempts, and start of the latest.
ALTER TABLE deliveries ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN interrupted_at INTEGER;
CREATE INDEX deliveries_begun ON deliveries (begun_at) WHERE begun_at IS NOT NULL;

-- Facts about the store itself: `clean` is 1 after a clean stop, `rules` is the rules file that
-- used it last.
CREATE TABLE meta (
    key         TEXT    PRIMARY KEY,
    value       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
