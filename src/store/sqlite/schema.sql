-- Moments are milliseconds since 1970-01-01T00:00:00Z. Ids are version 7 UUIDs as text.

CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,    -- order of arrival
    id          TEXT    NOT NULL UNIQUE,
    received_at INTEGER NOT NULL,
    endpoint    TEXT    NOT NULL,
    method      TEXT    NOT NULL,
    path        TEXT    NOT NULL,
    query       TEXT    NOT NULL,
    parameters  TEXT    NOT NULL,       -- JSON: [[name, value], …]
    client      TEXT,
    headers     TEXT    NOT NULL,       -- JSON: [[name, text or {"base64": bytes}], …]
    decode      TEXT    NOT NULL,
    size        INTEGER NOT NULL,       -- of the body
    owed        INTEGER NOT NULL,       -- deliveries that are neither done nor dead
    dead        INTEGER NOT NULL DEFAULT 0, -- true if a delivery of it is dead
    ended_at    INTEGER                 -- end of the delivery that ended last
) STRICT;

CREATE INDEX events_ended ON events (dead, ended_at) WHERE owed = 0;

-- Apart from the events, so that bodies are not read with a list of events or a change of their
-- state.
CREATE TABLE bodies (
    event       INTEGER PRIMARY KEY REFERENCES events (seq) ON DELETE CASCADE,
    body        BLOB    NOT NULL
) STRICT;

CREATE TABLE deliveries (
    seq         INTEGER PRIMARY KEY,    -- order of arrival
    id          TEXT    NOT NULL UNIQUE,
    event       INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
    rule        TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('waiting', 'done', 'dead')),
    action      INTEGER NOT NULL,       -- index of the action that it has reached, from 0
    attempt     INTEGER NOT NULL,       -- number of the next or last attempt at it, from 1
    due         INTEGER NOT NULL,
    ended_at    INTEGER,
    reason      TEXT                    -- why it is dead
) STRICT;

CREATE INDEX deliveries_due ON deliveries (due, seq) WHERE state = 'waiting';
CREATE INDEX deliveries_dead ON deliveries (ended_at) WHERE state = 'dead';
CREATE INDEX deliveries_event ON deliveries (event);

CREATE TABLE attempts (
    seq         INTEGER PRIMARY KEY,
    delivery    INTEGER NOT NULL REFERENCES deliveries (seq) ON DELETE CASCADE,
    action      INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    duration    INTEGER NOT NULL,       -- milliseconds
    outcome     TEXT    NOT NULL,
    detail      TEXT    NOT NULL,
    stdout      BLOB    NOT NULL,
    stderr      BLOB    NOT NULL
) STRICT;

CREATE INDEX attempts_delivery ON attempts (delivery);

-- A dedup key may outlive its first event, and names it by its id. Keys are in random order, so
-- each one touches a page of its own. Hence a small index, and not a table in that order.
CREATE TABLE nonces (
    seq         INTEGER PRIMARY KEY,
    rule        TEXT    NOT NULL,
    nonce       BLOB    NOT NULL,
    event       TEXT    NOT NULL,
    remember_until INTEGER NOT NULL,
    UNIQUE (nonce, rule)
) STRICT;

CREATE INDEX nonces_until ON nonces (remember_until);
CREATE INDEX nonces_event ON nonces (event);

-- A ring: the oldest are deleted beyond the limit.
CREATE TABLE refused (
    seq         INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    endpoint    TEXT    NOT NULL,
    client      TEXT,
    reason      TEXT    NOT NULL,
    headers     TEXT    NOT NULL
) STRICT;
