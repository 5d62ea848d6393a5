//! Login and logout on TCP: a form, a cookie, and limited attempts.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Body;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::admin::REQUEST_LIMIT;
use crate::admin::answer::{text, typed};
use crate::admin::login_limit::LoginLimit;
use crate::admin::sessions::{SESSION_LIFETIME, Sessions};
use crate::base::password::{MAX_PASSWORD, PasswordHash};
use crate::base::throttle;

/// The form. `MESSAGE` stands for what was wrong.
const PAGE: &str = include_str!("login.html");
/// Maximum size of the form's body, in bytes. Each byte of a password may take three.
const MAX_LOGIN: usize = 4 << 10;
/// Maximum wait for logins that came before, since only one is checked at a time.
const LOGIN_WAIT: Duration = Duration::from_secs(5);

const COOKIE: &str = "hookyard_session";
/// Browsers accept this name only over TLS, and from this host.
const SECURE_COOKIE: &str = "__Host-hookyard_session";

/// Logins, and the sessions that they open.
pub struct Logins {
    sessions: Sessions,
    limit: LoginLimit,
    /// Hashing takes a processor for a large part of a second.
    one: Arc<Semaphore>,
}

impl Logins {
    pub fn new(now: Instant) -> Self {
        Self {
            sessions: Sessions::default(),
            limit: LoginLimit::new(now),
            one: Arc::new(Semaphore::new(1)),
        }
    }

    /// The name of the session whose cookie a request has. `secure`: the browser uses TLS.
    pub fn session(&self, head: &Parts, secure: bool, password: &PasswordHash) -> Option<Arc<str>> {
        self.sessions
            .find(token(&head.headers, secure)?, password, Instant::now())
    }

    /// Answers `POST /login`.
    pub async fn log_in<B>(
        &self,
        request: Request<B>,
        secure: bool,
        password: &PasswordHash,
        client: IpAddr,
    ) -> Response<Full<Bytes>>
    where
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        if let Err(wait) = self.limit.admit(client, Instant::now()) {
            refused(client, "too many attempts");
            let mut response = form(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many attempts. Try again later.",
            );
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            return response;
        }
        let read = Limited::new(request.into_body(), MAX_LOGIN).collect();
        let Ok(Ok(body)) = timeout(REQUEST_LIMIT, read).await else {
            return form(StatusCode::BAD_REQUEST, "The form was not understood.");
        };
        let Some(candidate) = candidate(&body.to_bytes()) else {
            return form(StatusCode::BAD_REQUEST, "The form was not understood.");
        };
        let checked = timeout(LOGIN_WAIT, self.check(candidate, password.clone())).await;
        match checked {
            Ok(Some(true)) => {}
            Ok(Some(false)) => {
                refused(client, "wrong password");
                let mut response = form(StatusCode::UNAUTHORIZED, "Wrong password.");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
                return response;
            }
            Ok(None) | Err(_) => return form(StatusCode::SERVICE_UNAVAILABLE, "Busy. Try again."),
        }
        self.limit.succeeded(client);
        let Some((token, session)) = self.sessions.open(password, Instant::now()) else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "no randomness");
        };
        info!(%client, %session, "logged in");
        let mut response = redirect("/");
        set_cookie(response.headers_mut(), &token, secure, SESSION_LIFETIME.as_secs());
        response
    }

    /// Compares a password, after those that came before. `None` if it cannot.
    async fn check(&self, candidate: Zeroizing<String>, password: PasswordHash) -> Option<bool> {
        let permit = Arc::clone(&self.one).acquire_owned().await.ok()?;
        // Ends even if the client disconnects, and holds the permit until then.
        let checking = tokio::task::spawn_blocking(move || {
            let is_right = password.is_of(&candidate);
            drop(permit);
            is_right
        });
        checking.await.ok()
    }

    /// Answers `POST /logout`.
    pub fn log_out(&self, head: &Parts, secure: bool, client: IpAddr) -> Response<Full<Bytes>> {
        let closed = token(&head.headers, secure).and_then(|token| self.sessions.close(token));
        if let Some(session) = closed {
            info!(%client, %session, "logged out");
        }
        let mut response = redirect("/login");
        set_cookie(response.headers_mut(), "", secure, 0);
        response
    }
}

