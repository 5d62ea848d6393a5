-- With which headers a signed content came first on an endpoint, of those that rules read and no signature covers. One that
-- comes again with others fires nothing. As with nonces the key is chance, and the event may be gone, or was never kept.
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
