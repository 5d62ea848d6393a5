//! A memory budget for HTTP/2 requests without their bodies, from their arrival to the answer.
//!
//! An HTTP/1 connection has one head, which hyper limits. An HTTP/2 connection has one for each
//! stream, and they are compressed. h2 limits the size of a head but not its number of fields. A
//! reference of one byte can bring a field of a hundred bytes. The budget therefore limits one
//! head, all heads of a connection, and all heads of the server. The last limit refuses only
//! connections that use more than their share, so that others stay served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, StatusCode};

use crate::pipeline::Answer;

/// Maximum size of a request's head, in bytes. A larger one is answered with 431.
pub const MAX_HEAD: usize = 64 << 10;
/// Maximum header fields of a request. The same number as hyper's limit for HTTP/1.
const MAX_FIELDS: usize = 100;
/// Memory of a field besides its name and value, in bytes.
const FIELD: usize = 128;
/// Memory of a request besides its head, in bytes: its stream, its task and their state.
const REQUEST: usize = 4 << 10;
/// Memory that a connection's requests may always use, in bytes: twice the largest head.
const SHARE: usize = 2 * MAX_HEAD;
/// Minimum of the limit for all connections, in bytes, however few connections there may be.
const LEAST: usize = 2 << 20;

/// A memory budget for heads.
#[derive(Debug)]
pub struct HeaderBudget {
    in_use: AtomicUsize,
    limit: usize,
}

impl HeaderBudget {
    /// Returns the budget of one connection, in bytes.
    pub fn for_connection(limit: usize) -> Self {
        Self {
            in_use: AtomicUsize::new(0),
            limit,
        }
    }

    /// Returns the budget of the server. Beyond the limit each connection can still use its share,
    /// so the total is at most twice as much.
    pub fn for_server(connections: usize) -> Self {
        Self::for_connection(connections.saturating_mul(SHARE).max(LEAST))
    }

    /// Adds bytes and returns the sum.
    fn add(&self, more: usize) -> usize {
        self.in_use.fetch_add(more, Ordering::Relaxed) + more
    }
}

/// Memory of the head of a request in progress, released on drop.
#[derive(Debug)]
pub struct HeaderReservation {
    bytes: usize,
    own: Arc<HeaderBudget>,
    all: Arc<HeaderBudget>,
}

impl HeaderReservation {
    /// Reserves memory for a request from its connection's budget and from the server's. If the
    /// head is too large or a budget is used up, returns the answer and the reason.
    pub fn new<B>(
        request: &Request<B>,
        own: &Arc<HeaderBudget>,
        all: &Arc<HeaderBudget>,
    ) -> Result<Self, (Box<Answer>, &'static str)> {
        let (headers, uri) = (request.headers(), request.uri());
        if headers.len() > MAX_FIELDS {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            let answer = Answer::new(status, "too large", None);
            return Err((Box::new(answer), "the head has too many fields"));
        }
        let fields = headers
            .iter()
            .map(|(name, value)| FIELD + name.as_str().len() + value.len());
        let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
        let target = uri.path().len() + uri.query().map_or(0, str::len) + authority;
        let head = Self {
            bytes: REQUEST + target + fields.sum::<usize>(),
            own: Arc::clone(own),
            all: Arc::clone(all),
        };
        // Added to both, since drop subtracts from both.
        let (of_own, of_all) = (own.add(head.bytes), all.add(head.bytes));
        if of_own > own.limit || of_own > SHARE && of_all > all.limit {
            let why = "too much is under way on its connection";
            return Err((Box::new(Answer::unavailable()), why));
        }
        Ok(head)
    }
}

impl Drop for HeaderReservation {
    fn drop(&mut self) {
        for budget in [&self.own, &self.all] {
            budget.in_use.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: usize, size: usize) -> Request<()> {
        let request = (0..fields).fold(Request::post("https://h/"), |request, number| {
            request.header(format!("x-{number}"), "v".repeat(size))
        });
        request.body(()).unwrap()
    }

    #[test]
    fn headers_are_bounded_each_and_together_and_released() {
        let [one, other, third] = [(); 3].map(|()| Arc::new(HeaderBudget::for_connection(3 * SHARE)));
        let all = Arc::new(HeaderBudget::for_connection(4 * SHARE));
        let status = |budget: &Arc<HeaderBudget>, fields, size| {
            let head = HeaderReservation::new(&request(fields, size), budget, &all);
            head.map_err(|(answer, _)| answer.status.as_u16())
        };
        let large = MAX_HEAD - 2 * REQUEST;
        let of_one: Vec<HeaderReservation> = (0..6).map(|_| status(&one, 1, large).unwrap()).collect();
        assert_eq!(status(&one, 1, large).unwrap_err(), 503);
        // The server's budget is used up, but a connection with little is still served.
        let of_other: Vec<HeaderReservation> = (0..2).map(|_| status(&other, 1, large).unwrap()).collect();
        assert_eq!(status(&other, 1, large).unwrap_err(), 503);
        assert!(status(&third, 100, 0).is_ok() && status(&third, 1, large).is_ok());
        assert_eq!(status(&third, 101, 0).unwrap_err(), 431);
        drop((of_one, of_other));
        let left = [&one, &other, &third, &all].map(|budget| budget.in_use.load(Ordering::Relaxed));
        assert_eq!(left, [0; 4]);
    }
}
