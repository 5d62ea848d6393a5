-- Moments are milliseconds since 1970-01-01T00:00:00Z. Those of `timestamptz` are by the server's clock.

CREATE TABLE store (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    id          uuid    NOT NULL DEFAULT gen_random_uuid(), -- shows that two nodes share one store
    version     integer NOT NULL,       -- of the schema
    least       integer NOT NULL        -- earliest version whose hookyard may still use this schema
);

-- The nodes that take part. An id is never given again: what was leased to a node that is gone can
-- never be settled by it.
CREATE TABLE nodes (
    id          bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text    NOT NULL,
    version     text    NOT NULL,       -- of hookyard
    schema      integer NOT NULL,       -- version of the schema that this hookyard knows
    machine     text    NOT NULL,       -- boot of its machine, and namespace of its process ids
    process     text    NOT NULL,       -- process id and start of the process on that machine
    lease       bigint  NOT NULL,       -- milliseconds without a heartbeat after which it is gone
    begun_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    heard_of    timestamptz NOT NULL DEFAULT clock_timestamp(), -- last heartbeat
    steady_since timestamptz NOT NULL DEFAULT clock_timestamp(), -- since when it was heard of without a gap
    generation  bigint  NOT NULL DEFAULT 0,
    rules       text    NOT NULL DEFAULT '' -- SHA-256 of the rules in force
) WITH (fillfactor = 50);

-- The rules that a node has in force. It performs those that name it, or no node.
CREATE TABLE node_rules (
    node        bigint  NOT NULL REFERENCES nodes ON DELETE CASCADE,
    rule        text    NOT NULL,
    performed   boolean NOT NULL,
    PRIMARY KEY (rule, node)
);
CREATE INDEX node_rules_node ON node_rules (node);

