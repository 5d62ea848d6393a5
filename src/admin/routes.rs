//! Paths of the page and of the API.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use matchit::Router;

use crate::admin::api::{self, Action, PREFIX};
use crate::admin::exchange;
use crate::admin::openapi;
use crate::admin::page::{self, Params, View, ViewError, Visitor};
use crate::admin::services::AdminServices;
use crate::admin::stream::AdminBody;
use crate::admin::try_rules::MAX_TRY;
use crate::admin::who::{Grant, Who};

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// A view as HTML.
    Html(View),
    /// A view as JSON.
    Json(View),
    /// The body of an arrival, as a file.
    Body,
    /// The stream of new arrivals.
    News,
    /// The output of the attempts of a delivery.
    Output,
    /// Completions of the filter line.
    Suggestions,
    Status,
    OpenApi,
    Act(Action),
    /// The form that tries rules.
    TryForm,
}

static ROUTES: LazyLock<Router<Route>> = LazyLock::new(|| {
    let mut routes = Router::new();
    let mut add = |pattern: String, route| {
        // All patterns are constant, and a test looks each of them up.
        drop(routes.insert(pattern, route));
    };
    for view in View::ALL {
        add(view.pattern().to_owned(), Route::Html(view));
        add(format!("{PREFIX}{}", view.api_pattern()), Route::Json(view));
    }
    // Its path is also that of a view.
    for action in Action::ALL.into_iter().filter(|action| *action != Action::Try) {
        add(format!("{PREFIX}{}", action.pattern()), Route::Act(action));
    }
    for (pattern, route) in [
        ("/arrivals/{id}/body", Route::Body),
        ("/arrivals/stream", Route::News),
        ("/deliveries/{id}/output", Route::Output),
        ("/suggestions", Route::Suggestions),
        ("/status", Route::Status),
        ("/openapi.json", Route::OpenApi),
    ] {
        add(format!("{PREFIX}{pattern}"), route);
    }
    routes
});

