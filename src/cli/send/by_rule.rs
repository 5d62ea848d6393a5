//! Destination and scheme of `hookyard send --rule`, from the rules file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::Method;

use super::{Destination, check_url};
use crate::base::diagnostic::did_you_mean;
use crate::pipeline::filled_path;
use crate::rules::{Listen, Rule, RuleSet};
use crate::verify::Verification;

/// The endpoint of a rule with a scheme that can be signed. `url` replaces the address of the rules
/// file, and the path too if it has one.
pub(super) fn destination<'r>(
    rules: &'r RuleSet,
    name: &str,
    url: Option<&str>,
    parameters: &[(String, String)],
) -> Result<Destination<'r>, String> {
    let (endpoint, rule) = rules.rule(name).ok_or_else(|| {
        let near = did_you_mean(name, rules.names.keys().map(|name| &**name));
        let near = near.map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
        format!("the rules file has no rule `{name}`{near}")
    })?;
    let verification = signing(&endpoint.verifications, rule)?;
    let url = match url {
        Some(url) => {
            check_url(url)?;
            url.to_owned()
        }
        None => address(&rules.server.listen)?,
    };
    let own: http::Uri = url
        .parse()
        .map_err(|error| format!("`{url}` is not a URL: {error}"))?;
    let has_path = own.path() != "/" || own.query().is_some();
    let (url, path) = if has_path {
        let path = own.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        (url, path.to_owned())
    } else {
        let (path, _) = filled_path(&endpoint.path, parameters)?;
        (format!("{}{path}", url.trim_end_matches('/')), path)
    };
    let origin = verification.signed_origin().filter(|origin| !origin.is_empty());
    Ok(Destination {
        signed_url: origin.map_or_else(|| url.clone(), |origin| format!("{origin}{path}")),
        url,
        method: endpoint.methods.first().cloned().unwrap_or(Method::POST),
        scheme: verification.scheme().to_string(),
        verification,
    })
}

/// The first alternative of the rule that can be signed.
fn signing<'r>(verifications: &'r [Verification], rule: &Rule) -> Result<&'r Verification, String> {
    let indices = rule.alternatives.iter().map(|known| known.verification);
    let mut alternatives = indices.filter_map(|index| verifications.get(index));
    let schemes: Vec<String> = alternatives
        .clone()
        .map(|known| format!("`{}`", known.scheme()))
        .collect();
    alternatives.find(|known| known.can_sign()).ok_or_else(|| {
        format!(
            "`send` cannot sign for `{}`: the rules file has no key that signs by {}. It can sign with a shared \
             secret. For a private key, use `--as`",
            rule.name,
            schemes.join(", ")
        )
    })
}

/// The URL of the first TCP listener, as this machine reaches it.
fn address(listen: &[Listen]) -> Result<String, String> {
    let tcp = listen.iter().find_map(|listen| match listen {
        Listen::Tcp { address, tls } => Some((address, *tls)),
        Listen::Unix(..) | Listen::Systemd { .. } => None,
    });
    let unknown = || "the rules file names no address to send to: name it, `hookyard send URL --rule NAME`";
    let (address, tls) = tcp.ok_or_else(unknown)?;
    let scheme = if tls { "https" } else { "http" };
    let Ok(socket) = address.parse::<SocketAddr>() else {
        return Ok(format!("{scheme}://{address}"));
    };
    if socket.port() == 0 {
        return Err(unknown().to_owned());
    }
    let ip = match socket.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(format!("{scheme}://{}", SocketAddr::new(ip, socket.port())))
}
