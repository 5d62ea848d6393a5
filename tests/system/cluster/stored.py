"""What a store holds, read with SQL."""

import json
import sqlite3

from cluster.ledger import Attempt, Delivery, Stored

SQLITE = {
    "events": "SELECT id, headers FROM events",
    "requests": "SELECT events.id FROM bodies JOIN events ON events.seq = bodies.event",
    "keys": "SELECT DISTINCT event, rule FROM dedup_keys",
    "deliveries": "SELECT deliveries.id, events.id, rule, state, deliveries.seq, deliveries.ended_at"
    " FROM deliveries LEFT JOIN events ON events.seq = deliveries.event",
    "attempts": "SELECT deliveries.id, attempts.action, number, outcome"
    " FROM attempts LEFT JOIN deliveries ON deliveries.seq = attempts.delivery",
    "sums": "SELECT 'pending', coalesce(sum(pending), 0) FROM events",
    "counts": "SELECT 'pending', count(*) FROM deliveries WHERE state IN ('ready', 'queued', 'debounced')",
}
POSTGRES = {
    "events": "SELECT id, headers FROM events LEFT JOIN "
    "(SELECT event, headers FROM requests UNION ALL SELECT event, headers FROM requests_kept) AS request ON event = id",
    "requests": "SELECT event FROM requests UNION SELECT event FROM requests_kept",
    "keys": "SELECT DISTINCT event, rule FROM dedup_keys",
    "deliveries": "SELECT id, event, rule, state, seq, ended_at FROM deliveries",
    "attempts": "SELECT delivery, action, number, outcome FROM attempts",
    "sums": "SELECT name, sum(value)::bigint AS value FROM tally, LATERAL (VALUES"
    " ('pending', pending), ('done', done), ('dead', dead), ('events', events), ('dedup_keys', dedup_keys)"
    ") AS sums (name, value) GROUP BY name",
    "counts": "SELECT 'pending' AS name, (SELECT count(*) FROM queue WHERE state <> 'dropped')"
    " UNION ALL SELECT 'done', (SELECT count(*) FROM ended WHERE state <> 'dead')"
    " UNION ALL SELECT 'dead', (SELECT count(*) FROM ended WHERE state = 'dead')"
    " UNION ALL SELECT 'events', (SELECT count(*) FROM events)"
    " UNION ALL SELECT 'dedup_keys', (SELECT count(*) FROM dedup_keys)",
}


def stored(rows):
    """The content of a store of which `rows` gives what a question finds, by its name above."""
    return Stored(
        events={event: number_of(headers) for event, headers in rows("events")},
        requests={event for (event,) in rows("requests")},
        keys={(event, rule) for event, rule in rows("keys")},
        deliveries=[Delivery(*row) for row in rows("deliveries")],
        attempts=[Attempt(*row) for row in rows("attempts")],
        sums=dict(rows("sums")),
        counts=dict(rows("counts")),
    )


def number_of(headers):
    """The number that the sender gave to the event; -1 if its request is gone."""
    return next((int(value) for name, value in json.loads(headers or "[]") if name.lower() == "x-number"), -1)


def in_sqlite(path):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return stored(lambda name: connection.execute(SQLITE[name]).fetchall())
    finally:
        connection.close()


def in_postgres(pair):
    def rows(name):
        # A row as JSON is an object of its columns, in their order.
        text = pair.sql(f"SELECT row_to_json(found) FROM ({POSTGRES[name]}) AS found")
        return [tuple(json.loads(line).values()) for line in text.splitlines()]

    return stored(rows)
