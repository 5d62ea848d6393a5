//! Diagnostics about replays of captured requests.
//!
//! Notes: a rule reads request parts that no signature covers, or a duplicate may be a new event.
//! Warnings: no duplicate can be recognised. Errors: a handshake signs text for strangers that
//! another rule accepts.

use super::endpoint::{DeclaredVerification, EndpointBuilder};
use crate::base::diagnostic::{Diagnostic, Diagnostics};
use crate::base::units::HumanDuration;
use crate::rules::{OnDuplicate, Rule};

/// Maximum names that a note lists.
const LISTED: usize = 8;

pub fn check(builders: &[EndpointBuilder<'_>], diagnostics: &mut Diagnostics) {
    for builder in builders {
        for (index, declared) in builder.written().enumerate() {
            let rules: Vec<&Rule> = builder.rules_of(index).collect();
            if rules.is_empty() {
                continue;
            }
            let minding = |code: &str| -> Vec<&Rule> {
                let rules = rules.iter().copied();
                rules.filter(|rule| !rule.allows_warning(code)).collect()
            };
            diagnostics.extend(unsigned_parts(&declared, &minding("unsigned-part")));
            if !minding("repeated-content").is_empty() {
                diagnostics.extend(repeated_content(&declared, builder, index));
            }
            diagnostics.extend(no_dedup_id(&declared, &minding("no-id")));
        }
    }
    open_handshakes(builders, diagnostics);
    for builder in builders {
        weak_alternatives(builder, diagnostics);
    }
}

/// Reports an alternative without a signed time beside one that has it, by the same secret.
fn weak_alternatives(builder: &EndpointBuilder<'_>, diagnostics: &mut Diagnostics) {
    for (weak, strong) in builder.weak_alternatives() {
        let (Some(weak), Some(strong)) = (builder.written().nth(weak), builder.written().nth(strong)) else {
            continue;
        };
        let message = format!(
            "`{}` has the secret of `{}`, but no signed time: of a captured request with both proofs, the one \
             with the time can be removed",
            weak.verification.scheme(),
            strong.verification.scheme()
        );
        let hint = "give each alternative a secret of its own, or remove this one once the sender signs by the other";
        diagnostics.push(Diagnostic::warning(weak.origin.clone(), "weak-alternative", message).hint(hint));
    }
}

/// Reports request parts that rules read although the signature does not cover them.
fn unsigned_parts(declared: &DeclaredVerification<'_>, rules: &[&Rule]) -> Option<Diagnostic> {
    if rules.is_empty() {
        return None;
    }
    let unsigned_parts = declared.reads.clone().unsigned(declared.verification);
    let headers = unsigned_parts
        .headers
        .iter()
        .map(|name| format!("`header.{name}`"));
    let query = unsigned_parts.query.iter().map(|name| format!("`query.{name}`"));
    let parts = [
        (unsigned_parts.any_query, "the query"),
        (unsigned_parts.path, "the path"),
        (unsigned_parts.method, "the method"),
    ];
    let parts = parts.into_iter().filter(|(read, _)| *read);
    let location: Vec<String> = query.chain(parts.map(|(_, name)| name.to_owned())).collect();
    let headers: Vec<String> = headers.collect();
    if headers.is_empty() && location.is_empty() {
        return None;
    }
    let read = listed(headers.iter().chain(&location).map(String::as_str));
    let names = listed(rules.iter().map(|rule| &*rule.name));
    let (noun, verb) = if rules.len() == 1 {
        ("the rule", "reads")
    } else {
        ("the rules", "read")
    };
    let message = format!(
        "{noun} {names} {verb} {read}, which the signature of `{}` does not cover",
        declared.verification.scheme()
    );
    // For headers, the first request counts, so nothing else can be done. Another path or query
    // makes another event.
    let hint = if location.is_empty() {
        "a captured request that comes again with other headers runs nothing, but the first to come is believed"
    } else {
        "a captured request can be sent again with another path or query: use a secret for each environment, or a \
         scheme that signs the URL"
    };
    Some(Diagnostic::note(declared.origin.clone(), "unsigned-part", message).hint(hint))
}

/// Reports a sender that may sign the same content again for a new event.
fn repeated_content(
    declared: &DeclaredVerification<'_>,
    builder: &EndpointBuilder<'_>,
    index: usize,
) -> Option<Diagnostic> {
    if !declared.verification.may_repeat() || !builder.is_silent_on_duplicates(index) {
        return None;
    }
    let message = format!(
        "`{}` signs neither a time nor an id: the same signed content counts as the same event, for {}",
        declared.verification.scheme(),
        HumanDuration(declared.verification.default_window())
    );
    let hint = "if the sender signs the same content for each event, set `on_duplicate: run`, or let it sign a `timestamp`; \
                `on_duplicate: ignore` says that this is meant";
    Some(Diagnostic::note(declared.origin.clone(), "repeated-content", message).hint(hint))
}

/// Reports a verification that cannot tell events apart, under a rule that relies on it.
fn no_dedup_id(declared: &DeclaredVerification<'_>, rules: &[&Rule]) -> Option<Diagnostic> {
    let verification = declared.verification;
    if verification.is_none() || !verification.recognised_by().is_empty() {
        return None;
    }
    if rules.iter().all(|rule| rule.on_duplicate == OnDuplicate::Run) {
        return None;
    }
    let message = format!(
        "nothing that `{}` verifies tells events apart: an event that is sent twice runs twice",
        verification.scheme()
    );
    let hint =
        "say where the sender puts an id, `id: {header: NAME}`, or that twice is right, `on_duplicate: run`";
    Some(Diagnostic::warning(declared.origin.clone(), "no-id", message).hint(hint))
}

/// Reports handshakes that sign text for strangers with a secret that another verification accepts.
fn open_handshakes(builders: &[EndpointBuilder<'_>], diagnostics: &mut Diagnostics) {
    let all = || {
        builders
            .iter()
            .enumerate()
            .flat_map(|(at, builder)| builder.written().map(move |declared| (at, builder, declared)))
    };
    for (at, endpoint, told) in all() {
        let Some(handshake) = told.verification.tells_strangers() else {
            continue;
        };
        for (other, _, declared) in all() {
            if !declared.verification.believes(told.verification) {
                continue;
            }
            let scheme = declared.verification.scheme();
            let message = format!(
                "the handshake `{handshake}` of `{}` signs any short text on request, with the secret that `{scheme}` \
                 believes here",
                endpoint.path
            );
            let origin = declared.origin.clone();
            let diagnostic = if at == other {
                Diagnostic::error(origin, "handshake", message)
            } else {
                Diagnostic::warning(origin, "handshake", message)
            };
            diagnostics
                .push(diagnostic.hint(
                    "use another secret here, or a scheme that signs a timestamp after a `.` or a `:`",
                ));
        }
    }
}

/// Joins names, in backticks unless they are phrases. Long lists are cut.
pub fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let all: Vec<String> = names
        .map(|name| {
            if name.contains(['`', ' ']) {
                name.to_owned()
            } else {
                format!("`{name}`")
            }
        })
        .collect();
    let shown: Vec<&str> = all.iter().take(LISTED).map(String::as_str).collect();
    let more = all.len().saturating_sub(LISTED);
    match (shown.split_last(), more) {
        (_, 1..) => format!("{} and {more} more", shown.join(", ")),
        (Some((last, [])), _) => (*last).to_owned(),
        (Some((last, rest)), _) => format!("{} and {last}", rest.join(", ")),
        (None, _) => String::new(),
    }
}
