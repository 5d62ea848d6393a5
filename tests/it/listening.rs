//! Listen addresses: several at once, of both families, and unix sockets with an owner.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::scenario::{Scenario, Sending, free_port, said};

const OPEN: &str = "rules: [{name: open, endpoint: /open, verify: none, actions: [append: open.jsonl]}]\n";

fn scene(listen: &str) -> Scenario {
    Scenario::new().rules(&format!("server: {{listen: {listen}}}\n{OPEN}"))
}

fn by_socket(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream
        .write_all(b"POST /open HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text[9..12].to_owned()
}

#[test]
fn a_unix_socket_has_its_mode_and_its_owner() {
    let (uid, gid) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let listen = format!(
        "[127.0.0.1:0, 'unix:{{dir}}/plain', {{unix: '{{dir}}/own', mode: '0602', user: {uid}, group: {gid}}}]"
    );
    let mut daemon = scene(&listen).start();
    let metadata = |name: &str| std::fs::metadata(daemon.folder().join(name)).unwrap();
    let of = |name: &str| {
        (
            metadata(name).permissions().mode() & 0o777,
            metadata(name).uid(),
            metadata(name).gid(),
        )
    };
    assert_eq!(of("plain"), (0o660, uid, gid));
    assert_eq!(of("own"), (0o602, uid, gid));
    for name in ["plain", "own"] {
        assert_eq!(by_socket(&daemon.folder().join(name)), "200");
    }
    if uid == 0 {
        // Only root can give the socket to another user.
        assert_eq!(daemon.stop(), Some(0));
        let listen = "[127.0.0.1:0, {unix: '{dir}/theirs', mode: '0600', user: nobody, group: 12345}]";
        let other = scene(listen).start();
        let metadata = std::fs::metadata(other.folder().join("theirs")).unwrap();
        assert_ne!(metadata.uid(), 0);
        assert_eq!(
            (metadata.gid(), metadata.permissions().mode() & 0o777),
            (12345, 0o600)
        );
    }
}

#[test]
fn both_families_are_served_on_one_port() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        // A machine without IPv6.
        return;
    }
    let free = free_port();
    for listen in [
        format!("[0.0.0.0:{free}, '[::]:{free}']"),
        format!("'[::]:{free}'"),
    ] {
        let rules = format!(
            "server: {{listen: {listen}}}\nendpoints: {{/v4: {{allow: 127.0.0.1}}, /v6: {{allow: '::1'}}}}\nrules: [{{name: v4, endpoint: /v4, verify: none, actions: [append: a]}}, {{name: v6, endpoint: /v6, verify: none, actions: [append: a]}}]\n"
        );
        let mut daemon = Scenario::new().rules(&rules).start();
        let status = |address: &str, path: &str| {
            let address = format!("{address}:{free}").parse().unwrap();
            assert!(TcpStream::connect(address).is_ok());
            Sending::to(address, "POST", path).json("{}").send().status
        };
        assert_eq!(
            [status("127.0.0.1", "/v4"), status("127.0.0.1", "/v6")],
            [200, 403],
            "{listen}"
        );
        assert_eq!(
            [status("[::1]", "/v4"), status("[::1]", "/v6")],
            [403, 200],
            "{listen}"
        );
        assert_eq!(daemon.stop(), Some(0));
    }
}

