//! The API below `/api/v1`: what the page shows as JSON, and everything that the page does.
//!
//! An action is a POST. Its body is a JSON object, perhaps empty; names in the path and `dry_run` of
//! the query are added to it. The table of actions is also the source of the `OpenAPI` file.

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

use crate::admin::answer::typed;
use crate::admin::page::Params;
use crate::admin::services::AdminServices;
use crate::admin::stream::AdminBody;
use crate::admin::who::Grant;

/// Prefix of all paths of the API.
pub const PREFIX: &str = "/api/v1";

/// An action of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    ReplayArrival,
    StopArrival,
    ReplayDelivery,
    DropDelivery,
    StopDelivery,
    ReplayDeliveries,
    DropDeliveries,
    PauseRule,
    ResumeRule,
    FireRule,
    PauseTarget,
    ResumeTarget,
    Plan,
    Try,
    Check,
}

impl Action {
    pub const ALL: [Self; 15] = [
        Self::ReplayArrival,
        Self::StopArrival,
        Self::ReplayDelivery,
        Self::DropDelivery,
        Self::StopDelivery,
        Self::ReplayDeliveries,
        Self::DropDeliveries,
        Self::PauseRule,
        Self::ResumeRule,
        Self::FireRule,
        Self::PauseTarget,
        Self::ResumeTarget,
        Self::Plan,
        Self::Try,
        Self::Check,
    ];

