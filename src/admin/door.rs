//! The door of the page and of the API: which requests enter, and with which permissions.
//!
//! Every request passes here first. `guard.rs` refuses requests of other pages in the operator's
//! browser; on TCP a session is required. The rules in force say who may do what.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;
use tracing::info;

use crate::admin::answer::text;
use crate::admin::guard::{self, GuardRefusal, Transport};
use crate::admin::login::{self, Logins};
use crate::admin::who::Grant;
use crate::base::live::Live;
use crate::base::throttle;
use crate::rules::{Admin, PageAccess, RuleSet};

/// The peer of an admin connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A user of this machine, by id, through the unix socket. `owns`: root, or the daemon's own.
    User { id: u32, owns: bool },
    /// A user of the socket of guests, or one whose id is unknown.
    Guest,
    /// A peer by TCP. `sealed`: with TLS. `page`: the page may be served on this connection.
    Network {
        client: IpAddr,
        sealed: bool,
        page: bool,
    },
}

/// Decides about requests.
pub struct Door {
    live: Arc<Live<RuleSet>>,
    logins: Logins,
}

/// Decision about a request. The error is the answer.
pub type Admission = Result<(Request<Incoming>, Grant), Response<Full<Bytes>>>;

impl Door {
    pub fn new(live: Arc<Live<RuleSet>>, now: Instant) -> Self {
        Self {
            live,
            logins: Logins::new(now),
        }
    }

    pub async fn admit(&self, request: Request<Incoming>, peer: Peer) -> Admission {
        let rules = self.live.current();
        let admin = &rules.admin;
        let (transport, is_page_here) = match peer {
            Peer::User { .. } | Peer::Guest => (Transport::Unix, true),
            Peer::Network { sealed, page, .. } => {
                let transport = if sealed { Transport::Tls } else { Transport::Plain };
                let has_page = admin.password.is_some() && admin.page != PageAccess::None;
                (transport, page && has_page)
            }
        };
        let is_probe = guard::is_probe(request.uri());
        if is_probe && matches!(peer, Peer::User { .. } | Peer::Guest) {
            return Ok((request, Grant::of_guest(admin.page)));
        }
        if is_probe || !is_page_here {
            return Ok((request, Grant::of_probe()));
        }
        let (head, body) = request.into_parts();
        let origin = guard::check(&head, transport, admin.public_url.as_ref());
        let origin = origin.map_err(|refusal| refused(&head, peer, &refusal))?;
        let grant = match peer {
            Peer::Guest => Grant::of_guest(admin.page),
            Peer::User { id, owns } => Grant::of_user(id, owns, guard::is_by_browser(&head), admin.page),
            Peer::Network { client, .. } => {
                // Behind a proxy with TLS, the browser uses TLS although this connection does not.
                let secure = origin.scheme == Some("https");
                return self.admit_session((head, body), secure, client, admin).await;
            }
        };
        if matches!(head.uri.path(), "/login" | "/logout") {
            // There is nothing to log in to.
            return Err(login::redirect("/"));
        }
        Ok((Request::from_parts(head, body), grant))
    }

    /// Admits a request by TCP with a session, and logs in and out.
    async fn admit_session(
        &self,
        (head, body): (Parts, Incoming),
        secure: bool,
        client: IpAddr,
        admin: &Admin,
    ) -> Admission {
        let Some(password) = &admin.password else {
            return Err(text(StatusCode::NOT_FOUND, "not found"));
        };
        let session = self.logins.session(&head, secure, password);
        let is_post = head.method == Method::POST;
        match (head.uri.path(), session) {
            ("/login", _) if is_post => {
                let request = Request::from_parts(head, body);
                Err(self.logins.log_in(request, secure, password, client).await)
            }
            ("/logout", _) if is_post => Err(self.logins.log_out(&head, secure, client)),
            ("/login", None) => Err(login::form(StatusCode::OK, "")),
            ("/login", Some(_)) => Err(login::redirect("/")),
            // Style sheet and script are the same for everyone, and the form uses them.
            (path, None) if path.starts_with("/assets/") && !is_post => {
                let grant = Grant {
                    page: PageAccess::ReadOnly,
                    ..Grant::of_probe()
                };
                Ok((Request::from_parts(head, body), grant))
            }
            (_, None) => Err(login::required(&head)),
            (_, Some(name)) => {
                let grant = Grant::of_session(name, admin.page);
                Ok((Request::from_parts(head, body), grant))
            }
        }
    }
}

/// Answers a refused request. Only the log says why.
fn refused(head: &Parts, peer: Peer, refusal: &GuardRefusal) -> Response<Full<Bytes>> {
    if let Some(left_out) = throttle::allow("admin request") {
        let path: String = head.uri.path().chars().take(MAX_LOGGED_PATH).collect();
        let client = match peer {
            Peer::User { id, .. } => format!("user {id}"),
            Peer::Guest => "guest".to_owned(),
            Peer::Network { client, .. } => client.to_string(),
        };
        let left_out = throttle::some(left_out);
        info!(path, client, why = %refusal, left_out, "admin request refused");
    }
    let mut response = text(refusal.status(), refusal.word());
    if matches!(refusal, GuardRefusal::Method(_)) {
        let allow = HeaderValue::from_static("GET, HEAD, POST");
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// Maximum logged path, in characters.
const MAX_LOGGED_PATH: usize = 200;
