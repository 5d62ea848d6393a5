//! The URL of a `PostgreSQL` server.
//!
//! Parameters are those of libpq. What is not understood is an error, because a parameter that is
//! ignored may be the one that protects the connection. `sslmode` is `verify-full`, except for
//! sockets and loopback addresses: libpq's default does not verify the server.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::tls::{Tls, TlsFiles};
use super::verifier::Verification;

/// Port of a server whose URL names none.
pub(super) const DEFAULT_PORT: u16 = 5432;

/// Folder of the socket if the URL names no host, as on Debian.
const SOCKET_FOLDER: &str = "/var/run/postgresql";

/// Maximum time to connect to a host, unless the URL has `connect_timeout`.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Maximum time to connect to one of several hosts. The next one is tried after it.
const CONNECT_LIMIT_OF_SEVERAL: Duration = Duration::from_secs(2);

/// Time without an acknowledgement after which a connection is closed. The calls on it are then
/// repeated on another one, within their patience.
const UNACKNOWLEDGED: Duration = Duration::from_secs(4);

/// Idle time after which the server is probed.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);

/// Time between probes.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);

/// Unanswered probes after which a connection is closed.
const KEEPALIVE_RETRIES: u32 = 3;

/// Parameters that the driver reads, with the name that it has for them.
const OF_THE_DRIVER: [(&str, &str); 16] = [
    ("user", "user"),
    ("password", "password"),
    ("dbname", "dbname"),
    ("options", "options"),
    ("host", "host"),
    ("hostaddr", "hostaddr"),
    ("port", "port"),
    ("sslnegotiation", "sslnegotiation"),
    ("channel_binding", "channel_binding"),
    ("connect_timeout", "connect_timeout"),
    ("tcp_user_timeout", "tcp_user_timeout"),
    ("keepalives", "keepalives"),
    ("keepalives_idle", "keepalives_idle"),
    ("keepalives_interval", "keepalives_interval"),
    ("keepalives_count", "keepalives_retries"),
    ("keepalives_retries", "keepalives_retries"),
];

/// A URL that was read and understood.
#[derive(Clone)]
pub struct ServerUrl {
    /// All hosts.
    pub(super) config: Config,
    /// Each host by itself, in the order in which they are tried.
    pub(super) hosts: Vec<OneHost>,
    pub(super) tls: Tls,
}

/// The settings of a connection to one host.
#[derive(Clone)]
pub(super) struct OneHost {
    pub config: Config,
    /// Maximum time until a connection is ready.
    pub limit: Duration,
    /// Host and port.
    pub name: String,
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The driver leaves out the password.
        self.config.fmt(f)
    }
}

/// The parameters that this module reads itself.
#[derive(Default)]
struct Own {
    mode: Option<Mode>,
    files: TlsFiles,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Verified(Verification),
}

impl ServerUrl {
    /// Reads a URL, and the certificates that it names. The error says what is wrong, without the
    /// password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        if !base.starts_with("postgres://") && !base.starts_with("postgresql://") {
            return Err("it does not begin with `postgres://`".to_owned());
        }
        if query.contains('@') {
            return Err(
                "there is an `@` after a `?`: in a password, write `%3F` for `?` and `%40` for `@`"
                    .to_owned(),
            );
        }
        let (own, query) = divide(query)?;
        let mut config = Config::from_str(&format!("{base}?{query}")).map_err(|error| words(&error))?;
        validate(&mut config)?;
        let (mode, is_default) = match own.mode {
            Some(mode) => (mode, false),
            None if config.get_hosts().iter().all(is_local) && config.get_hostaddrs().is_empty() => {
                (Mode::Disable, true)
            }
            None => (Mode::Verified(Verification::Full), true),
        };
        if mode == Mode::Disable && own.files.are_named() && !is_default {
            return Err("certificates are of no use with `sslmode=disable`".to_owned());
        }
        // A certificate that is named is to be used, also on a loopback address.
        let mode = if own.files.are_named() && mode == Mode::Disable {
            Mode::Verified(Verification::Full)
        } else {
            mode
        };
        let tls = match mode {
            Mode::Disable => Tls::disabled(),
            Mode::Verified(verification) => Tls::new(verification, &own.files)?,
        };
        let hosts = single_hosts(&config, mode)?;
        Ok(Self { config, hosts, tls })
    }

    /// True if the server of an encrypted connection is not verified.
    pub(super) fn is_unverified(&self) -> bool {
        self.tls.verification() == Some(Verification::Nothing)
    }
}

/// Takes out the parameters that the driver does not know, and checks the names of the others.
fn divide(query: &str) -> Result<(Own, String), String> {
    let mut own = Own::default();
    let mut rest = String::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("the parameter `{}` has no value", shown(pair)))?;
        let decoded = percent_encoding::percent_decode_str(value).decode_utf8();
        let text = decoded.map_err(|_invalid| format!("the parameter `{}` is not UTF-8", shown(name)))?;
        match name {
            "sslmode" => own.mode = Some(mode(&text)?),
            "sslrootcert" => own.files.roots = Some(text.into_owned()),
            "sslcert" => own.files.certificate = Some(text.into_owned()),
            "sslkey" => own.files.key = Some(text.into_owned()),
            "target_session_attrs" => match &*text {
                "any" | "read-write" | "primary" => {}
                other => {
                    return Err(format!(
                        "`target_session_attrs={}` is of no use: hookyard writes, so it needs `read-write`",
                        shown(other)
                    ));
                }
            },
            "application_name" => return Err("hookyard sets `application_name` itself".to_owned()),
            _ => {
                let known = OF_THE_DRIVER.iter().find(|(known, _)| *known == name);
                let (_, name) = known.ok_or_else(|| format!("the parameter `{}` is unknown", shown(name)))?;
                if !rest.is_empty() {
                    rest.push('&');
                }
                rest.extend([name, "=", value]);
            }
        }
    }
    Ok((own, rest))
}

