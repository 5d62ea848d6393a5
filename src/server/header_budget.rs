//! What requests of HTTP/2 take beside their bodies: counted from before they wait for anything until they are answered.
//!
//! A connection of HTTP/1 has one head, and hyper bounds it. One of HTTP/2 has as many as it may have requests, they come
//! compressed, and h2 bounds the size of each but not the number of its fields: a reference of one byte brings a field that
//! takes a hundred. So there is a bound for one, for those of one connection, and for those of all. The last holds back only
//! who has more than his share: whoever has little under way is let in while others have too much, and they make room for him.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, StatusCode};

use crate::pipeline::Answer;
use crate::server::http1::MAX_HEAD;

/// How many fields a request's head may have: what hyper takes of HTTP/1.
const MAX_FIELDS: usize = 100;
/// What a field takes beside its letters, in bytes.
const FIELD: usize = 128;
/// What a request takes beside its head, in bytes: its stream, its task, and what that works with.
const REQUEST: usize = 4 << 10;
/// What a connection's requests may take in any case, in bytes: one with the largest head, and some.
const SHARE: usize = 2 * MAX_HEAD;
/// What the requests of all connections may take in any case, in bytes, however few connections there may be.
const LEAST: usize = 2 << 20;

/// What some requests take together beside their bodies.
#[derive(Debug)]
pub struct HeaderBudget {
    taken: AtomicUsize,
    most: usize,
}

impl HeaderBudget {
    /// Those of one connection, which may take so many bytes.
    pub fn of_one(most: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            most,
        }
    }

    /// Those of all, where there may be so many connections. Beyond that each has its share still, so that it is twice as much at
    /// the very most.
    pub fn of_all(connections: usize) -> Self {
        Self::of_one(connections.saturating_mul(SHARE).max(LEAST))
    }

    /// Takes so much more; how much that comes to.
    fn add(&self, more: usize) -> usize {
        self.taken.fetch_add(more, Ordering::Relaxed) + more
    }
}

/// The head of a request that is under way.
#[derive(Debug)]
pub struct HeaderReservation {
    takes: usize,
    own: Arc<HeaderBudget>,
    all: Arc<HeaderBudget>,
}

impl HeaderReservation {
    /// Counts it among those of its connection and among all, unless it is too large, or they are together; then what is
    /// answered, and why.
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
            takes: REQUEST + target + fields.sum::<usize>(),
            own: Arc::clone(own),
            all: Arc::clone(all),
        };
        // To both, for it is taken off both when it is dropped.
        let (of_own, of_all) = (own.add(head.takes), all.add(head.takes));
        if of_own > own.most || of_own > SHARE && of_all > all.most {
            let why = "too much is under way on its connection";
            return Err((Box::new(Answer::unavailable()), why));
        }
        Ok(head)
    }
}

impl Drop for HeaderReservation {
    fn drop(&mut self) {
        for heads in [&self.own, &self.all] {
            heads.taken.fetch_sub(self.takes, Ordering::Relaxed);
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
    fn requests_are_bounded_each_and_together_and_given_back() {
        let [one, other, third] = [(); 3].map(|()| Arc::new(HeaderBudget::of_one(3 * SHARE)));
        let all = Arc::new(HeaderBudget::of_one(4 * SHARE));
        let status = |heads: &Arc<HeaderBudget>, fields, size| {
            let head = HeaderReservation::new(&request(fields, size), heads, &all);
            head.map_err(|(answer, _)| answer.status.as_u16())
        };
        let large = MAX_HEAD - 2 * REQUEST;
        let of_one: Vec<HeaderReservation> = (0..6).map(|_| status(&one, 1, large).unwrap()).collect();
        assert_eq!(status(&one, 1, large).unwrap_err(), 503);
        // All have much; and who has little is let in all the same.
        let of_other: Vec<HeaderReservation> = (0..2).map(|_| status(&other, 1, large).unwrap()).collect();
        assert_eq!(status(&other, 1, large).unwrap_err(), 503);
        assert!(status(&third, 100, 0).is_ok() && status(&third, 1, large).is_ok());
        assert_eq!(status(&third, 101, 0).unwrap_err(), 431);
        drop((of_one, of_other));
        let left = [&one, &other, &third, &all].map(|heads| heads.taken.load(Ordering::Relaxed));
        assert_eq!(left, [0; 4]);
    }
}
