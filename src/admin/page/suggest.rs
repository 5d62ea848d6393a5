//! Completions of the filter line.

use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::page::arrivals::MAX_QUERY;
use crate::admin::page::sources::{Params, Sources};
use crate::history::{KnownNames, Suggestion, suggestions};

/// Completions of the term at the cursor.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Completions {
    pub suggestions: Vec<Suggestion>,
}

/// Completes the filter line `q` at the position `at`, in characters.
pub fn completions(sources: &Sources, params: &Params) -> Completions {
    let line = params.get("q").unwrap_or_default();
    if line.len() > MAX_QUERY {
        return Completions::default();
    }
    let at = params.get("at").and_then(|at| at.parse().ok());
    let rules = sources.live.current();
    let endpoints: Vec<&str> = rules.endpoints.iter().map(|endpoint| &*endpoint.path).collect();
    let of_endpoints = rules.endpoints.iter().flat_map(|endpoint| &endpoint.rules);
    let names: Vec<&str> = of_endpoints.map(|rule| &*rule.name).collect();
    let known = KnownNames {
        endpoints: &endpoints,
        rules: &names,
    };
    Completions {
        suggestions: suggestions(line, at.unwrap_or(usize::MAX), known),
    }
}
