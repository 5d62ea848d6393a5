//! Table of the metrics. `tests/it/status.rs` compares it with what the daemon serves.

use crate::reference::markdown::table;

/// A series: name, type, labels, description.
type Row = (&'static str, &'static str, &'static [&'static str], &'static str);

const SERIES: [Row; 40] = [
    (
        "hookyard_arrivals_total",
        "counter",
        &["endpoint", "outcome"],
        "requests on an endpoint: `accepted`, `duplicate`, `altered`, `ignored`, `handshake`, `unreadable`, `refused`, `stale`, `too-large`, `unavailable`",
    ),
    (
        "hookyard_refusals_total",
        "counter",
        &["endpoint", "reason"],
        "requests that were not trusted, by why, in the log's words: `bad-signature`, `missing-header`, `stale` …",
    ),
    (
        "hookyard_turned_away_total",
        "counter",
        &["status"],
        "requests that met no endpoint, or were too large or too slow",
    ),
    (
        "hookyard_bodies_shed_total",
        "counter",
        &["how"],
        "bodies that were not read because `server.max_inflight` was reached: `evicted` while they arrived, or `refused`",
    ),
    (
        "hookyard_arrivals_unrecorded_total",
        "counter",
        &["ring"],
        "arrivals of which no record was kept, because too many came at once or the store failed",
    ),
    (
        "hookyard_answers_unrendered_total",
        "counter",
        &["endpoint"],
        "answers sent with the default body, because the template of the stated one failed",
    ),
    (
        "hookyard_attempts_total",
        "counter",
        &["rule", "action", "outcome"],
        "attempts: `done`, `failed`, `dead`, `interrupted` (by a stop of the daemon, or found so at the start after a crash), `cancelled` (the operator stopped it, or a newer delivery took its place)",
    ),
    (
        "hookyard_attempt_duration_seconds",
        "histogram",
        &["action"],
        "how long attempts took",
    ),
    (
        "hookyard_deliveries_ended_total",
        "counter",
        &["rule", "state"],
        "deliveries that ended: `done`, `superseded` (in the queue too, before any attempt), `dead`",
    ),
    (
        "hookyard_reloads_total",
        "counter",
        &["outcome"],
        "reloads: `in force`, `kept` (the file did not load, and the rules from before are)",
    ),
    (
        "hookyard_log_lines_left_out_total",
        "counter",
        &["kind"],
        "log lines that were not written because their kind came too often: see [logs](logs.md)",
    ),
    (
        "hookyard_log_lines_dropped_total",
        "counter",
        &[],
        "log lines that were lost because stderr or the log file was too slow or could not be written",
    ),
    (
        "hookyard_log_failing",
        "gauge",
        &[],
        "1 while the log file cannot be written",
    ),
    ("hookyard_build_info", "gauge", &["version"], "1"),
    (
        "hookyard_deliveries",
        "gauge",
        &["state"],
        "deliveries in the store: `waiting`, `running`, `ended` (done or superseded), `dead`",
    ),
    (
        "hookyard_nodes",
        "gauge",
        &["rules"],
        "nodes that share the store on a server, by whether their rules are the `same` as those of the daemon that answers, or `other` ones",
    ),
    (
        "hookyard_last_arrival_timestamp_seconds",
        "gauge",
        &["rule"],
        "when a rule was last given an event, since the start",
    ),
    (
        "hookyard_rule_paused",
        "gauge",
        &["rule"],
        "1 while a rule is paused by `hookyard rules pause`, else 0",
    ),
    (
        "hookyard_targets_paused",
        "gauge",
        &[],
        "targets of forwards that are paused",
    ),
    (
        "hookyard_silent",
        "gauge",
        &["endpoint", "rule"],
        "1 while nothing genuine has come for `expect_every`, else 0; `rule` is empty for an endpoint",
    ),
    (
        "hookyard_expected_arrival_age_seconds",
        "gauge",
        &["endpoint", "rule"],
        "how long ago the last genuine arrival was, else since when one is expected; with `expect_every`",
    ),
    (
        "hookyard_overdue_seconds",
        "gauge",
        &[],
        "for how long the first delivery in the queue has been due, paused rules left out",
    ),
    (
        "hookyard_rules_generation",
        "gauge",
        &[],
        "generation of the rules in force",
    ),
    (
        "hookyard_inflight_bytes",
        "gauge",
        &[],
        "memory that bodies of requests in flight hold; its bound is `server.max_inflight`",
    ),
    (
        "hookyard_rules_unavailable",
        "gauge",
        &[],
        "rules that need something which this machine does not have",
    ),
    (
        "hookyard_certificate_expiry_timestamp_seconds",
        "gauge",
        &[],
        "until when the certificate of `server.tls` is valid; only where there is one",
    ),
    (
        "hookyard_certificate_orders_total",
        "counter",
        &["outcome"],
        "certificates that an authority was asked for: `issued`, `failed`; only with `acme`",
    ),
    ("hookyard_store_events", "gauge", &[], "events in the store"),
    (
        "hookyard_store_dedup_keys",
        "gauge",
        &[],
        "dedup keys that are remembered",
    ),
    ("hookyard_store_bytes", "gauge", &[], "bytes in use in the store"),
    (
        "hookyard_store_full",
        "gauge",
        &[],
        "1 while the store takes no new events",
    ),
    (
        "hookyard_store_arrivals",
        "gauge",
        &["ring"],
        "records of arrivals that became no event: of verified senders (`ignored`) and of all others (`refused`)",
    ),
    (
        "hookyard_store_arrivals_bytes",
        "gauge",
        &["ring"],
        "bytes of these records",
    ),
    (
        "hookyard_store_commits_total",
        "counter",
        &[],
        "transactions written",
    ),
    (
        "hookyard_store_commit_calls_total",
        "counter",
        &[],
        "calls that they carried out; by the number of transactions it is the size of a batch",
    ),
    (
        "hookyard_store_commit_seconds_total",
        "counter",
        &[],
        "how long they took; by their number it is the latency of one",
    ),
    ("process_resident_memory_bytes", "gauge", &[], "resident memory"),
    ("process_open_fds", "gauge", &[], "open descriptors"),
    ("process_start_time_seconds", "gauge", &[], "when it started"),
    ("process_cpu_seconds_total", "counter", &[], "processor time"),
];

/// Returns the table of the metrics.
pub fn series() -> String {
    let cells = |(name, kind, labels, says): Row| {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        [
            format!("`{name}`"),
            kind.to_owned(),
            labels.join(", "),
            says.to_owned(),
        ]
    };
    table(["series", "type", "labels", "what it says"], SERIES.map(cells))
}
