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
    pending     INTEGER NOT NULL,       -- deliveries that have not ended
    dead        INTEGER NOT NULL DEFAULT 0, -- true if a delivery of it is a dead letter
    ended_at    INTEGER,                -- end of the delivery that ended last
    status      INTEGER,                -- of the answer; null if the sender waited for the outcome
    decision    TEXT    NOT NULL,       -- JSON: for each rule, why it matched or not, as decided then
    is_replay   INTEGER NOT NULL DEFAULT 0, -- true if it was ignored, and the operator replayed it
    answer_error TEXT,                  -- why the stated body of the answer was not sent; null if it was
    fired_by    TEXT                    -- user who ran a rule by hand, or who replayed it; else null
) STRICT;

CREATE INDEX events_ended ON events (dead, ended_at) WHERE pending = 0;

-- Apart from the events, so that bodies are not read with a list of events or a change of their
-- state.
CREATE TABLE bodies (
    event       INTEGER PRIMARY KEY REFERENCES events (seq) ON DELETE CASCADE,
    lz4_size    INTEGER,                -- bytes of the body if `body` is one LZ4 block; null: it is stored as it is
    body        BLOB    NOT NULL
) STRICT;

CREATE TABLE deliveries (
    seq         INTEGER PRIMARY KEY,    -- order of arrival
    id          TEXT    NOT NULL UNIQUE,
    event       INTEGER NOT NULL REFERENCES events (seq) ON DELETE CASCADE,
    rule        TEXT    NOT NULL,
    item        INTEGER,                -- index of the element of `for_each`; null for the whole event
    -- Waiting or running: `debounced` waits for quiet and is not in its group yet; `queued` waits for
    -- its turn in its group; `ready` waits for its due time and keeps its turn until it has ended.
    -- Ended: `done`, `superseded` and `dead`. `dropped` is dead, but occupies its group until the
    -- daemon knows that no attempt at it is running.
    state       TEXT    NOT NULL
        -- Not IN, for which SQLite would fill a table with each row that it writes.
        CHECK (state = 'ready' OR state = 'done' OR state = 'queued' OR state = 'debounced'
            OR state = 'superseded' OR state = 'dead' OR state = 'dropped'),
    action      INTEGER NOT NULL,       -- index of the action that it has reached, from 0
    attempt     INTEGER NOT NULL,       -- number of the next or last attempt at it, from 1
    due         INTEGER NOT NULL,
    ended_at    INTEGER,
    reason      TEXT,                   -- why it is dead or superseded, or is to be superseded
    unverified  TEXT,                   -- why an unverified event is delivered; null if it was verified
    replays     INTEGER NOT NULL DEFAULT 0, -- replays by the operator; each is also a row of `attempts`
                                        -- and begins an epoch: attempts of earlier ones do not count
    group_key   TEXT,                   -- concurrency group
    group_limit INTEGER NOT NULL DEFAULT 0,
    group_overlap TEXT,                 -- overlap to be applied when a debounced delivery enters its group
    debounced_since INTEGER,            -- arrival of the first delivery that a debounced one has superseded
    -- Id of the failed delivery, for a delivery of a rule's `on_failure` actions. Such a delivery is
    -- never a dead letter itself.
    failure_of  TEXT,
    -- Start of the running attempt, once it is recorded; null if no running attempt is known. A start
    -- of the daemon that finds a value records the attempt as interrupted.
    begun_at    INTEGER,
    interruptions INTEGER NOT NULL DEFAULT 0, -- consecutive interrupted attempts
    interrupted_at INTEGER              -- start of the latest of them
) STRICT;

-- Each rule has a queue of its own, so that deliveries of a slow rule delay no other rule.
-- The state is in the index, so that a queue is read from the index alone.
CREATE INDEX deliveries_due ON deliveries (rule, due, seq, state) WHERE state = 'ready' OR state = 'debounced';
CREATE INDEX deliveries_dropped ON deliveries (seq) WHERE state = 'dropped';
CREATE INDEX deliveries_event ON deliveries (event);
-- One delivery per element. Those for a failure repeat the index of the failed delivery.
CREATE UNIQUE INDEX deliveries_item ON deliveries (event, rule, item)
    WHERE item IS NOT NULL AND failure_of IS NULL;
CREATE INDEX deliveries_group ON deliveries (group_key, state, seq)
    WHERE group_key IS NOT NULL AND (state = 'queued' OR state = 'ready' OR state = 'dropped');
