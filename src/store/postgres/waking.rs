//! Wake-ups between nodes.
//!
//! A node tells the others only what they would notice late: that there is work that it cannot do, or
//! that an attempt of theirs is to stop. It does so after the commit, by a transaction of its own:
//! `NOTIFY` holds a lock of the whole server until its transaction is on disk. Everything is noticed
//! without it, too: nodes look at the queue every second.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::failure::Failure;
use super::link::Link;
use super::node::Node;
use super::session::Session;
use super::target::Wake;

/// Shortest time between two notifications of a node.
const THROTTLE: Duration = Duration::from_millis(50);

/// Time until a connection that ended is opened again.
const RETRY: Duration = Duration::from_secs(1);

const TELL: &str = "SELECT pg_notify($1, $2)";

/// Tells and hears without an end.
pub(super) async fn wake_each_other(node: Arc<Node>, leasing: Arc<Session>) {
    if node.target.wake == Wake::Poll {
        return;
    }
    loop {
        if let Err(failure) = listen(&node, &leasing).await {
            let error = failure.into_error();
            tracing::debug!(%error, "wake-ups of other nodes are not heard");
        }
        sleep(RETRY).await;
    }
}

/// Listens and tells until the connection ends.
async fn listen(node: &Arc<Node>, leasing: &Session) -> Result<(), Failure> {
    let (link, mut heard) = Link::listening(&node.target, "news").await?;
    link.run(&format!("LISTEN \"{}\"", channel(node).replace('"', "\"\"")))
        .await?;
    // A notification may have been sent before this connection listened.
    node.news.announce();
    loop {
        tokio::select! {
            payload = heard.recv() => {
                let Some(payload) = payload else {
                    return Ok(());
                };
                hear(node, leasing, &payload).await;
            }
            () = node.untold.wake.notified() => {
                if let Some(words) = node.untold.take() {
                    tell_at_once(&link, node, words).await?;
                    sleep(THROTTLE).await;
                }
            }
        }
    }
}

/// Tells the others something now.
pub(super) async fn tell_at_once(link: &Link, node: &Node, words: &str) -> Result<(), Failure> {
    let payload = format!("{} {words}", node.id());
    link.query(TELL, &[&channel(node), &payload]).await.map(drop)
}

fn channel(node: &Node) -> String {
    // Longer names are cut off by the server. Two schemas then share a channel, which does no harm.
    let name = format!("hookyard {}", node.target.schema);
    name.chars().take(60).collect()
}

/// Acts on what a node has told.
async fn hear(node: &Arc<Node>, leasing: &Session, payload: &str) {
    let Some((sender, words)) = payload.split_once(' ') else {
        return;
    };
    if sender == node.id().to_string() {
        return;
    }
    node.news.announce();
    if words == "stop" {
        let stopped = leasing.ask(move |link| {
            let node = Arc::clone(node);
            Box::pin(async move { node.stop_doomed(link).await })
        });
        if let Err(error) = stopped.await {
            tracing::debug!(%error, "attempts to be stopped");
        }
    }
}
