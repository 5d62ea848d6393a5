//! Decision about a request by its head: does it come from the operator's own page or command line?
//!
//! A browser sends requests for every page that it shows, also to `localhost` and through a
//! forwarded socket. Two checks keep other pages out. The name in `Host` must be one of this
//! machine or of `admin.public_url`, since the owner of any other name can point it here (DNS
//! rebinding). A request that can change something must come from the same origin, or from a
//! program that is no browser. Pure: the head and the facts of the door are arguments.

use std::fmt;

use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, Method, StatusCode, Uri, header};

use crate::rules::PublicUrl;

/// Paths for programs that watch the daemon. They change nothing and tell no secret, and their
/// readers use other names for this machine.
pub const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Transport of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A unix socket. It may be forwarded, so the scheme in the browser is not known.
    Unix,
    /// TCP without TLS. A proxy may add TLS, so the scheme is known only for this machine's names.
    Plain,
    Tls,
}

/// Reason why a request is refused. The sender learns only [`Self::word`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardRefusal {
    /// There is no `Host`, there are several, or it is not a host with an optional port.
    Host,
    /// The target is a whole URL, or it names only a host.
    Target,
    /// `Host` is another name than this machine's.
    OtherHost(String),
    Method(Method),
    /// `Sec-Fetch-Site` names another site.
    OtherSite(String),
    /// `Origin` is another one than the one that `Host` names.
    OtherOrigin(String),
    /// Neither `Sec-Fetch-Site` nor `Origin` is there, and the body is not `application/json`.
    UnknownOrigin,
}

impl GuardRefusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Host | Self::Target => StatusCode::BAD_REQUEST,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::OtherHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::OtherSite(_) | Self::OtherOrigin(_) | Self::UnknownOrigin => StatusCode::FORBIDDEN,
        }
    }

    /// The text of the answer.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Host | Self::Target => "malformed",
            Self::Method(_) => "method not allowed",
            Self::OtherHost(_) => "misdirected",
            Self::OtherSite(_) | Self::OtherOrigin(_) | Self::UnknownOrigin => "forbidden",
        }
    }
}

impl fmt::Display for GuardRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("not one `Host` with a host and an optional port"),
            Self::Target => f.write_str("the target is not a path"),
            Self::OtherHost(host) => write!(
                f,
                "`Host` is `{host}`, neither `localhost` nor the host of `admin.public_url`"
            ),
            Self::Method(method) => write!(f, "the method is `{method}`"),
            Self::OtherSite(site) => write!(f, "`Sec-Fetch-Site` is `{site}`"),
            Self::OtherOrigin(origin) => write!(f, "`Origin` is `{origin}`, which is not that of `Host`"),
            Self::UnknownOrigin => {
                f.write_str("neither `Sec-Fetch-Site` nor `Origin`, and the body is not `application/json`")
            }
        }
    }
}

/// Checks the head of a request. Returns the origin's scheme and host that the browser uses.
pub fn check(
    head: &Parts,
    transport: Transport,
    public_url: Option<&PublicUrl>,
) -> Result<Origin, GuardRefusal> {
    // The authority of a whole URL would replace `Host` (RFC 9112 §3.2.2).
    if head.uri.authority().is_some() || head.uri.scheme().is_some() || !head.uri.path().starts_with('/') {
        // `OPTIONS *` is a path to hyper.
        if head.method != Method::OPTIONS || head.uri.path() != "*" {
            return Err(GuardRefusal::Target);
        }
    }
    let origin = origin(head, transport, public_url)?;
    match head.method {
        // They have no effects.
        Method::GET | Method::HEAD => return Ok(origin),
        Method::POST => {}
        // Without a header of CORS: a browser then sends no request that needs permission.
        _ => return Err(GuardRefusal::Method(head.method.clone())),
    }
    let stated = single(head, &header::ORIGIN).map_err(GuardRefusal::OtherOrigin)?;
    // An opaque origin: a sandboxed frame, or a file.
    if let Some("null") = stated {
        return Err(GuardRefusal::OtherOrigin("null".to_owned()));
    }
    match (
        single(head, &SEC_FETCH_SITE).map_err(GuardRefusal::OtherSite)?,
        stated,
    ) {
        // A page cannot set this header. `none`: the user wrote the address.
        (Some("same-origin" | "none"), _) => Ok(origin),
        (Some(site), _) => Err(GuardRefusal::OtherSite(site.to_owned())),
        (None, Some(stated)) if origin.is(stated) => Ok(origin),
        (None, Some(stated)) => Err(GuardRefusal::OtherOrigin(stated.to_owned())),
        // A browser without these headers asks for permission before it sends this type.
        (None, None) if is_json(head) => Ok(origin),
        (None, None) => Err(GuardRefusal::UnknownOrigin),
    }
}