fn mode(text: &str) -> Result<Mode, String> {
    Ok(match text {
        "disable" => Mode::Disable,
        "require" => Mode::Verified(Verification::Nothing),
        "verify-ca" => Mode::Verified(Verification::Authority),
        "verify-full" => Mode::Verified(Verification::Full),
        "allow" | "prefer" => {
            return Err(format!(
                "`sslmode={text}` protects from nothing: write `verify-full`, or `disable` in a network that you trust"
            ));
        }
        other => return Err(format!("`sslmode={}` is unknown", shown(other))),
    })
}

/// Checks hosts and times, and adds what the URL leaves out.
fn validate(config: &mut Config) -> Result<(), String> {
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        config.host_path(SOCKET_FOLDER);
    }
    for host in config.get_hosts() {
        if let Host::Tcp(name) = host
            && (name.contains('@') || name.is_empty())
        {
            // The name would show the end of the password.
            return Err("a host is empty or contains `@`: write `%40` for an `@` in the password".to_owned());
        }
    }
    let (hosts, addresses, ports) = (
        config.get_hosts().len(),
        config.get_hostaddrs().len(),
        config.get_ports().len(),
    );
    if addresses > 0 && hosts > 0 && addresses != hosts {
        return Err(format!(
            "there are {hosts} hosts and {addresses} addresses in `hostaddr`"
        ));
    }
    if ports > 1 && ports != hosts.max(addresses) {
        return Err(format!(
            "there are {} hosts and {ports} ports",
            hosts.max(addresses)
        ));
    }
    Ok(())
}

/// True for a socket or a loopback address.
fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name.eq_ignore_ascii_case("localhost")
                || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
    }
}

/// The settings for each host. The driver would spend all the time on the first one.
fn single_hosts(config: &Config, mode: Mode) -> Result<Vec<OneHost>, String> {
    let count = config.get_hosts().len().max(config.get_hostaddrs().len());
    let default_limit = if count > 1 {
        CONNECT_LIMIT_OF_SEVERAL
    } else {
        CONNECT_LIMIT
    };
    let limit = config.get_connect_timeout().copied();
    let limit = limit.filter(|limit| !limit.is_zero()).unwrap_or(default_limit);
    (0..count)
        .map(|index| {
            let port = config.get_ports().get(index).or(config.get_ports().first());
            let port = port.copied().unwrap_or(DEFAULT_PORT);
            let (host, address) = (config.get_hosts().get(index), config.get_hostaddrs().get(index));
            let mut one = common(config);
            one.port(port);
            one.ssl_mode(match (mode, host) {
                (Mode::Disable, _) | (_, Some(Host::Unix(_))) => SslMode::Disable,
                (Mode::Verified(_), Some(Host::Tcp(_))) => SslMode::Require,
                (Mode::Verified(_), None) => {
                    return Err("the server is verified by its name: name the host".to_owned());
                }
            });
            let mut name = String::new();
            if let Some(address) = address {
                one.hostaddr(*address);
                name = address.to_string();
            }
            match host {
                Some(Host::Tcp(host)) => {
                    one.host(host);
                    name.clone_from(host);
                }
                Some(Host::Unix(folder)) => {
                    one.host_path::<&Path>(folder);
                    name = folder.display().to_string();
                }
                None => {}
            }
            let name = format!("{name}:{port}");
            Ok(OneHost {
                config: one,
                limit,
                name,
            })
        })
        .collect()
}

/// The settings that all hosts share.
fn common(config: &Config) -> Config {
    let mut one = Config::new();
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(database) = config.get_dbname() {
        one.dbname(database);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    // One that was left out is zero or absent. Two hours, the driver's own, are the system's.
    let is_set = |value: Duration, default: u64| value != Duration::from_secs(default);
    let idle = config.get_keepalives_idle();
    let idle = if is_set(idle, 2 * 60 * 60) {
        idle
    } else {
        KEEPALIVE_IDLE
    };
    one.keepalives(config.get_keepalives())
        .keepalives_idle(idle)
        .keepalives_interval(config.get_keepalives_interval().unwrap_or(KEEPALIVE_INTERVAL))
        .keepalives_retries(config.get_keepalives_retries().unwrap_or(KEEPALIVE_RETRIES))
        .tcp_user_timeout(config.get_tcp_user_timeout().copied().unwrap_or(UNACKNOWLEDGED))
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding())
        // A standby refuses writes: the next host is tried.
        .target_session_attrs(TargetSessionAttrs::ReadWrite);
    one
}

/// A text of the URL, without control characters and not too long.
fn shown(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => {
            let begin = text.get(..end).unwrap_or_default();
            Cow::Owned(format!("{}…", crate::base::escape::line(begin)))
        }
        None => crate::base::escape::line(text),
    }
}

/// The words of the driver, which never show a value.
fn words(error: &tokio_postgres::Error) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), ToString::to_string)
}
