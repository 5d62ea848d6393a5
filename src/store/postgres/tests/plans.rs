//! Plans of all statements. None may read a whole table that has grown, and none that was made while
//! its table was empty may stay.

use serde_json::Value;

use super::super::drop_schema;
use super::super::link::{Link, prepared_statements};
use crate::store::contract::{Postgres, use_everything};
use crate::store::{Settings, Store};

/// Tables that grow with the events.
const GROWING: [&str; 9] = [
    "queue",
    "ended",
    "events",
    "attempts",
    "failures",
    "dedup_keys",
    "sightings",
    "requests_kept",
    "requests_",
];

/// Indexes with few entries, because of their condition or because their table is mostly empty. They
/// may be read whole.
const SMALL_INDEXES: [&str; 4] = ["queue_node", "queue_pinned", "queue_dropped", "requests_rest_day"];

/// Fills the tables.
const ROWS: &str = "INSERT INTO events (id, received_at, endpoint, method, path, query, parameters, decode, size, kept, decision, \
         node, look_at) \
     SELECT md5('event' || n)::uuid, n, '/', 'POST', '/', '', '[]', 'json', 9, 9, '{}', 'a', n FROM generate_series(1, $ROWS) n; \
     INSERT INTO requests (event, headers, body) SELECT md5('event' || n)::uuid, '[]', 'x' FROM generate_series(1, $ROWS) n; \
     INSERT INTO requests_kept (event, headers, body) SELECT md5('kept' || n)::uuid, '[]', 'x' FROM generate_series(1, $ROWS) n; \
     INSERT INTO queue (id, event, rule, state, due, group_key) \
     SELECT md5('queue' || n)::uuid, md5('event' || n)::uuid, 'rule ' || n % 1000, \
         (ARRAY['ready', 'queued', 'debounced'])[n % 3 + 1], n, 'group ' || n / 5 \
     FROM generate_series(1, $ROWS) n; \
     INSERT INTO ended (id, seq, event, rule, state, action, attempt, due, ended_at, replays) \
     SELECT md5('ended' || n)::uuid, -n, md5('event' || n)::uuid, 'rule ' || n % 10, \
         CASE WHEN n % 50 = 0 THEN 'dead' ELSE 'done' END, 0, 1, n, n, 0 FROM generate_series(1, $ROWS) n; \
     INSERT INTO attempts (delivery, node, action, number, started_at, duration, outcome, detail, stdout, stderr) \
     SELECT md5('ended' || n)::uuid, 'a', 0, 1, n, 1, 'done', '', '', '' FROM generate_series(1, $ROWS) n; \
     INSERT INTO failures (delivery, action, reason, output) \
     SELECT md5('failed' || n)::uuid, 'a', '', '' FROM generate_series(1, $ROWS) n; \
     INSERT INTO dedup_keys (key, rule, event, remember_until) \
     SELECT decode(md5('key' || n), 'hex'), 'rule ' || n % 10, md5('event' || n)::uuid, n FROM generate_series(1, $ROWS) n; \
     INSERT INTO sightings (key, endpoint, event, headers, remember_until) \
     SELECT decode(md5('key' || n), 'hex'), '/', md5('event' || n)::uuid, 'a=b', n FROM generate_series(1, $ROWS) n; \
     ANALYZE";

/// Finds the nodes of a plan that read a whole table.
fn whole_reads(node: &Value, is_limited: bool, found: &mut Vec<String>) {
    let text = |key: &str| node.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = text("Node Type");
    let (table, index) = (text("Relation Name"), text("Index Name"));
    let grows = |name: &str| {
        GROWING
            .iter()
            .any(|growing| name == *growing || (growing.ends_with('_') && name.starts_with(growing)))
    };
    let of_index = GROWING.iter().any(|growing| index.starts_with(growing));
    let is_whole = match kind {
        "Seq Scan" => grows(table),
        "Index Scan" | "Index Only Scan" => grows(table) && node.get("Index Cond").is_none(),
        "Bitmap Index Scan" => of_index && node.get("Index Cond").is_none(),
        _ => false,
    };
    if is_whole && !(is_limited && kind != "Seq Scan") && !SMALL_INDEXES.contains(&index) {
        found.push(format!("{kind} of `{table}` by `{index}`"));
    }
    let is_limited = is_limited || kind == "Limit";
    let plans = node.get("Plans").and_then(Value::as_array);
    for plan in plans.into_iter().flatten() {
        whole_reads(plan, is_limited, found);
    }
}