#[test]
fn who_came_to_a_balancer_by_a_unix_socket_did_not_come_by_ours() {
    let rules = "server: {listen: '127.0.0.1:0', proxy_protocol: [127.0.0.1], trusted_proxies: [unix]}\n\
                 endpoints: {/open: {allow: [127.0.0.1, 192.0.2.7]}}\n";
    let daemon = Scenario::new().rules(&format!("{rules}{OPEN}")).start();
    let head = |command: u8, family: u8, length: u8| {
        let mut head = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        head.extend([command, family, 0, length]);
        head.extend(vec![0; usize::from(length)]);
        head
    };
    let forwarded = "POST /open HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.7\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    let plain = forwarded.replace("X-Forwarded-For: 192.0.2.7\r\n", "");
    let status = |head: &[u8], request: &str| {
        let mut stream = daemon.connect();
        stream.write_all(&[head, request.as_bytes()].concat()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text[9..12].to_owned()
    };
    let unknown = b"PROXY UNKNOWN\r\n";
    // The load balancer itself is on the list, and its header is ignored.
    for own in [head(0x20, 0, 0), head(0x21, 0, 0), unknown.to_vec()] {
        assert_eq!(
            [status(&own, forwarded), status(&own, &plain)],
            ["200", "200"],
            "{own:?}"
        );
    }
    // A client of a unix socket has no address, so no list accepts it.
    let by_unix = head(0x21, 0x31, 216);
    assert_eq!(
        [status(&by_unix, forwarded), status(&by_unix, &plain)],
        ["403", "403"]
    );
    assert_eq!(
        daemon.log().matches("client=192.0.2.7").count(),
        0,
        "{}",
        daemon.log()
    );
}

#[test]
fn listeners_that_cannot_be_meant_are_found() {
    for (listen, expected) in [
        ("{unix: /run/x, mode: '0999'}", "a mode is octal digits"),
        ("{unix: /run/x, mode: 432}", "a mode is octal digits"),
        ("{unix: /run/x, mode: '4755'}", "a mode is octal digits"),
        ("{unix: relative}", "needs an absolute path"),
        (
            "{unix: /run/x, group: no-such-group-here}",
            "there is no group `no-such-group-here`",
        ),
        ("{unix: /run/x, user: [a]}", "a user is a name or a number"),
        ("{unix: /run/x, user: 4294967295}", "a user is a name or a number"),
        (
            "{unix: /run/x, address: '127.0.0.1:0'}",
            "either `address` or `unix`",
        ),
        ("{mode: '0660'}", "either `address` or `unix`"),
        (
            "{address: '127.0.0.1:0', mode: '0660'}",
            "`mode` is that of a unix socket",
        ),
        ("{address: 9000}", "wrong type"),
        ("[]", "no address to listen on"),
        ("['*:9470']", "`*` is no host: all addresses are `[::]:9470`"),
        (
            "['127.0.0.1:9470', '127.0.0.1:9470']",
            "`127.0.0.1:9470` stands here twice",
        ),
        (
            "['127.0.0.1:9470', {address: '[::ffff:127.0.0.1]:9470', tls: false}]",
            "`[::ffff:127.0.0.1]:9470` stands here twice",
        ),
        (
            "['localhost:9470', 'localhost:9470']",
            "`localhost:9470` stands here twice",
        ),
        (
            "['0.0.0.0:9470', '127.0.0.1:9470']",
            "`127.0.0.1:9470` is among the addresses of `0.0.0.0:9470`",
        ),
        (
            "['127.0.0.1:9470', '[::]:9470']",
            "`127.0.0.1:9470` is among the addresses of `[::]:9470`",
        ),
        (
            "['[::]:9470', '0.0.0.0:9470', '[::1]:9470']",
            "`[::1]:9470` is among the addresses of `[::]:9470`",
        ),
        ("[systemd, systemd]", "`systemd` stands here twice"),
        (
            "['unix:/run/x', {unix: /run/x, mode: '0600'}]",
            "`unix:/run/x` stands here twice",
        ),
        ("'unix:{dir}/none/x'", "there is no folder `"),
        ("'unix:{dir}/rules.yaml/x'", "there is no folder `"),
    ] {
        let output = scene(listen).hookyard(&["check", "rules.yaml"]);
        let said = said(&output);
        assert!(
            said.contains(expected) && output.status.code() == Some(1),
            "{listen}: {said}"
        );
    }
}

#[test]
fn listeners_that_can_be_had_beside_each_other_are_left_alone() {
    for (listen, warnings) in [
        ("['0.0.0.0:9470', '[::]:9470']", 0),
        ("['[::]:9470', '0.0.0.0:9471', '127.0.0.1:9472']", 0),
        ("['127.0.0.1:9470', '127.0.0.2:9470', '[::1]:9470', systemd]", 0),
        (
            "['127.0.0.1:0', '127.0.0.1:0', '0.0.0.0:0', 'localhost:0', 'localhost:0']",
            0,
        ),
        ("['unix:{dir}/a', 'unix:{dir}/b']", 0),
        // systemd creates the folder when the service starts.
        ("'unix:/run/hookyard-is-not-there/x'", 1),
    ] {
        let output = scene(listen).hookyard(&["check", "rules.yaml"]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(0), "{listen}: {said}");
        assert_eq!(
            said.matches("there is no folder").count(),
            warnings,
            "{listen}: {said}"
        );
    }
}

#[test]
fn what_cannot_be_listened_on_is_told_with_what_helps() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = free.local_addr().unwrap().to_string();
    let output = scene(&listen).hookyard(&["serve", "rules.yaml"]);
    let said = said(&output);
    assert!(
        said.contains("Address already in use (os error 98); `ss -tlnp` shows who has it")
            && output.status.code() == Some(2),
        "{said}"
    );
}
