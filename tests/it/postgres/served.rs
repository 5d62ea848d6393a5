//! Daemons on a server that `HOOKYARD_TEST_POSTGRES` names. Each test has a schema of its own.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::Value;

use crate::scenario::{Daemon, Scenario, Sending, free_port, now, said};

/// A schema, which is dropped at the end.
struct Schema {
    url: String,
    name: String,
}

impl Schema {
    fn new(of: &str) -> Self {
        let url = std::env::var("HOOKYARD_TEST_POSTGRES").expect("HOOKYARD_TEST_POSTGRES names a server");
        let name = format!("it_{of}_{}_{}", std::process::id(), now());
        Self { url, name }
    }

    /// Rules of a node, with a rule that notes where it runs, and `more`.
    fn rules(&self, node: &str, admin: u16, more: &str) -> String {
        let Self { url, name } = self;
        format!(
            "store: {{url: '{url}', schema: {name}, durability: trusted, lease: 10s}}\n\
             node: {node}\n\
             admin: {{listen: '127.0.0.1:{admin}'}}\n\
             rules:\n\
             \x20 - {{name: any, endpoint: /any, verify: {{github: {{secret: k}}}}, actions: [{{run: [sh, -c, 'echo ran >> any']}}]}}\n\
             \x20 - {{name: one, endpoint: /one, verify: {{github: {{secret: k}}}}, nodes: web1, actions: [{{append: one, line: '{{{{ payload.n }}}}'}}]}}\n\
             {more}"
        )
    }

    fn start(&self, node: &str, admin: u16) -> Daemon {
        let daemon = Scenario::new().rules(&self.rules(node, admin, "")).start();
        daemon.eventually("it is ready", || {
            get(admin, "/readyz") == (200, "ok\n".to_owned())
        });
        daemon
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let drop_it = format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name);
        let psql = Command::new("psql")
            .args(["-q", &self.url, "-c", &drop_it])
            .output();
        assert!(psql.is_ok_and(|output| output.status.success()) || std::thread::panicking());
    }
}

fn get(port: u16, path: &str) -> (u16, String) {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let answer = Sending::to(address, "GET", path).try_send();
    answer.map_or((0, String::new()), |answer| (answer.status, answer.body))
}

fn nodes(daemon: &Daemon) -> Vec<Value> {
    let output = daemon.scenario.hookyard(&["status", "--format", "json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    status["nodes"].as_array().cloned().unwrap_or_default()
}

#[test]
#[ignore = "needs PostgreSQL: `just cluster`"]
fn two_daemons_share_a_store_and_a_rule_runs_on_the_node_that_it_names() {
    let schema = Schema::new("nodes");
    let ports = [free_port(), free_port()];
    let (web1, web2) = (schema.start("web1", ports[0]), schema.start("web2", ports[1]));
    for number in 0..5 {
        let body = format!("{{\"n\": {number}}}");
        let answer = web2.post("/one").json(&body).github("k").send();
        assert_eq!(answer.outcome(), (200, "accepted".into()), "{}", web2.log());
        // The other node knows the event.
        let again = web1.post("/one").json(&body).github("k").send();
        assert_eq!(again.outcome(), (200, "duplicate".into()));
    }
    web1.eventually("web1 has performed all", || web1.lines("one") == 5);
    assert_eq!(web2.lines("one"), 0);
    // Both are listed, with the same rules or not.
    web1.eventually("web1 knows of web2", || nodes(&web1).len() == 2);
    let listed = nodes(&web1);
    let field = |key: &str| listed.iter().map(|node| node[key].clone()).collect::<Vec<_>>();
    assert_eq!(field("name"), ["web1", "web2"]);
    assert_eq!(field("is_self"), [true, false]);
    // The files name different nodes.
    assert_eq!(field("same_rules"), [true, false]);
    let metrics = get(ports[0], "/metrics").1;
    for line in [
        "hookyard_nodes{rules=\"same\"} 1",
        "hookyard_nodes{rules=\"other\"} 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let text = said(&web1.scenario.hookyard(&["status"]));
    assert!(
        text.contains("node web2: hookyard ") && text.contains("PostgreSQL "),
        "{text}"
    );
}

#[test]
#[ignore = "needs PostgreSQL: `just cluster`"]
fn a_daemon_that_stops_leaves_its_work_to_the_other() {
    let schema = Schema::new("stops");
    let ports = [free_port(), free_port()];
    let (mut web1, web2) = (schema.start("web1", ports[0]), schema.start("web2", ports[1]));
    assert_eq!(web1.stop(), Some(0));
    let answer = web2.post("/any").json("{\"n\": 1}").github("k").send();
    assert_eq!(answer.outcome(), (200, "accepted".into()));
    web2.eventually("web2 has performed it", || web2.lines("any") == 1);
    // What only web1 performs waits for it.
    let answer = web2.post("/one").json("{\"n\": 2}").github("k").send();
    assert_eq!(answer.outcome(), (200, "accepted".into()));
    web1.start();
    web1.eventually("web1 has performed it", || web1.lines("one") == 1);
    assert_eq!(web2.lines("one"), 0);
}

#[test]
#[ignore = "needs PostgreSQL: `just cluster`"]
fn commands_read_the_store_by_the_rules_and_by_its_url() {
    let schema = Schema::new("commands");
    let admin = free_port();
    let daemon = schema.start("web1", admin);
    assert_eq!(
        daemon.post("/any").json("{\"n\": 1}").github("k").send().status,
        200
    );
    daemon.eventually("it is done", || daemon.lines("any") == 1);
    let by_url = ["--store", &schema.url, "--schema", &schema.name];
    for more in [&[][..], &by_url] {
        let arguments: Vec<&str> = ["events", "list", "--format", "json"]
            .iter()
            .chain(more)
            .copied()
            .collect();
        daemon.eventually("the delivery is listed", || {
            let output = daemon.scenario.hookyard(&arguments);
            said(&output).contains("\"done\"")
        });
    }
    let check = daemon.scenario.hookyard(&["check", "--connect"]);
    assert_eq!(check.status.code(), Some(0), "{}", said(&check));
    assert!(said(&check).contains("tables of version 1"), "{}", said(&check));
}

#[test]
#[ignore = "needs PostgreSQL: `just cluster`"]
fn a_stopped_store_in_a_file_moves_to_a_server() {
    let schema = Schema::new("moves");
    let rules = "rules:\n  - {name: any, endpoint: /any, verify: {github: {secret: k}}, retry: {attempts: 1}, actions: [{run: [sh, -c, 'exit 3']}]}\n";
    let mut daemon = Scenario::new().rules(rules).start();
    assert_eq!(
        daemon.post("/any").json("{\"n\": 1}").github("k").send().status,
        200
    );
    daemon.eventually("it is dead", || daemon.log().contains("dead letter"));
    let by_url = ["--store", &schema.url, "--schema", &schema.name];
    let moved = |daemon: &Daemon| {
        let arguments = [&["store", "move", "hookyard.db"][..], &by_url].concat();
        daemon.scenario.hookyard(&arguments)
    };
    // A daemon uses the file.
    assert_eq!(moved(&daemon).status.code(), Some(1), "{}", said(&moved(&daemon)));
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(moved(&daemon).status.code(), Some(0), "{}", said(&moved(&daemon)));
    let listed = daemon
        .scenario
        .hookyard(&[&["events", "list", "--format", "json"][..], &by_url].concat());
    assert!(said(&listed).contains("\"dead\""), "{}", said(&listed));
    // The schema is not empty any more.
    assert_eq!(moved(&daemon).status.code(), Some(2));
}