-- Work of which one node at a time does each kind.
CREATE TABLE duties (
    duty        text    PRIMARY KEY,
    node        bigint,
    until       timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO duties (duty) VALUES ('sweep'), ('bury'), ('partitions'), ('orphans');

-- Rules for which deliveries wait and which no living node has.
CREATE TABLE orphans (
    rule        text    PRIMARY KEY,
    since       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Sums of changes. Each row is written by one connection alone, so that no commit waits for
-- another. Each transaction writes its row, also a repeated one: see `worker.rs`. The row of node 0
-- is that of the operator's commands and of nodes that are gone.
CREATE TABLE tally (
    node        bigint  NOT NULL,
    slot        smallint NOT NULL,
    pending     bigint  NOT NULL DEFAULT 0, -- deliveries that have not ended
    done        bigint  NOT NULL DEFAULT 0, -- deliveries that have ended and are no dead letters
    dead        bigint  NOT NULL DEFAULT 0, -- dead letters
    events      bigint  NOT NULL DEFAULT 0,
    dedup_keys  bigint  NOT NULL DEFAULT 0,
    sightings   bigint  NOT NULL DEFAULT 0,
    bytes       bigint  NOT NULL DEFAULT 0, -- bodies and headers that are kept, before compression
    PRIMARY KEY (node, slot)
) WITH (fillfactor = 20);

-- An event is written once. Only `look_at`, `has_dead` and `answer_error` change.
CREATE TABLE events (
    seq         bigint  GENERATED ALWAYS AS IDENTITY, -- order of writing, about that of arrival
    id          uuid    PRIMARY KEY,
    day         date    NOT NULL DEFAULT ((now() AT TIME ZONE 'utc')::date), -- the partition of its request
    received_at bigint  NOT NULL,
    endpoint    text    NOT NULL,
    method      text    NOT NULL,
    path        text    NOT NULL,
    query       text    NOT NULL,
    parameters  text    NOT NULL,       -- JSON: [[name, value], …]
    client      text,
    decode      text    NOT NULL,
    size        bigint  NOT NULL,       -- of the body
    kept        bigint  NOT NULL,       -- bytes of body and headers, as `tally.bytes` counts them
    status      integer,                -- of the answer; null if the sender waited for the outcome
    decision    text    NOT NULL,       -- JSON: for each rule, why it matched or not, as decided then
    is_replay   boolean NOT NULL DEFAULT false, -- true if it was ignored, and the operator replayed it
    answer_error text,                  -- why the stated body of the answer was not sent; null if it was
    fired_by    text,                   -- user who ran a rule by hand, or who replayed it; else null
    node        text    NOT NULL,       -- name of the node that took it
    look_at     bigint  NOT NULL,       -- earliest end of its last delivery, as far as known: its arrival at first
    has_dead    boolean NOT NULL DEFAULT false -- true if it had ended with a dead letter when a sweep looked at it
);
CREATE UNIQUE INDEX events_seq ON events (seq);
CREATE INDEX events_look ON events (has_dead, look_at);

-- Headers and bodies: nine tenths of all bytes. The table of a day is dropped at once.
CREATE TABLE requests (
    event       uuid    NOT NULL,
    day         date    NOT NULL DEFAULT ((now() AT TIME ZONE 'utc')::date),
    headers     text    NOT NULL,       -- JSON: [[name, text or {"base64": bytes}], …]
    body        bytea   NOT NULL,
    PRIMARY KEY (event, day)
) PARTITION BY RANGE (day);

-- The requests of a day whose table was missing.
CREATE TABLE requests_rest PARTITION OF requests DEFAULT;
CREATE INDEX requests_rest_day ON requests_rest (day);

-- The requests that are needed for longer than their day: of dead letters, and of what is pending.
CREATE TABLE requests_kept (
    event       uuid    PRIMARY KEY,
    headers     text    NOT NULL,
    body        bytea   NOT NULL
);

-- Deliveries that have not ended, and nothing else. The table is small and is vacuumed often.
CREATE TABLE queue (
    seq         bigint  GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, -- order of arrival
    id          uuid    NOT NULL UNIQUE,
    event       uuid    NOT NULL,
    rule        text    NOT NULL,
    item        integer,                -- index of the element of `for_each`; null for the whole event
    -- `debounced` waits for quiet and is not in its group yet; `queued` waits for its turn in its group;
    -- `ready` waits for its due time or is leased, and keeps its turn until it has ended. `dropped` has
    -- ended (its row in `ended` says so), but occupies its group until no attempt at it runs.
    state       text    NOT NULL
        CHECK (state IN ('ready', 'queued', 'debounced', 'dropped')),
    action      integer NOT NULL DEFAULT 0, -- index of the action that it has reached
    attempt     integer NOT NULL DEFAULT 1, -- number of the next or running attempt at it
    due         bigint  NOT NULL,
    unverified  text,                   -- why an unverified event is delivered; null if it was verified
    replays     integer NOT NULL DEFAULT 0, -- replays by the operator
    group_key   text,                   -- concurrency group
    group_limit integer NOT NULL DEFAULT 0,
    group_overlap text,                 -- overlap to be applied when a debounced delivery enters its group
    debounced_since bigint,             -- arrival of the first delivery that a debounced one has superseded
    superseded  text,                   -- why it is to be stopped and superseded; null if it is not
    failure_of  uuid,                   -- the failed delivery, for a delivery of `on_failure` actions
    begun_at    bigint,                 -- start of the running attempt, once it is recorded
    interruptions integer NOT NULL DEFAULT 0, -- consecutive interrupted attempts
    interrupted_at bigint,              -- start of the latest of them
    suspect     boolean NOT NULL DEFAULT false, -- true if it may have ended the node that had leased it
    pinned      bigint,                 -- node that it is for, as long as that node lives
    node        bigint,                 -- node to which it is leased
    lease       bigint,                 -- number of the lease, counted by that node
    leased_at   bigint,                 -- time of the lease
    settled     bigint,                 -- lease that was settled last
    settled_by  bigint                  -- node of that lease
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.05);

-- Each rule has a queue of its own, so that deliveries of a slow rule delay no other rule.
CREATE INDEX queue_due ON queue (rule, due, seq) WHERE node IS NULL AND (state = 'ready' OR state = 'debounced');
CREATE INDEX queue_node ON queue (node) WHERE node IS NOT NULL;
CREATE INDEX queue_pinned ON queue (pinned) WHERE pinned IS NOT NULL;
CREATE INDEX queue_group ON queue (group_key, state, seq) WHERE group_key IS NOT NULL;
CREATE INDEX queue_debounced ON queue (rule, group_key) WHERE state = 'debounced';
CREATE INDEX queue_event ON queue (event);
CREATE INDEX queue_dropped ON queue (seq) WHERE state = 'dropped';

-- A transaction that decides in a group locks its stripe first. A table of groups would have to be swept.
CREATE TABLE stripes (stripe smallint PRIMARY KEY);
INSERT INTO stripes SELECT generate_series(0, 255);

-- Deliveries that have ended: written once, unless the operator replays one.
CREATE TABLE ended (
    id          uuid    PRIMARY KEY,
    seq         bigint  NOT NULL,       -- as in `queue`
    event       uuid    NOT NULL,
    rule        text    NOT NULL,
    item        integer,
    state       text    NOT NULL CHECK (state IN ('done', 'superseded', 'dead')),
    action      integer NOT NULL,
    attempt     integer NOT NULL,
    due         bigint  NOT NULL,
    ended_at    bigint  NOT NULL,
    reason      text,                   -- why it is dead or superseded
    unverified  text,
    replays     integer NOT NULL,
    group_key   text,
    group_limit integer NOT NULL DEFAULT 0,
    failure_of  uuid,
    node        bigint,                 -- node and lease that ended it; null if it was not leased
    settled     bigint
);
CREATE INDEX ended_event ON ended (event);
CREATE INDEX ended_rule ON ended (rule, seq);
CREATE UNIQUE INDEX ended_seq ON ended (seq);
CREATE INDEX ended_dead ON ended (ended_at, rule) WHERE state = 'dead' AND failure_of IS NULL;

-- The failure of another delivery that a delivery with `failure_of` is told.
CREATE TABLE failures (
    delivery    uuid    PRIMARY KEY,
    action      text    NOT NULL,       -- name of the action that failed
    reason      text    NOT NULL,
    output      text    NOT NULL
);

CREATE TABLE attempts (
    seq         bigint  GENERATED ALWAYS AS IDENTITY,
    delivery    uuid    NOT NULL,
    node        text    NOT NULL,       -- name of the node that made it
    action      integer NOT NULL,
    number      integer NOT NULL,
    started_at  bigint  NOT NULL,
    duration    bigint  NOT NULL,       -- milliseconds
    outcome     text    NOT NULL,
    detail      text    NOT NULL,
    stdout      bytea   NOT NULL,
    stderr      bytea   NOT NULL,
    PRIMARY KEY (delivery, seq)
);

-- A dedup key may outlive its first event, and names it by its id.
CREATE TABLE dedup_keys (
    key         bytea   NOT NULL,
    rule        text    NOT NULL,
    event       uuid    NOT NULL,
    remember_until bigint NOT NULL,
    PRIMARY KEY (key, rule)
);
CREATE INDEX dedup_keys_until ON dedup_keys (remember_until);
CREATE INDEX dedup_keys_event ON dedup_keys (event);

-- First headers of a signed content on an endpoint, of those that rules read and no signature
-- covers. The same content with other values is refused.
CREATE TABLE sightings (
    key         bytea   NOT NULL,
    endpoint    text    NOT NULL,
    event       uuid    NOT NULL,
    headers     text    NOT NULL,       -- name=digest, separated by blanks
    remember_until bigint NOT NULL,
    PRIMARY KEY (key, endpoint)
);
CREATE INDEX sightings_until ON sightings (remember_until);

-- Arrivals that became no event, in two rings: the oldest of a ring are deleted beyond its limits.
CREATE TABLE arrivals (
    seq         bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          uuid    NOT NULL UNIQUE,
    node        text    NOT NULL,       -- name of the node that took it
    ring        text    NOT NULL CHECK (ring IN ('ignored', 'refused')),
    outcome     text    NOT NULL,
    received_at bigint  NOT NULL,
    endpoint    text    NOT NULL,
    method      text    NOT NULL,
    path        text    NOT NULL,
    query       text    NOT NULL,
    parameters  text    NOT NULL,       -- as in `events`
    client      text,
    headers     text    NOT NULL,       -- as in `requests`, without credentials
    decode      text    NOT NULL,
    size        bigint  NOT NULL,       -- of the body as it arrived
    status      integer NOT NULL,       -- of the answer
    reason      text    NOT NULL,
    decision    text    NOT NULL,       -- as in `events`
    proofs      text    NOT NULL,       -- JSON: the verifications that succeeded, without secrets
    weight      bigint  NOT NULL,       -- bytes that count towards the ring's limit
    body        bytea   NOT NULL        -- perhaps only the beginning
);
CREATE INDEX arrivals_ring ON arrivals (ring, seq, weight);
CREATE INDEX arrivals_endpoint ON arrivals (ring, endpoint, seq);

-- Last use of each secret, by its name in the rules file. Never a secret, and never a digest of one.
CREATE TABLE secrets (
    endpoint    text    NOT NULL,
    scheme      text    NOT NULL,
    source      text    NOT NULL,
    last_matched bigint NOT NULL,
    PRIMARY KEY (endpoint, scheme, source)
);

-- Rules and targets that the operator has paused, by the name of the rule, or by scheme, host and
-- port of the target.
CREATE TABLE pauses (
    kind        text    NOT NULL CHECK (kind IN ('rule', 'target')),
    name        text    NOT NULL,
    since       bigint  NOT NULL,
    paused_by   text    NOT NULL,       -- user who paused it
    PRIMARY KEY (kind, name)
);

-- Endpoints and rules with `expect_every`, by path or name.
CREATE TABLE expectations (
    kind        text    NOT NULL CHECK (kind IN ('endpoint', 'rule')),
    name        text    NOT NULL,
    since       bigint  NOT NULL,       -- when `expect_every` came into force first
    last_arrival bigint,                -- last genuine arrival; null if there was none since then
    noticed_at  bigint,                 -- when the current silence was noticed; null if there is none
    PRIMARY KEY (kind, name)
);

-- All deliveries. `node` is the node to which one is leased.
CREATE VIEW deliveries AS
    SELECT seq, id, event, rule, item, state, action, attempt, due, NULL::bigint AS ended_at,
        superseded AS reason, unverified, replays, group_key, group_limit, debounced_since, failure_of,
        begun_at, node
    FROM queue WHERE state <> 'dropped'
    UNION ALL
    SELECT seq, id, event, rule, item, state, action, attempt, due, ended_at,
        reason, unverified, replays, group_key, group_limit, NULL, failure_of, NULL, NULL
    FROM ended;
