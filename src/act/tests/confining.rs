//! Tests of diagnostics for commands with another user or limits. Running them is tested in
//! `tests/it`.

use serde_json::json;

use super::*;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn an_impossible_user_or_limit_is_reported() {
    for (fields, expected) in [
        ("user: no-such-user", "there is no user `no-such-user`"),
        ("group: no-such-group", "there is no group `no-such-group`"),
        ("user: 4294967295", "`user` is a name or a number"),
        ("user: '4294967295'", "`user` is a name or a number"),
        ("user: -1", "`user` is a name or a number"),
        ("user: 4294967296", "`user` is a name or a number"),
        ("group: 4294967295", "`group` is a name or a number"),
        ("user: '{{ payload.user }}'", "`user` is a name or a number"),
        ("user: ''", "`user` is a name or a number"),
        ("user: [root]", "`user` is a name or a number"),
        ("user: 3999999999", "there is no account for the user 3999999999"),
        ("nice: 20", "`nice` is 0 to 19"),
        ("nice: -1", "wrong value: `-1`"),
        ("limits: {cpu: 0s}", "`cpu` is 1s at least"),
        ("limits: {memory: 1MiB}", "`memory` is 16MiB at least"),
        ("limits: {files: 3}", "`files` is 16 at least"),
        ("limits: {processes: 0}", "`processes` is 1 at least"),
        ("limits: {cpu: 60}", "a duration with its unit"),
        ("limits: {time: 60s}", "unknown key `time`"),
    ] {
        let faults = compile_in(Path::new("/tmp"), &format!("{{run: ['true'], {fields}}}")).unwrap_err();
        assert_eq!(faults.len(), 1, "{fields}: {faults:#?}");
        assert!(faults[0].contains(expected), "{fields}: {faults:?}");
    }
}

#[test]
fn another_user_needs_the_capability_to_change_user() {
    for fields in ["user: nobody", "user: 65534, group: 65534", "group: nogroup"] {
        let compiled = compile_in(Path::new("/tmp"), &format!("{{shell: 'true', {fields}}}"));
        if is_root() {
            compiled.unwrap();
        } else {
            let faults = compiled.unwrap_err();
            assert_eq!(faults.len(), 1, "{faults:?}");
            let needs = "needs hookyard to run as root, or with CAP_SETUID, CAP_SETGID and CAP_KILL";
            assert!(faults[0].contains(needs), "{faults:?}");
        }
    }
    // A command may always run as the daemon's own user and group.
    let own = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    compile(&format!("{{run: ['true'], user: {own}, group: {group}}}"));
}

#[test]
fn the_confinement_of_a_command_is_described() {
    let event = event(json!({}), &[]);
    let values = action_context(&event, &[]).values();
    let yaml = "{run: [/bin/true], nice: 3, limits: {cpu: 1500ms, memory: 32MiB}}";
    assert_eq!(
        compile(yaml).describe(&values).unwrap(),
        json!({"run": ["/bin/true"], "env": {}, "cwd": "/tmp", "timeout": "10m",
            "nice": 3, "limits": {"cpu": "2s", "memory": 32 << 20}})
    );
    if is_root() {
        let described = compile("{run: [/bin/true], user: 65534, group: 60001}")
            .describe(&values)
            .unwrap();
        assert_eq!(described["user"]["uid"], 65534);
        assert_eq!(described["user"]["gid"], 60001);
    }
}