/// Makes the plan that a connection would use for any parameters, and finds what it reads whole.
async fn faults(link: &Link, sql: &str) -> Vec<String> {
    let prepared = link.texts(&format!("DEALLOCATE ALL; PREPARE p AS {sql}")).await;
    prepared.unwrap_or_else(|error| panic!("{error}: {sql}"));
    let number = link
        .texts(
            "SELECT coalesce(cardinality(parameter_types), 0) FROM pg_prepared_statements WHERE name = 'p'",
        )
        .await
        .unwrap();
    let number: usize = number[0].parse().unwrap();
    let parameters = match number {
        0 => String::new(),
        number => format!("({})", vec!["NULL"; number].join(", ")),
    };
    let explained = link
        .texts(&format!("EXPLAIN (FORMAT JSON) EXECUTE p{parameters}"))
        .await
        .unwrap();
    let plans: Value = serde_json::from_str(&explained.concat()).unwrap();
    let mut found = Vec::new();
    for plan in plans.as_array().unwrap() {
        whole_reads(&plan["Plan"], false, &mut found);
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn no_plan_reads_a_whole_table_that_grows() {
    use_everything::<Postgres>().await;
    let target = Postgres::target();
    let subject = Postgres::open_at(target.clone(), Settings::default()).await;
    subject.postgres().close().await.unwrap();
    let link = Link::connect(&target, "test").await.unwrap();
    link.run("SET plan_cache_mode = force_generic_plan")
        .await
        .unwrap();
    let mut statements = prepared_statements();
    // It reads tables of the server itself.
    statements.retain(|sql| !sql.contains("pg_inherits"));
    assert!(statements.len() > 60, "{}", statements.len());
    link.run(&ROWS.replace("$ROWS", "20000")).await.unwrap();
    let mut wrong = Vec::new();
    for sql in &statements {
        for fault in faults(&link, sql).await {
            wrong.push(format!("{fault}: {sql}"));
        }
    }
    let bad = "SELECT 1 FROM queue WHERE unverified = $1";
    assert!(!faults(&link, bad).await.is_empty());
    drop(link);
    drop_schema(&target).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: `just cluster`"]
async fn a_plan_of_an_empty_table_does_not_stay() {
    const MARK: &str = "UPDATE queue q SET due = s.due FROM unnest($1::int8[], $2::int8[]) AS s(seq, due) WHERE q.seq = s.seq";
    let target = Postgres::target();
    let subject = Postgres::open_at(target.clone(), Settings::default()).await;
    subject.postgres().close().await.unwrap();
    let link = Link::connect(&target, "test").await.unwrap();
    // The server looks at an empty queue now, and not by itself later.
    link.run(
        "SET plan_cache_mode = force_generic_plan; ALTER TABLE queue SET (autovacuum_enabled = false); ANALYZE queue",
    )
    .await
    .unwrap();
    link.execute(MARK, &[&vec![1_i64], &vec![1_i64]]).await.unwrap();
    let rows = ROWS.replace("$ROWS", "20000");
    link.run(rows.trim_end_matches("ANALYZE")).await.unwrap();
    let name = format!("SELECT name FROM pg_prepared_statements WHERE statement = '{MARK}'");
    let name = link.texts(&name).await.unwrap().concat();
    let mut found = Vec::new();
    for _ in 0..2 {
        let explained = format!("EXPLAIN (FORMAT JSON) EXECUTE {name} (NULL, NULL)");
        let explained = link.texts(&explained).await.unwrap().concat();
        let plans: Value = serde_json::from_str(&explained).unwrap();
        let mut whole = Vec::new();
        whole_reads(&plans[0]["Plan"], false, &mut whole);
        found.push(whole.len());
        link.forget_plans().await.unwrap();
    }
    drop(link);
    drop_schema(&target).await;
    // The first was 1, unless the server had to forget its plans by itself.
    assert_eq!(found.last(), Some(&0), "{found:?}");
}