/// True if a browser sent the request, as far as its head shows.
pub fn is_by_browser(head: &Parts) -> bool {
    head.headers.contains_key(SEC_FETCH_SITE) || head.headers.contains_key(header::ORIGIN)
}

/// The origin of the page in the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`. `None`: unknown.
    pub scheme: Option<&'static str>,
    /// Value of `Host`, in lower case.
    host: String,
}

impl Origin {
    /// True if `stated` is this origin.
    fn is(&self, stated: &str) -> bool {
        let Some((scheme, host)) = stated.split_once("://") else {
            return false;
        };
        matches!(scheme, "http" | "https")
            && self.scheme.is_none_or(|known| known == scheme)
            && host.eq_ignore_ascii_case(&self.host)
    }
}

/// Returns the origin that `Host` names, if it is one of the allowed hosts.
fn origin(
    head: &Parts,
    transport: Transport,
    public_url: Option<&PublicUrl>,
) -> Result<Origin, GuardRefusal> {
    let stated = single(head, &header::HOST).map_err(|_several| GuardRefusal::Host)?;
    let stated = stated.ok_or(GuardRefusal::Host)?.to_ascii_lowercase();
    let name = host_name(&stated).ok_or(GuardRefusal::Host)?;
    let scheme = if let Some(url) = public_url.filter(|url| url.host == name) {
        Some(if url.https { "https" } else { "http" })
    } else if matches!(name, "localhost" | "127.0.0.1" | "[::1]") {
        match transport {
            Transport::Unix => None,
            Transport::Plain => Some("http"),
            Transport::Tls => Some("https"),
        }
    } else {
        let shown = stated.chars().take(100).collect();
        return Err(GuardRefusal::OtherHost(shown));
    };
    Ok(Origin { scheme, host: stated })
}

/// The name in `host[:port]`, or `None` for anything else.
fn host_name(stated: &str) -> Option<&str> {
    let end = if stated.starts_with('[') {
        stated.find(']')? + 1
    } else {
        stated.find(':').unwrap_or(stated.len())
    };
    let (name, port) = stated.split_at_checked(end)?;
    let is_port = |digits: &str| {
        digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    // Also refuses `user@localhost`.
    let parsed = stated.parse::<Authority>().is_ok() && !stated.contains('@');
    (good && parsed && !name.is_empty()).then_some(name)
}

/// The value of a header that may be there once. The error shows values that are not one text.
fn single<'h>(head: &'h Parts, name: &HeaderName) -> Result<Option<&'h str>, String> {
    let mut values = head.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let shown = value.to_str().map_err(|_binary| "not text".to_owned())?;
            // Longer than every origin and host (RFC 1035 §2.3.4): it would only fill the log.
            if shown.len() > 300 {
                return Err("too long".to_owned());
            }
            Ok(Some(shown))
        }
        (Some(_), Some(_)) => Err("several".to_owned()),
    }
}

/// True if the body is declared as `application/json`, once.
fn is_json(head: &Parts) -> bool {
    let declared = single(head, &header::CONTENT_TYPE).ok().flatten();
    let essence = declared.map(|declared| declared.split(';').next().unwrap_or_default().trim());
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

/// True if the answer to this target is for programs that watch the daemon.
pub fn is_probe(uri: &Uri) -> bool {
    PROBES.contains(&uri.path())
}

#[cfg(test)]
mod tests;
