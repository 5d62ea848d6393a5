//! A request as the arguments describe it, before its endpoint is known.

use std::net::IpAddr;
use std::path::Path;

use http::HeaderMap;

use super::Arguments;
use crate::cli::{body, header};
use crate::rules::RuleSet;

pub(super) struct Described {
    /// Path and query.
    pub(super) target: String,
    pub(super) method: String,
    pub(super) headers: HeaderMap,
    pub(super) client: Option<IpAddr>,
    pub(super) body: Vec<u8>,
}

impl Described {
    /// Builds the request from the arguments. The endpoint may be omitted if the rules have only
    /// one.
    pub(super) fn by(arguments: &Arguments, rules: &RuleSet) -> Result<Self, String> {
        let target = match (&arguments.endpoint, rules.endpoints.as_slice()) {
            (Some(target), _) => target.clone(),
            (None, [only]) if !only.path.contains('{') => only.path.to_string(),
            (None, endpoints) => {
                let known: Vec<&str> = endpoints.iter().map(|endpoint| &*endpoint.path).collect();
                return Err(if known.is_empty() {
                    "the rules file has no endpoint".to_owned()
                } else {
                    format!(
                        "which endpoint? name a path with `--endpoint`; there are {}",
                        known.join(", ")
                    )
                });
            }
        };
        let mut headers = HeaderMap::new();
        for line in &arguments.headers {
            let (name, value) = header(line)?;
            headers.append(name, value);
        }
        Ok(Self {
            target,
            method: arguments.method.clone(),
            headers,
            client: arguments.client,
            body: body(arguments.body.as_deref().map(Path::new))?,
        })
    }
}
