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
    dead        INTEGER NOT NULL DEFAULT 0, -- whether a delivery of it is dead
    ended_at    INTEGER                 -- when a delivery of it ended last
) STRICT;

CREATE INDEX events_ended ON events (dead, ended_at) WHERE owed = 0;

-- Apart from the events, so that neither a list of them nor a change of their state drags the bodies along.
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
    attempt     INTEGER NOT NULL,       -- which try at that action is next or was the last, from 1
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

-- A nonce may outlive the event that it came with, and names it by its id. Its order is chance, so that each one
-- touches a page of its own; hence an index that holds no more than it must, and not a table in that order.
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

-- A ring: the oldest go when there are too many.
CREATE TABLE refused (
    seq         INTEGER PRIMARY KEY,
    at          INTEGER NOT NULL,
    endpoint    TEXT    NOT NULL,
    client      TEXT,
    reason      TEXT    NOT NULL,
    headers     TEXT    NOT NULL
) STRICT;