/// Challenge of 401 answers. No browser knows it, so none asks for a name and a password.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Session");

/// Answer to a request without a session: the form for pages, a status for the API.
pub fn required(head: &Parts) -> Response<Full<Bytes>> {
    let is_page = matches!(head.method, http::Method::GET | http::Method::HEAD);
    if is_page && !head.uri.path().starts_with("/api/") {
        return redirect("/login");
    }
    let mut response = text(StatusCode::UNAUTHORIZED, "login required");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
    response
}

/// The login form. Every text is a constant, so nothing needs escaping.
pub fn form(status: StatusCode, message: &'static str) -> Response<Full<Bytes>> {
    let shown = if message.is_empty() {
        String::new()
    } else {
        format!("<p class=\"login-message\" role=\"alert\">{message}</p>\n")
    };
    typed(
        status,
        "text/html; charset=utf-8",
        PAGE.replace("MESSAGE", &shown),
    )
}

/// Sends the browser to another page by GET.
pub fn redirect(to: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::SEE_OTHER, "see other");
    let location = HeaderValue::from_static(to);
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// The password in a form's body. `None` unless it is there once.
fn candidate(body: &[u8]) -> Option<Zeroizing<String>> {
    let mut given = form_urlencoded::parse(body).filter(|(name, _)| name == "password");
    let (_, password) = given.next()?;
    (given.next().is_none() && password.len() <= MAX_PASSWORD).then(|| Zeroizing::new(password.into_owned()))
}

/// The session's token in the cookies of a request.
fn token(headers: &HeaderMap, secure: bool) -> Option<&str> {
    let wanted = if secure { SECURE_COOKIE } else { COOKIE };
    let lines = headers.get_all(header::COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == wanted).then_some(value))
}

/// Sets the cookie of the session. `seconds`: its lifetime; 0 deletes it.
fn set_cookie(headers: &mut HeaderMap, token: &str, secure: bool, seconds: u64) {
    let (name, attribute) = if secure {
        (SECURE_COOKIE, "; Secure")
    } else {
        (COOKIE, "")
    };
    let cookie = format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{attribute}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.insert(header::SET_COOKIE, cookie);
    }
}

/// Logs a refused login, never the password.
fn refused(client: IpAddr, why: &'static str) {
    if let Some(left_out) = throttle::allow("login") {
        let left_out = throttle::some(left_out);
        warn!(%client, why, left_out, "login refused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_stands_once_in_the_form() {
        for (body, expected) in [
            ("password=a%20b%2B%C3%A4+c", Some("a b+ä c")),
            ("x=1&password=p", Some("p")),
            ("password=", Some("")),
            ("", None),
            ("Password=p", None),
            ("password=a&password=b", None),
            (&format!("password={}", "a".repeat(1025)), None),
        ] {
            let candidate = candidate(body.as_bytes());
            assert_eq!(
                candidate.as_ref().map(|candidate| candidate.as_str()),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn the_cookie_of_a_browser_with_tls_has_another_name() {
        let mut headers = HeaderMap::new();
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("a=b; hookyard_session=one"),
        );
        headers.append(
            header::COOKIE,
            HeaderValue::from_static("xhookyard_session=no;__Host-hookyard_session=two"),
        );
        assert_eq!(token(&headers, false), Some("one"));
        assert_eq!(token(&headers, true), Some("two"));
        set_cookie(&mut headers, "three", true, 5);
        assert_eq!(
            headers.get(header::SET_COOKIE).unwrap(),
            "__Host-hookyard_session=three; Path=/; HttpOnly; SameSite=Strict; Max-Age=5; Secure"
        );
    }
}