/// Answers a request that the door has let in. Gives it back if its path belongs
/// to no view and no action.
pub(super) async fn answer(
    services: &AdminServices,
    request: Request<Incoming>,
    grant: Grant,
) -> Result<Response<AdminBody>, Request<Incoming>> {
    if !grant.has_page() {
        return Err(request);
    }
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if let Some(asset) = services.page.asset(path, request.headers()).filter(|_| reads) {
        return Ok(asset.map(whole));
    }
    let found = ROUTES.at(path).ok();
    let found = found.and_then(|found| {
        let name = found.params.iter().next().map(|(_, value)| value);
        Some((*found.value, params(&request, name)?))
    });
    let Some((route, params)) = found else {
        return Err(request);
    };
    let is_post = request.method() == Method::POST;
    let route = match route {
        Route::Html(View::Try) if is_post => Route::TryForm,
        Route::Json(View::Try) if is_post => Route::Act(Action::Try),
        other => other,
    };
    let expected = match route {
        Route::Act(_) | Route::TryForm => is_post,
        _ => reads,
    };
    if !expected {
        let allowed = if is_post { "GET, HEAD" } else { "POST" };
        let mut response = api::error(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        let allow = HeaderValue::from_static(allowed);
        response.headers_mut().insert(header::ALLOW, allow);
        return Ok(response);
    }
    Ok(match route {
        Route::Act(action) => action.perform(services, request, params, grant).await,
        Route::TryForm => try_form(services, request, &grant).await,
        _ => read(services, route, request, params, &grant).await,
    })
}

async fn read(
    services: &AdminServices,
    route: Route,
    request: Request<Incoming>,
    params: Params,
    grant: &Grant,
) -> Response<AdminBody> {
    let page = &services.page;
    let visitor = visitor(grant);
    let last = request.headers().get("last-event-id");
    let last = last.and_then(|last| last.to_str().ok());
    match route {
        Route::Html(view) => page.html(view, &params, visitor).await.map(whole),
        Route::Json(view) => match view.read(page.sources(), &params, visitor).await {
            Ok(data) => api::json(data.to_json()),
            Err(why) => api::error(why.status(), &why.message()),
        },
        Route::Body => match page::body(page.sources(), &params).await {
            Ok(file) => file.map(whole),
            Err(why) => api::error(why.status(), &why.message()),
        },
        Route::News => match services.news.stream(page.sources(), &params, last) {
            Ok(stream) => services.streams.respond(stream),
            Err(why) => api::error(why.status(), &why.message()),
        },
        Route::Output => {
            services
                .output
                .answer(&params.path, &request, &services.streams)
                .await
        }
        Route::Suggestions => api::json(serde_json::to_vec(&page::completions(page.sources(), &params))),
        Route::Status => api::json(serde_json::to_vec(&page.sources().status.status().await)),
        Route::OpenApi => api::json(serde_json::to_vec(&openapi::document())),
        Route::Act(_) | Route::TryForm => api::error(StatusCode::NOT_FOUND, "not found"),
    }
}

/// Answers the form that tries rules. Nothing is changed.
async fn try_form(
    services: &AdminServices,
    request: Request<Incoming>,
    grant: &Grant,
) -> Response<AdminBody> {
    let visitor = visitor(grant);
    if !visitor.may_act {
        return services
            .page
            .error(&ViewError::ReadOnly, visitor)
            .await
            .map(whole);
    }
    match exchange::read_bytes(request, MAX_TRY).await {
        Ok(form) => services.page.tried(&form, visitor).await.map(whole),
        Err(response) => response.map(AdminBody::from),
    }
}

fn visitor(grant: &Grant) -> Visitor {
    Visitor {
        may_act: grant.acts(),
        session: matches!(grant.who, Who::Session(_)),
    }
}

/// Reads the parameters. `None` if the path or the query is not UTF-8.
fn params<B>(request: &Request<B>, name: Option<&str>) -> Option<Params> {
    let name = name.unwrap_or_default();
    let path = percent_encoding::percent_decode_str(name)
        .decode_utf8()
        .ok()?
        .into_owned();
    let query = request.uri().query().unwrap_or_default();
    let query = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    Some(Params { path, query })
}

fn whole(body: Bytes) -> AdminBody {
    AdminBody::from(Full::new(body))
}

/// The page that says that there is nothing at a path.
pub(super) async fn missing(services: &AdminServices, path: &str, grant: &Grant) -> Response<AdminBody> {
    if path.starts_with(PREFIX) {
        return api::error(StatusCode::NOT_FOUND, "not found");
    }
    let visitor = visitor(grant);
    let error = ViewError::Missing(format!("there is no page at `{path}`"));
    services.page.error(&error, visitor).await.map(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_leads_to_its_route() {
        let concrete = |pattern: &str| pattern.replace("{id}", "1").replace("{name}", "a%2Fb");
        for view in View::ALL {
            let route = ROUTES.at(&concrete(view.pattern())).map(|found| *found.value);
            assert_eq!(route, Ok(Route::Html(view)));
            let path = format!("{PREFIX}{}", concrete(view.api_pattern()));
            assert_eq!(ROUTES.at(&path).map(|found| *found.value), Ok(Route::Json(view)));
        }
        for action in Action::ALL.into_iter().filter(|action| *action != Action::Try) {
            let path = format!("{PREFIX}{}", concrete(action.pattern()));
            assert_eq!(ROUTES.at(&path).map(|found| *found.value), Ok(Route::Act(action)));
        }
        for (path, route) in [
            ("/arrivals/1/body", Route::Body),
            ("/arrivals/stream", Route::News),
            ("/deliveries/1/output", Route::Output),
            ("/suggestions", Route::Suggestions),
            ("/openapi.json", Route::OpenApi),
            ("/status", Route::Status),
        ] {
            let path = format!("{PREFIX}{path}");
            assert_eq!(ROUTES.at(&path).map(|found| *found.value), Ok(route));
        }
    }
}
