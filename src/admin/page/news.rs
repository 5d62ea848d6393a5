//! News of arrivals for the pages that are open: a stream of counts.
//!
//! One task reads the end of the store for all streams, and only while there is one. A stream with a
//! filter then counts what it wants.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::admin::page::arrivals::MAX_QUERY;
use crate::admin::page::sources::{Params, Sources, ViewError};
use crate::admin::stream::{EventSender, ServerEvent};
use crate::history::{EventNames, Query, count_after};
use crate::store::TailCursor;

/// Interval between two looks at the store.
pub const NEWS_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum arrivals of each kind that a stream with a filter counts at once. The others are counted
/// at the next look.
pub const COUNTED: usize = 5000;

/// The end of the store, for all streams.
#[derive(Debug)]
pub struct ArrivalNews {
    end: watch::Sender<TailCursor>,
}

/// An event of a stream.
#[derive(Debug, Serialize)]
struct NewArrivals {
    /// Number that grows by one with each arrival that is written.
    total: i64,
    /// Number of arrivals that pass the filter, since the position from which the stream began.
    count: u64,
}

/// Position of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    cursor: TailCursor,
    count: u64,
}

impl Default for ArrivalNews {
    fn default() -> Self {
        let (end, _) = watch::channel(TailCursor::default());
        Self { end }
    }
}

impl ArrivalNews {
    /// Looks at the end of the store while there is a stream, until `stop`.
    pub async fn run(self: Arc<Self>, sources: Sources, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(NEWS_INTERVAL) => {}
            }
            if self.end.receiver_count() == 0 {
                continue;
            }
            // A store that cannot be read now may be readable at the next look.
            if let Ok(end) = sources.read(|history| Ok(history.tail_cursor()?)).await {
                self.end.send_if_modified(|known| {
                    let is_new = *known != end;
                    *known = end;
                    is_new
                });
            }
        }
    }

    /// Prepares a stream for a request: `q` is the filter, `after` the position. `last` is the id of
    /// the last event that the peer has seen.
    pub fn stream(
        &self,
        sources: &Sources,
        params: &Params,
        last: Option<&str>,
    ) -> Result<impl FnOnce(EventSender) -> StreamFuture + use<>, ViewError> {
        let line = params.get("q").unwrap_or_default();
        if line.len() > MAX_QUERY {
            return Err(ViewError::Unreadable("the filter is too long".to_owned()));
        }
        let query = Query::parse(line, sources.clock.now());
        let query = query.map_err(|error| ViewError::Unreadable(error.to_string()))?;
        let position = match last.or(params.get("after")) {
            Some(text) => Some(
                Position::parse(text)
                    .ok_or_else(|| ViewError::Unreadable(format!("`{text}` is no position")))?,
            ),
            None => None,
        };
        let (sources, news) = (sources.clone(), self.end.subscribe());
        Ok(
            move |sender| -> StreamFuture {
                Box::pin(send(sources, Arc::new(query), position, news, sender))
            },
        )
    }
}

/// The future of a stream.
pub type StreamFuture = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn send(
    sources: Sources,
    query: Arc<Query>,
    position: Option<Position>,
    mut news: watch::Receiver<TailCursor>,
    sender: EventSender,
) {
    let mut position = match position {
        Some(position) => position,
        None => match sources.read(|history| Ok(history.tail_cursor()?)).await {
            Ok(cursor) => Position { cursor, count: 0 },
            Err(_) => return,
        },
    };
    loop {
        let (query, rules, mut cursor) = (Arc::clone(&query), sources.live.current(), position.cursor);
        let counted = sources.read(move |history| {
            let number = count_after(history, &EventNames::of(&rules), &query, &mut cursor, COUNTED)?;
            Ok((number, cursor))
        });
        if let Ok((number, cursor)) = counted.await
            && cursor != position.cursor
        {
            position = Position {
                cursor,
                count: position.count + number,
            };
            let data = NewArrivals {
                total: cursor.events.saturating_add(cursor.records),
                count: position.count,
            };
            let event = ServerEvent::json("arrivals", Some(&position.to_string()), &data);
            if sender.send(event).await.is_err() {
                return;
            }
        }
        if news.changed().await.is_err() {
            return;
        }
    }
}

impl Position {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (events, records) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let count = parts.next().map_or(Some(0), |count| count.parse().ok())?;
        Some(Self {
            cursor: TailCursor { events, records },
            count,
        })
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.cursor.events, self.cursor.records, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        let position = Position {
            cursor: TailCursor {
                events: 7,
                records: 8,
            },
            count: 9,
        };
        assert_eq!(Position::parse(&position.to_string()), Some(position));
        let start = Position { count: 0, ..position };
        assert_eq!(Position::parse("7.8"), Some(start));
        for text in ["", "7", "7.", "a.b", "7.8.x"] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
    }
}
