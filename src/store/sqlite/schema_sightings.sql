-- First headers of a signed content on an endpoint, of those that rules read and no signature
-- covers. The same content with other values is refused. As with dedup keys, keys are in random
-- order, and the event may be deleted or was never kept.
CREATE TABLE sightings (
    seq         INTEGER PRIMARY KEY,
    endpoint    TEXT    NOT NULL,
    key         BLOB    NOT NULL,
    event       TEXT    NOT NULL,
    headers     TEXT    NOT NULL,       -- name=digest, separated by blanks
    remember_until INTEGER NOT NULL,
    UNIQUE (key, endpoint)
) STRICT;

CREATE INDEX sightings_until ON sightings (remember_until);