    /// Path below [`PREFIX`], as the router reads it.
    pub fn pattern(self) -> &'static str {
        match self {
            Self::ReplayArrival => "/arrivals/{id}/replay",
            Self::StopArrival => "/arrivals/{id}/stop",
            Self::ReplayDelivery => "/deliveries/{id}/replay",
            Self::DropDelivery => "/deliveries/{id}/drop",
            Self::StopDelivery => "/deliveries/{id}/stop",
            Self::ReplayDeliveries => "/deliveries/replay",
            Self::DropDeliveries => "/deliveries/drop",
            Self::PauseRule => "/rules/{name}/pause",
            Self::ResumeRule => "/rules/{name}/resume",
            Self::FireRule => "/rules/{name}/fire",
            Self::PauseTarget => "/targets/pause",
            Self::ResumeTarget => "/targets/resume",
            Self::Plan => "/plan",
            Self::Try => "/try",
            Self::Check => "/check",
        }
    }

    /// The action in a sentence.
    pub fn says(self) -> &'static str {
        match self {
            Self::ReplayArrival => {
                "Runs an ignored arrival by the rules in force, or replays the deliveries of an event that have ended."
            }
            Self::StopArrival => "Stops the attempts of all deliveries of an event.",
            Self::ReplayDelivery => "Replays a delivery that has ended, from its first action.",
            Self::DropDelivery => "Gives up a waiting delivery, deletes an ended one.",
            Self::StopDelivery => "Stops the attempt of a delivery that runs.",
            Self::ReplayDeliveries => "Replays the dead letters of a rule with the same reason.",
            Self::DropDeliveries => "Deletes the dead letters of a rule with the same reason.",
            Self::PauseRule => "Pauses a rule. Its deliveries wait.",
            Self::ResumeRule => "Resumes a rule.",
            Self::FireRule => "Runs a rule by hand.",
            Self::PauseTarget => "Pauses a target of forwards.",
            Self::ResumeTarget => "Resumes a target of forwards.",
            Self::Plan => "Judges the rules file on disk by the arrivals that are kept.",
            Self::Try => "Decides about one request by other rules, beside the rules in force. Nothing runs.",
            Self::Check => {
                "Checks a rules file as the daemon would load it. For root and the daemon's own user."
            }
        }
    }

    /// The whole request: the members of the body, and what path and query name.
    fn request(self, params: &Params, mut body: Map<String, Value>) -> Value {
        let name = &params.path;
        let dry_run = params
            .get("dry_run")
            .is_some_and(|value| matches!(value, "1" | "true"));
        let mut add = |member: &str, value: Value| drop(body.insert(member.to_owned(), value));
        match self {
            Self::PauseRule => return json!({"pause": {"rule": name}}),
            Self::ResumeRule => return json!({"resume": {"rule": name}}),
            Self::PauseTarget => return json!({"pause": {"target": body.get("target")}}),
            Self::ResumeTarget => return json!({"resume": {"target": body.get("target")}}),
            Self::Plan | Self::Try | Self::Check => {}
            Self::ReplayArrival => add("id", json!(name)),
            Self::StopArrival => add("target", json!({"event": name})),
            Self::StopDelivery => add("target", json!({"delivery": name})),
            Self::FireRule => add("rule", json!(name)),
            Self::ReplayDelivery | Self::DropDelivery => add("of", json!({"delivery": name})),
            Self::ReplayDeliveries | Self::DropDeliveries => {
                let group = json!({"rule": body.get("rule"), "reason": body.get("reason")});
                body.insert("of".to_owned(), json!({"group": group}));
            }
        }
        match self {
            Self::ReplayDelivery | Self::ReplayDeliveries => {
                body.insert("change".to_owned(), json!("replay"));
            }
            Self::DropDelivery | Self::DropDeliveries => {
                body.insert("change".to_owned(), json!("drop"));
            }
            _ => {}
        }
        if dry_run {
            body.insert("dry_run".to_owned(), json!(true));
        }
        Value::Object(body)
    }

    /// Performs the action.
    pub(super) async fn perform(
        self,
        services: &AdminServices,
        request: Request<Incoming>,
        params: Params,
        grant: Grant,
    ) -> Response<AdminBody> {
        if self == Self::Check && !grant.judges {
            let why = "only root and the daemon's own user may ask for that";
            return error(StatusCode::FORBIDDEN, why);
        }
        if !grant.acts() {
            return error(StatusCode::FORBIDDEN, "read only");
        }
        let who = grant.who;
        let is_event = self == Self::ReplayArrival && is_event(services, &params).await;
        let complete = move |mut body: Map<String, Value>| {
            if is_event {
                body.insert("of".to_owned(), json!({"event": params.path}));
                body.insert("change".to_owned(), json!("replay"));
            }
            self.request(&params, body)
        };
        let response = match self {
            Self::ReplayArrival if is_event => services.changer.answer(request, complete, who).await,
            Self::ReplayArrival => services.replayer.answer(request, complete, who).await,
            Self::StopArrival | Self::StopDelivery => services.stopper.answer(request, complete, who).await,
            Self::ReplayDelivery | Self::DropDelivery | Self::ReplayDeliveries | Self::DropDeliveries => {
                services.changer.answer(request, complete, who).await
            }
            Self::PauseRule | Self::ResumeRule | Self::PauseTarget | Self::ResumeTarget => {
                services.rule_operator.answer(request, complete, who).await
            }
            Self::FireRule => services.firer.answer(request, complete, who).await,
            Self::Plan => services.planner.answer(request, complete, who).await,
            Self::Try => services.page.sources().tryer.answer(request, complete, who).await,
            Self::Check => services.judge.answer(request).await,
        };
        response.map(AdminBody::from)
    }
}

/// True if the id in the path is that of an event. Otherwise the arrival became none, or is gone.
async fn is_event(services: &AdminServices, params: &Params) -> bool {
    let Ok(id) = params.path.parse() else {
        return false;
    };
    let sources = services.page.sources();
    let found = sources
        .read(move |history| Ok(history.event(id)?.is_some()))
        .await;
    found.unwrap_or(false)
}

/// An error as JSON.
pub fn error(status: StatusCode, why: &str) -> Response<AdminBody> {
    let body = json!({"error": why}).to_string();
    typed(status, "application/json", body).map(AdminBody::from)
}

/// A response with JSON.
pub fn json(json: serde_json::Result<Vec<u8>>) -> Response<AdminBody> {
    match json {
        Ok(json) => typed(StatusCode::OK, "application/json", json).map(AdminBody::from),
        Err(failed) => error(StatusCode::INTERNAL_SERVER_ERROR, &failed.to_string()),
    }
}
