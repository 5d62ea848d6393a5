//! The heartbeat of a node: it stays among the living, and does work of which one node does each kind.
//!
//! A heartbeat also releases leases whose answers were lost, stops attempts that another node has
//! superseded, and says which rules this node has. If the node was buried, its leases are over, and it
//! joins again.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::burial::Gone;
use super::failure::Failure;
use super::link::Link;
use super::liveness::BootTime;
use super::node::Node;
use super::orphans;
use super::session::Session;
use super::waking::wake_each_other;
use crate::base::clock::{Clock, Timestamp};
use crate::store::{DeliveryId, StoreError, StoreOrder};

/// A gap of half a lease means that the server may have been down for all nodes.
const BEAT: &str = "UPDATE nodes SET steady_since = CASE WHEN heard_of < clock_timestamp() - lease * interval '500 microseconds' \
         THEN clock_timestamp() ELSE steady_since END, heard_of = clock_timestamp() WHERE id = $1 \
     RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

const DOOMED: &str = "SELECT id FROM queue WHERE node = $1 AND superseded IS NOT NULL";

/// Takes over a duty, or goes on with it. It ends if it is not renewed.
const DUTY: &str = "UPDATE duties SET node = $2, until = clock_timestamp() + $3::bigint * interval '1 millisecond' \
     WHERE duty = $1 AND (node = $2 OR until < clock_timestamp() OR NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = node))";

/// Longest time between two looks whether this node is cut off.
const LOOK: Duration = Duration::from_millis(500);

/// Longest round trip by which the clock of the server is measured.
const TRIP: Duration = Duration::from_secs(1);

/// Distance of this machine's clock from the server's at which it is reported.
const CLOCK_WARNING: Duration = Duration::from_secs(5);

/// Distance beyond which signatures with a time are judged wrongly: the node is not healthy.
const CLOCK_LIMIT: Duration = Duration::from_mins(1);

/// The tasks of the heartbeat and of the wake-ups.
#[derive(Debug, Default)]
pub(super) struct Heart {
    tasks: Mutex<JoinSet<()>>,
}

impl Heart {
    /// Starts the tasks.
    pub fn start(node: &Arc<Node>, leasing: &Arc<Session>) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(beat_on(Arc::clone(node), Arc::clone(leasing)));
        tasks.spawn(wake_each_other(Arc::clone(node), Arc::clone(leasing)));
        Self {
            tasks: Mutex::new(tasks),
        }
    }

    /// Ends the tasks.
    pub async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
    }
}

/// Beats without an end.
async fn beat_on(node: Arc<Node>, leasing: Arc<Session>) {
    loop {
        let waited = sleep(node.liveness.interval());
        tokio::select! {
            () = watched(&node, waited) => {}
            () = node.beat_now.notified() => {}
        }
        let beaten = watched(&node, beat(&node, &leasing)).await;
        if let Err(error) = beaten {
            tracing::warn!(%error, "heartbeat");
            // The next try comes early: there is not much time.
            watched(&node, sleep(node.liveness.interval() / 4)).await;
            node.beat_now.notify_one();
        }
    }
}

/// Waits for something, and looks in between whether the node is cut off.
async fn watched<T>(node: &Node, awaited: impl Future<Output = T>) -> T {
    let mut awaited = std::pin::pin!(awaited);
    let look = LOOK.min(node.liveness.interval() / 4);
    loop {
        tokio::select! {
            output = &mut awaited => return output,
            () = sleep(look) => {
                if node.liveness.notice() {
                    node.news.give(StoreOrder::StopGroups);
                }
            }
        }
    }
}

async fn beat(node: &Arc<Node>, leasing: &Session) -> Result<(), StoreError> {
    let beaten = leasing.ask(move |link| {
        let node = Arc::clone(node);
        Box::pin(async move { node.beat(link).await })
    });
    beaten.await
}

