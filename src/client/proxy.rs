//! Proxy settings: the proxy, if any, for a connection to a target.
//!
//! The default comes from the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in either case)
//! and is read once at load. A proxy from the environment is never used to reach this machine
//! itself. User and password in a proxy's URL are secrets and are never printed.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use sha2::{Digest, Sha256};

use crate::base::diagnostic::Diagnostics;
use crate::base::secret::{Keyring, source_of};
use crate::base::yaml::Node;

/// Hosts that are never reached through a proxy from the environment.
const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1";
/// Hint for an invalid `proxy`.
const EXAMPLE: &str = "write `proxy: http://host:3128`, `proxy: env:NAME`, `proxy: env` or `proxy: none`";

/// Proxies of a forward.
#[derive(Clone, Default)]
pub struct Proxy {
    matcher: Option<Arc<Matcher>>,
    digest: [u8; 32],
}

impl Proxy {
    /// Reads `proxy` of the action `whole`.
    pub fn compile(whole: Node<'_>, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Option<Self> {
        let node = whole.given("proxy");
        match node.map(|node| (node, node.as_str())) {
            None => Self::from_environment(whole, keyring, diagnostics),
            Some((node, Some("env"))) => Self::from_environment(node, keyring, diagnostics),
            Some((_, Some("none"))) => Some(Self::default()),
            Some((node, Some(text))) => Self::from_rules(node, text, keyring, diagnostics),
            Some((node, None)) => {
                diagnostics.push(node.error("proxy", "`proxy` is text").hint(EXAMPLE));
                None
            }
        }
    }

    /// Returns the proxy for a target, if any.
    pub fn to(&self, target: &Uri) -> Option<Intercept> {
        self.matcher.as_ref()?.intercept(target)
    }

    /// True if no proxy is configured.
    pub fn is_none(&self) -> bool {
        self.matcher.is_none()
    }

    /// Digest that identifies this setting.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Compiles a proxy that the rules file names.
    fn from_rules(
        node: Node<'_>,
        text: &str,
        keyring: &Keyring,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let secret = match source_of(text).map(|source| keyring.at(node).resolve(source)) {
            None => None,
            Some(Ok((secret, warning))) => {
                diagnostics.extend(warning.map(|warning| node.warning("secret", warning)));
                Some(secret)
            }
            Some(Err(message)) => {
                diagnostics.push(node.error("secret", message));
                return None;
            }
        };
        if secret.is_none() && text.contains('@') {
            let warning =
                "a password written out in the rules file: prefer `proxy: env:NAME` with the whole URL";
            diagnostics.push(node.warning("secret", warning));
        }
        let url = secret.as_ref().map_or(Some(text), |secret| {
            std::str::from_utf8(secret.expose()).ok().map(str::trim)
        });
        match url.map_or(Err("it is not text"), |url| check(url).map(|()| url)) {
            Ok(url) => Some(Self::new(url, url, "")),
            Err(why) => {
                // Leave out the value: it may contain a password.
                let message = format!("this names no proxy that can be used: {why}");
                diagnostics.push(node.error("proxy", message).hint(EXAMPLE));
                None
            }
        }
    }

    /// Compiles the proxies that the environment names.
    fn from_environment(node: Node<'_>, keyring: &Keyring, diagnostics: &mut Diagnostics) -> Option<Self> {
        let variable = |names: [&'static str; 2]| {
            let mut set = names
                .into_iter()
                .filter_map(|name| Some((name, keyring.variable(name)?)));
            set.next()
        };
        let mut proxy = |names: [&'static str; 2]| {
            let Some((name, value)) = variable(names).filter(|(_, value)| !value.is_empty()) else {
                return Some("");
            };
            match value
                .to_str()
                .map_or(Err("it is not text"), |url| check(url).map(|()| url))
            {
                Ok(url) => Some(url),
                Err(why) => {
                    let message =
                        format!("the environment variable `{name}` names no proxy that can be used: {why}");
                    diagnostics.push(
                        node.error("proxy", message)
                            .hint("write `proxy: none` to go straight"),
                    );
                    None
                }
            }
        };
        let (http, https) = (
            proxy(["HTTP_PROXY", "http_proxy"]),
            proxy(["HTTPS_PROXY", "https_proxy"]),
        );
        let (http, https) = (http?, https?);
        if http.is_empty() && https.is_empty() {
            return Some(Self::default());
        }
        let no = variable(["NO_PROXY", "no_proxy"]).and_then(|(_, value)| value.to_str());
        let no = format!("{THIS_MACHINE},{}", no.unwrap_or_default());
        Some(Self::new(http, https, &no))
    }

    fn new(http: &str, https: &str, no: &str) -> Self {
        let mut digest = Sha256::new();
        for text in [http, https, no] {
            digest.update(Sha256::digest(text.as_bytes()));
        }
        let matcher = Matcher::builder().http(http).https(https).no(no).build();
        Self {
            matcher: Some(Arc::new(matcher)),
            digest: digest.finalize().into(),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("direct", &self.is_none())
            .finish_non_exhaustive()
    }
}

/// Checks that a URL names a usable proxy.
fn check(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().or(Err("it is not a URL"))?;
    // The environment variables are often written without a scheme.
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP) {
        return Err("only `http://` proxies are known, for `https` targets too");
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err("it has no host");
    }
    if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
        return Err("a proxy's URL has no path");
    }
    Ok(())
}
