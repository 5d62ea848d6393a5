-- When the attempt under way began, once that is written down; null: no attempt is known to be under way. A start that
-- finds it set knows that the attempt was interrupted.
ALTER TABLE deliveries ADD COLUMN begun_at INTEGER;
-- How many attempts in a row were interrupted, and when the latest of them began.
ALTER TABLE deliveries ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN interrupted_at INTEGER;
CREATE INDEX deliveries_begun ON deliveries (begun_at) WHERE begun_at IS NOT NULL;

-- Facts about the store itself: `clean` is 1 after a clean stop, `rules` is the rules file that used it last.
CREATE TABLE meta (
    key         TEXT    PRIMARY KEY,
    value       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
