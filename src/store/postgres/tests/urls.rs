//! The URL of a server.

use std::fs;

use tokio_postgres::config::SslMode;

use super::super::url::ServerUrl;

fn modes(url: &str) -> Vec<SslMode> {
    let url = ServerUrl::parse(url).unwrap();
    url.hosts.iter().map(|host| host.config.get_ssl_mode()).collect()
}

#[test]
fn a_server_elsewhere_is_verified_unless_the_url_says_otherwise() {
    assert_eq!(modes("postgres://me@db.example.com/q"), [SslMode::Require]);
    assert_eq!(modes("postgresql://me@192.0.2.1/q"), [SslMode::Require]);
    assert_eq!(
        modes("postgres://me@localhost,db.example.com/q"),
        [SslMode::Require; 2]
    );
    for local in [
        "localhost",
        "LOCALHOST:5433",
        "127.0.0.1",
        "127.1.2.3",
        "[::1]:5433",
        "%2Frun%2Fpostgresql",
    ] {
        assert_eq!(
            modes(&format!("postgres://me@{local}/q")),
            [SslMode::Disable],
            "{local}"
        );
    }
    assert_eq!(modes("postgres:///q"), [SslMode::Disable]);
    assert_eq!(
        modes("postgres://localhost/q?sslmode=verify-full"),
        [SslMode::Require]
    );
    assert_eq!(
        modes("postgres://db.example.com/q?sslmode=disable"),
        [SslMode::Disable]
    );
    // A socket beside a host is not encrypted. The host is.
    assert_eq!(
        modes("postgres://%2Frun%2Fpostgresql,db.example.com/q"),
        [SslMode::Disable, SslMode::Require]
    );
}

#[test]
fn hosts_are_tried_in_their_order_each_with_its_port() {
    let url = ServerUrl::parse("postgres://me:pw@a.example,b.example:5433/q?connect_timeout=3").unwrap();
    let names: Vec<_> = url.hosts.iter().map(|host| &*host.name).collect();
    assert_eq!(names, ["a.example:5432", "b.example:5433"]);
    for host in &url.hosts {
        assert_eq!(host.limit.as_secs(), 3);
        assert_eq!(host.config.get_user(), Some("me"));
        assert_eq!(host.config.get_password(), Some("pw".as_bytes()));
        assert_eq!(host.config.get_dbname(), Some("q"));
    }
    let url = ServerUrl::parse("postgres://db.example.com/q?hostaddr=127.0.0.1").unwrap();
    assert_eq!(url.hosts[0].name, "db.example.com:5432");
    assert_eq!(url.hosts[0].config.get_hostaddrs().len(), 1);
}

#[test]
fn times_have_bounds_that_the_url_can_change() {
    let url = ServerUrl::parse("postgres://localhost/q").unwrap();
    let config = &url.hosts[0].config;
    assert_eq!(config.get_tcp_user_timeout().unwrap().as_secs(), 4);
    assert_eq!(config.get_keepalives_idle().as_secs(), 5);
    assert_eq!(config.get_keepalives_interval().unwrap().as_secs(), 2);
    assert_eq!(config.get_keepalives_retries(), Some(3));
    let url = ServerUrl::parse(
        "postgres://localhost/q?tcp_user_timeout=9&keepalives_idle=30&keepalives_interval=7&keepalives_count=2",
    );
    let url = url.unwrap();
    let config = &url.hosts[0].config;
    assert_eq!(config.get_tcp_user_timeout().unwrap().as_secs(), 9);
    assert_eq!(config.get_keepalives_idle().as_secs(), 30);
    assert_eq!(config.get_keepalives_interval().unwrap().as_secs(), 7);
    assert_eq!(config.get_keepalives_retries(), Some(2));
}

#[test]
fn what_is_not_understood_is_an_error() {
    for (url, word) in [
        ("mysql://localhost/q", "postgres://"),
        ("host=localhost dbname=q", "postgres://"),
        ("postgres://localhost/q?sslmod=disable", "`sslmod` is unknown"),
        ("postgres://localhost/q?sslcrl=/x", "`sslcrl` is unknown"),
        ("postgres://localhost/q?load_balance_hosts=random", "unknown"),
        ("postgres://localhost/q?application_name=x", "application_name"),
        ("postgres://localhost/q?sslmode", "no value"),
        ("postgres://localhost/q?sslmode=full", "`sslmode=full` is unknown"),
        ("postgres://db.example.com/q?sslmode=prefer", "verify-full"),
        (
            "postgres://db.example.com/q?target_session_attrs=read-only",
            "read-write",
        ),
        ("postgres://localhost:x/q", "port"),
        ("postgres://a,b/q?hostaddr=127.0.0.1", "2 hosts and 1 addresses"),
        ("postgres:///q?hostaddr=192.0.2.1", "name the host"),
        (
            "postgres://db.example.com/q?sslrootcert=/no/such/file",
            "/no/such/file",
        ),
        ("postgres://db.example.com/q?sslrootcert=ca.pem", "absolute"),
        (
            "postgres://db.example.com/q?sslmode=require&sslcert=/x.pem",
            "`sslcert` needs `sslkey`",
        ),
        (
            "postgres://db.example.com/q?sslmode=disable&sslrootcert=/x.pem",
            "of no use",
        ),
    ] {
        let error = ServerUrl::parse(url).unwrap_err();
        assert!(error.contains(word), "{url}: {error}");
    }
    for url in [
        "postgres://localhost/q?target_session_attrs=read-write",
        "postgres://localhost/q?target_session_attrs=primary&options=-c%20work_mem%3D8MB",
    ] {
        ServerUrl::parse(url).unwrap();
    }
}

#[test]
fn no_error_shows_the_password() {
    for url in [
        "postgres://me:geheim@x@db.example.com/q",
        "postgres://me:x@geheim:5432/q?sslmode=nonsense",
        "postgres://me:geheim@db.example.com:port/q",
        "postgres://me:geheim@db.example.com/q?foo=1",
        "postgres://me:geheim@db.example.com/q?password=geheim&port=x",
    ] {
        let error = ServerUrl::parse(url).unwrap_err();
        assert!(!error.contains("geheim"), "{error}");
    }
    let url = ServerUrl::parse("postgres://me:geheim@localhost/q").unwrap();
    assert!(!format!("{url:?}").contains("geheim"));
}

#[test]
fn a_file_without_a_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    fs::write(&path, "nothing").unwrap();
    let url = format!("postgres://db.example.com/q?sslrootcert={}", path.display());
    let error = ServerUrl::parse(&url).unwrap_err();
    assert!(
        error.contains("there is no certificate in") && error.contains("ca.pem"),
        "{error}"
    );
}