CREATE INDEX deliveries_debounced ON deliveries (rule, group_key) WHERE state = 'debounced';
-- Dead letters, with all that groups them, so that a hundred thousand are read from the index alone.
CREATE INDEX deliveries_dead ON deliveries (ended_at, rule, reason, state, failure_of)
    WHERE (state = 'dead' OR state = 'dropped') AND failure_of IS NULL;
CREATE INDEX deliveries_begun ON deliveries (begun_at) WHERE begun_at IS NOT NULL;

-- The failure of another delivery that a delivery with `failure_of` is told.
CREATE TABLE failures (
    delivery    INTEGER PRIMARY KEY REFERENCES deliveries (seq) ON DELETE CASCADE,
    action      TEXT    NOT NULL,       -- name of the action that failed
    reason      TEXT    NOT NULL,
    output      TEXT    NOT NULL
) STRICT;

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
CREATE TABLE dedup_keys (
    seq         INTEGER PRIMARY KEY,
    rule        TEXT    NOT NULL,
    key         BLOB    NOT NULL,
    event       TEXT    NOT NULL,
    remember_until INTEGER NOT NULL,
    UNIQUE (key, rule)
) STRICT;

CREATE INDEX dedup_keys_until ON dedup_keys (remember_until);
CREATE INDEX dedup_keys_event ON dedup_keys (event);

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

-- Arrivals that became no event, in two rings: the oldest of a ring are deleted beyond its limits.
-- `ignored` is the ring of verified senders, `refused` that of all others.
CREATE TABLE arrivals (
    seq         INTEGER PRIMARY KEY,    -- order of writing
    id          TEXT    NOT NULL UNIQUE,
    ring        TEXT    NOT NULL CHECK (ring = 'ignored' OR ring = 'refused'),
    outcome     TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    endpoint    TEXT    NOT NULL,
    method      TEXT    NOT NULL,
    path        TEXT    NOT NULL,
    query       TEXT    NOT NULL,
    parameters  TEXT    NOT NULL,       -- as in `events`
    client      TEXT,
    headers     TEXT    NOT NULL,       -- as in `events`, without credentials
    decode      TEXT    NOT NULL,
    size        INTEGER NOT NULL,       -- of the body as it arrived
    status      INTEGER NOT NULL,       -- of the answer
    reason      TEXT    NOT NULL,
    decision    TEXT    NOT NULL,       -- as in `events`
    proofs      TEXT    NOT NULL,       -- JSON: the verifications that succeeded, without secrets
    weight      INTEGER NOT NULL,       -- bytes that count towards the ring's limit
    lz4_size    INTEGER,                -- as in `bodies`
    body        BLOB    NOT NULL        -- perhaps only the beginning
) STRICT;

CREATE INDEX arrivals_ring ON arrivals (ring, seq, weight);
CREATE INDEX arrivals_endpoint ON arrivals (ring, endpoint, seq);

-- Last use of each secret, by its name in the rules file. Never a secret, and never a digest of
-- one.
CREATE TABLE secrets (
    endpoint    TEXT    NOT NULL,
    scheme      TEXT    NOT NULL,
    source      TEXT    NOT NULL,
    last_matched INTEGER NOT NULL,
    PRIMARY KEY (endpoint, scheme, source)
) STRICT, WITHOUT ROWID;

-- Rules and targets that the operator has paused, by the name of the rule, or by scheme, host and
-- port of the target. A rule may be gone from the rules file.
CREATE TABLE pauses (
    kind        TEXT    NOT NULL CHECK (kind = 'rule' OR kind = 'target'),
    name        TEXT    NOT NULL,
    since       INTEGER NOT NULL,
    paused_by   TEXT    NOT NULL,       -- user who paused it
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Endpoints and rules with `expect_every`, by path or name.
CREATE TABLE expectations (
    kind        TEXT    NOT NULL CHECK (kind = 'endpoint' OR kind = 'rule'),
    name        TEXT    NOT NULL,
    since       INTEGER NOT NULL,       -- when `expect_every` came into force first
    last_arrival INTEGER,               -- last genuine arrival; null if there was none since then
    noticed_at  INTEGER,                -- when the current silence was noticed; null if there is none
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- Facts about the store itself: `clean` is 1 after a clean stop, `rules` is the rules file that
-- used it last.
CREATE TABLE meta (
    key         TEXT    PRIMARY KEY,
    value       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