impl Node {
    /// Makes one heartbeat. Only the connection that leases may do it.
    async fn beat(&self, link: &Link) -> Result<(), Failure> {
        let (sent, wall) = (BootTime::now(), Clock::system());
        let before = wall.now();
        let rows = link.query(BEAT, &[&self.id()]).await?;
        match rows.first() {
            Some(read) => {
                self.measure(before, wall.now(), Timestamp::from_millis(read.try_get(0)?));
                if self.liveness.heard(sent) {
                    tracing::info!("the server answers again");
                    self.news.announce();
                }
            }
            None => self.join_again(link).await?,
        }
        self.release_strays(link).await?;
        self.let_go_dropped(link).await?;
        self.stop_doomed(link).await?;
        self.say_rules(link).await?;
        if self.has_duty(link, "bury").await? {
            self.bury(link, Gone::Silent).await?;
        }
        let has_orphans = self.has_duty(link, "orphans").await?;
        let orphans = if has_orphans {
            orphans::find(link).await?
        } else {
            Vec::new()
        };
        if self.set_orphans(orphans) {
            self.news.announce();
        }
        Ok(())
    }

    /// Joins after a burial. All leases are over.
    async fn join_again(&self, link: &Link) -> Result<(), Failure> {
        let lost = self.leases.lock().end_all();
        tracing::warn!(
            leases = lost.len(),
            "this node was not heard of for so long that its deliveries were given to others"
        );
        self.join(link).await?;
        self.news.give(StoreOrder::StopGroups);
        self.news.announce();
        Ok(())
    }

    /// Measures the clock of the server, which said `server` between two readings of the own clock.
    pub fn measure(&self, before: Timestamp, after: Timestamp, server: Timestamp) {
        let trip = after.distance(before);
        if trip > TRIP {
            return;
        }
        self.offset.measure(before.plus(trip / 2), server);
        let off = Duration::from_millis(self.offset.millis().unsigned_abs());
        let mut warned = self.clock_warned.lock();
        if off > CLOCK_WARNING && !*warned {
            tracing::warn!(
                seconds = self.offset.millis() / 1000,
                "the server's clock differs from this machine's: one of them is wrong, and signatures may be refused"
            );
        }
        *warned = off > CLOCK_WARNING;
    }

    /// Refuses to call a node healthy that is cut off or has a wrong clock.
    pub fn check_health(&self) -> Result<(), StoreError> {
        self.liveness.check()?;
        let off = Duration::from_millis(self.offset.millis().unsigned_abs());
        if off <= CLOCK_LIMIT {
            return Ok(());
        }
        let seconds = off.as_secs();
        Err(StoreError::Unavailable {
            detail: format!("the clocks of the server and of this machine differ by {seconds} s"),
        })
    }

    /// Has attempts of this node stopped that were superseded.
    pub async fn stop_doomed(&self, link: &Link) -> Result<(), Failure> {
        for read in link.query(DOOMED, &[&self.id()]).await? {
            let delivery: DeliveryId = super::row::id(&read, 0)?;
            let is_new = self.leases.lock().get_mut(delivery).is_some_and(|leased| {
                let is_new = !leased.is_stopped;
                leased.is_stopped = true;
                is_new
            });
            if is_new {
                self.news.give(StoreOrder::Stop(delivery));
            }
        }
        Ok(())
    }

    /// Says which rules this node has, if that is new.
    async fn say_rules(&self, link: &Link) -> Result<(), Failure> {
        // They stay unsaid until they are written: this may be dropped at any time.
        let Some(in_force) = self.unsaid.lock().clone() else {
            return Ok(());
        };
        self.write_rules(link, &in_force).await?;
        let mut unsaid = self.unsaid.lock();
        if unsaid.as_ref() == Some(&in_force) {
            *unsaid = None;
        }
        Ok(())
    }

    async fn has_duty(&self, link: &Link, duty: &str) -> Result<bool, Failure> {
        let time = i64::try_from(self.target.lease.as_millis() / 2).unwrap_or(i64::MAX);
        let taken = link.execute(DUTY, &[&duty, &self.id(), &time]).await?;
        Ok(taken > 0)
    }
}
