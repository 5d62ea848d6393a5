//! Rules that the operator runs through the admin socket.

use std::sync::Arc;

use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::admin::{FireAnswer, FireRequest, Firer, MAX_FIRE_HEAD, Who};
use crate::daemon::shared::{Shared, operator_name, waits};
use crate::pipeline::{Fired, Firing, Ingest, NotFired};
use crate::rules::RuleSet;

/// Builds the service that runs rules by hand.
pub(super) fn firer(shared: &Shared, ingest: &Arc<Ingest>) -> Firer {
    let (live, ingest) = (Arc::clone(&shared.live), Arc::clone(ingest));
    let pauses = Arc::clone(&shared.pauses);
    let bounds = Arc::clone(&live);
    let fire = move |request: FireRequest, who: Who| {
        let (live, ingest) = (Arc::clone(&live), Arc::clone(&ingest));
        let pauses = Arc::clone(&pauses);
        let dry_run = request.dry_run;
        let answering = async move {
            let by = operator_name(who).await;
            let firing = match firing(request, by) {
                Ok(firing) => firing,
                Err(why) => return failed(why),
            };
            let rules = live.current();
            let waits = waits(&pauses.current(), &firing.rule.as_str().into());
            match ingest.fire(&rules, firing).await {
                Ok(fired) => answer(fired, waits, dry_run),
                Err(NotFired::Failed(why)) => failed(why),
                Err(NotFired::Refused(why)) => FireAnswer {
                    refused: Some(why),
                    ..FireAnswer::default()
                },
            }
        };
        let answering: crate::admin::Performing<FireAnswer> = Box::pin(answering);
        answering
    };
    Firer::new(move || max_request(&bounds.current()), fire)
}

/// Maximum size of a request: the largest body of an endpoint, in Base64.
fn max_request(rules: &RuleSet) -> usize {
    let bodies = rules.endpoints.iter().map(|endpoint| endpoint.max_body);
    let largest = usize::try_from(bodies.max().unwrap_or(0)).unwrap_or(usize::MAX);
    (largest / 3)
        .saturating_add(1)
        .saturating_mul(4)
        .saturating_add(MAX_FIRE_HEAD)
}

fn failed(why: String) -> FireAnswer {
    FireAnswer {
        failed: Some(why),
        ..FireAnswer::default()
    }
}

/// Reads a request. The error is what is wrong with it.
fn firing(request: FireRequest, by: String) -> Result<Firing, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let name: HeaderName = name
            .parse()
            .map_err(|error| format!("`{name}` is not the name of a header: {error}"))?;
        let value: HeaderValue = value
            .parse()
            .map_err(|error| format!("the value of `{name}` cannot stand in a header: {error}"))?;
        headers.append(name, value);
    }
    let body = match request.text {
        Some(text) => text.into_bytes(),
        None => BASE64
            .decode(request.body.as_bytes())
            .map_err(|error| format!("the body is not Base64: {error}"))?,
    };
    let method = request.method.map(|method| method.parse());
    let method = method.transpose();
    let method = method.map_err(|error| format!("the method is not valid: {error}"))?;
    Ok(Firing {
        method,
        rule: request.rule,
        by: by.into(),
        event_name: request.event_name,
        headers,
        query: request.query,
        parameters: request.path,
        body: body.into(),
        force: request.force,
        dry_run: request.dry_run,
    })
}

fn answer(fired: Fired, waits: Option<String>, dry_run: bool) -> FireAnswer {
    let (actions, on_failure) = fired.preview.to_json();
    FireAnswer {
        refused: None,
        failed: None,
        missed: fired.missed,
        waits,
        event: (!dry_run).then(|| fired.event.to_string()),
        delivery: fired.delivery.map(|delivery| delivery.to_string()),
        lines: fired.preview.lines().collect(),
        actions,
        on_failure,
    }
}
