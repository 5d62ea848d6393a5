//! One file to which several daemons append.

use std::collections::BTreeSet;

use crate::scenario::Scenario;

#[test]
fn two_daemons_that_rotate_one_file_lose_no_line_and_tear_none() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let rules = format!(
        "rules:\n  - name: open\n    endpoint: /open\n    verify: none\n    actions:\n      - append: {}\n        \
         line: '{{{{ payload.n }}}} {{{{ payload.x }}}}'\n        rotate: {{size: 5KiB, keep: 1000}}\n",
        log.display()
    );
    let daemons = [(); 2].map(|()| Scenario::new().rules(&rules).start());
    std::thread::scope(|scope| {
        for (number, daemon) in daemons.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..100 {
                    let n = number * 100 + round;
                    let body = serde_json::json!({"n": n, "x": "x".repeat(500 + n)});
                    assert_eq!(daemon.post("/open").json(body.to_string()).send().status, 200);
                }
            });
        }
    });
    let lines = || {
        let mut lines = Vec::new();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            // The file may be rotated at this moment; then the next iteration finds it.
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
            lines.extend(text.lines().map(str::to_owned));
        }
        lines
    };
    daemons[0].eventually("all lines are there", || {
        lines().iter().collect::<BTreeSet<_>>().len() == 200
    });
    let lines = lines();
    assert_eq!(lines.len(), 200);
    for line in lines {
        let (n, x) = line.split_once(' ').unwrap();
        assert_eq!(x, "x".repeat(500 + n.parse::<usize>().unwrap()));
    }
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert!((20..=60).contains(&files), "{files}");
}
