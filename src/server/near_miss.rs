//! Hints for requests whose path belongs to no endpoint. Only the log shows them: a client must not
//! learn which endpoints exist.

use crate::rules::RuleSet;

/// Returns a hint if an endpoint's path is close to `path`.
pub fn hint(rules: &RuleSet, path: &str) -> Option<String> {
    let known = rules.endpoints.iter().map(|endpoint| &*endpoint.path);
    nearest(known, |path| rules.endpoint(path).is_some(), path)
}

/// Derives the hint from the endpoints as written. `is_endpoint` is true if a path belongs to one.
fn nearest<'e>(
    endpoints: impl Iterator<Item = &'e str> + Clone,
    is_endpoint: impl Fn(&str) -> bool,
    path: &str,
) -> Option<String> {
    let mut plain = collapse_slashes(path);
    if plain.len() > 1 {
        plain.truncate(plain.trim_end_matches('/').len());
    }
    let exact = "paths are compared exactly";
    for candidate in [format!("{plain}/"), plain.clone()] {
        if candidate != path && is_endpoint(&candidate) {
            return Some(format!(
                "`{candidate}` is an endpoint: {exact}, each slash counts"
            ));
        }
    }
    let bare = |path: &str| path.trim_end_matches('/').to_ascii_lowercase();
    if let Some(found) = endpoints.clone().find(|known| bare(known) == bare(&plain)) {
        return Some(format!(
            "`{found}` is an endpoint: {exact}, capital and small letters differ"
        ));
    }
    let prefixed = |longer: &str, shorter: &str| shorter.len() > 1 && longer.ends_with(shorter);
    let found = endpoints
        .filter(|known| prefixed(known, &plain) || prefixed(&plain, known))
        .max_by_key(|known| known.len())?;
    Some(format!(
        "`{found}` is an endpoint: a proxy in front may have added or removed a prefix"
    ))
}

/// Collapses each run of slashes into one.
fn collapse_slashes(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    for letter in path.chars() {
        if letter != '/' || !plain.ends_with('/') {
            plain.push(letter);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_names_the_endpoint_and_what_differs() {
        const ENDPOINTS: [&str; 4] = ["/github", "/hooks/Stripe", "/slash/", "/hooks/gitlab/prod"];
        let hint = |path: &str| {
            let is_endpoint = |path: &str| ENDPOINTS.contains(&path);
            nearest(ENDPOINTS.into_iter(), is_endpoint, path)
        };
        for (path, endpoint, word) in [
            ("/github/", "/github", "slash"),
            ("//github", "/github", "slash"),
            ("/hooks//Stripe//", "/hooks/Stripe", "slash"),
            ("/slash", "/slash/", "slash"),
            ("/GitHub", "/github", "letters"),
            ("/hooks/stripe/", "/hooks/Stripe", "letters"),
            ("/webhooks/github", "/github", "prefix"),
            ("/prod", "/hooks/gitlab/prod", "prefix"),
        ] {
            let hint = hint(path).unwrap_or_else(|| panic!("{path}"));
            assert!(
                hint.starts_with(&format!("`{endpoint}`")) && hint.contains(word),
                "{path}: {hint}"
            );
        }
        for path in ["/", "//", "/other", "/githubs", "", "/.env", "/xhub"] {
            assert_eq!(hint(path), None, "{path}");
        }
    }
}
