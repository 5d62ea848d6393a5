//! Tests of rotation, by the daemon and by other programs.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::task::JoinSet;

use super::*;

async fn append(action: &Action, text: &str) -> Outcome {
    let event = event(json!({"x": text}), &[]);
    ACTOR
        .perform(action, &action_context(&event, &[]), CancellationToken::new())
        .await
}

/// Returns an action that appends `payload.x` to the file `log` of this folder.
fn action(folder: &Path, more: &str) -> Action {
    compile_in(
        folder,
        &format!("{{append: log, line: '{{{{ payload.x }}}}'{more}}}"),
    )
    .unwrap()
}

/// Returns the contents of `log`, `log.1` and so on.
fn contents(folder: &Path) -> Vec<String> {
    let path = |number: usize| match number {
        0 => folder.join("log"),
        number => folder.join(format!("log.{number}")),
    };
    (0..)
        .map_while(|number| std::fs::read_to_string(path(number)).ok())
        .collect()
}

#[tokio::test]
async fn a_file_is_rotated_by_size_between_two_lines() {
    let folder = tempfile::tempdir().unwrap();
    let action = action(folder.path(), ", rotate: {size: 10, keep: 2}, sync: true");
    for text in ["aaaa", "bbbb", "c", "a line that is longer than all", "d", "e"] {
        let outcome = append(&action, text).await;
        assert_eq!(outcome.verdict, Verdict::Done);
        assert_eq!(outcome.detail, format!("{} bytes appended", text.len() + 1));
    }
    assert_eq!(
        contents(folder.path()),
        ["d\ne\n", "a line that is longer than all\n", "c\n"]
    );
}

#[tokio::test]
async fn a_file_is_rotated_at_the_first_line_of_a_day() {
    let folder = tempfile::tempdir().unwrap();
    let action = action(folder.path(), ", rotate: {every: day}");
    append(&action, "yesterday").await;
    let file = File::options()
        .append(true)
        .open(folder.path().join("log"))
        .unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "the file system's clock is the machine's"
    )]
    let yesterday = SystemTime::now() - Duration::from_hours(24);
    file.set_modified(yesterday).unwrap();
    append(&action, "today").await;
    append(&action, "still").await;
    assert_eq!(contents(folder.path()), ["today\nstill\n", "yesterday\n"]);
}

#[tokio::test]
async fn a_failed_rotation_does_not_lose_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let action = action(folder.path(), ", rotate: {size: 10, keep: 1}");
    append(&action, "aaaaaaaa").await;
    // A folder blocks the name of the rotated file.
    std::fs::create_dir(folder.path().join("log.1")).unwrap();
    let outcome = append(&action, "bbbbbbbb").await;
    assert_eq!(outcome.verdict, Verdict::Done);
    assert!(
        outcome
            .detail
            .starts_with("9 bytes appended; the file cannot be rotated: "),
        "{}",
        outcome.detail
    );
    let text = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert_eq!(text, "aaaaaaaa\nbbbbbbbb\n");
}

#[tokio::test]
async fn a_file_that_was_copied_and_truncated_is_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let action = action(folder.path(), ", rotate: {size: 10}");
    append(&action, "one").await;
    OpenOptions::new()
        .write(true)
        .open(folder.path().join("log"))
        .unwrap()
        .set_len(0)
        .unwrap();
    append(&action, "two").await;
    append(&action, "three").await;
    // The file holds neither old bytes nor a hole instead of them.
    assert_eq!(contents(folder.path()), ["two\nthree\n"]);
}

#[tokio::test]
async fn a_file_that_another_program_locks_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let action = action(folder.path(), "");
    append(&action, "one").await;
    let file = File::options().append(true).open(&path).unwrap();
    file.lock().unwrap();
    let (outcome, ()) = tokio::join!(append(&action, "two"), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
        file.unlock().unwrap();
    });
    assert_eq!(outcome.verdict, Verdict::Done);
    assert_eq!(contents(folder.path()), ["one\ntwo\n"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rules_that_share_a_file_lose_and_split_no_line() {
    for more in ["", ", rotate: {size: 50KiB, keep: 1000}"] {
        let folder = tempfile::tempdir().unwrap();
        // Two rules, and the same two after a reload: four actions that share no state.
        let actions: Vec<Arc<Action>> = (0..4).map(|_| Arc::new(action(folder.path(), more))).collect();
        let mut tasks = JoinSet::new();
        for task in 0..16_usize {
            let action = Arc::clone(&actions[task % 4]);
            tasks.spawn(async move {
                for round in 0..40 {
                    let text = format!("{task} {round} {}", "x".repeat(2000 + round));
                    let outcome = append(&action, &text).await;
                    assert_eq!(outcome.verdict, Verdict::Done, "{}", outcome.detail);
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        let files = contents(folder.path());
        assert_eq!(files.len() == 1, more.is_empty(), "{}", files.len());
        assert!(more.is_empty() || files.iter().all(|file| file.len() <= 50 << 10));
        let mut lines: Vec<(usize, usize)> = Vec::new();
        for line in files.iter().flat_map(|file| file.lines()) {
            let words: Vec<&str> = line.split(' ').collect();
            let (task, round) = (words[0].parse().unwrap(), words[1].parse().unwrap());
            assert_eq!(words[2], "x".repeat(2000 + round));
            lines.push((task, round));
        }
        lines.sort_unstable();
        let all: Vec<(usize, usize)> = (0..16)
            .flat_map(|task| (0..40).map(move |round| (task, round)))
            .collect();
        assert!(lines == all, "{} of {}", lines.len(), all.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_that_is_moved_away_repeatedly_loses_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let action = Arc::new(action(folder.path(), ""));
    let path: PathBuf = folder.path().join("log");
    let mut tasks = JoinSet::new();
    for task in 0..8_usize {
        let action = Arc::clone(&action);
        tasks.spawn(async move {
            for round in 0..50 {
                assert_eq!(
                    append(&action, &format!("{task} {round}")).await.verdict,
                    Verdict::Done
                );
            }
        });
    }
    let mut moved = 0;
    while !tasks.is_empty() {
        let to = folder.path().join(format!("moved.{moved}"));
        moved += usize::from(std::fs::rename(&path, to).is_ok());
        tokio::time::sleep(Duration::from_millis(1)).await;
        while let Some(ended) = tasks.try_join_next() {
            ended.unwrap();
        }
    }
    let mut lines = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        lines += text.lines().count();
    }
    assert_eq!(lines, 400);
}
