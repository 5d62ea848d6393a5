//! The store on a server under test.

use std::sync::Arc;
use std::time::Duration;

use super::subject::{Recorded, Subject};
use crate::store::postgres::{Durability, PostgresStore, ServerUrl, Target, Wake};
use crate::store::{Place, Settings, Store};

impl Recorded for Postgres {
    fn place(&self) -> Place {
        Place::Postgres(Arc::new(self.target.clone()))
    }
}

/// Variable with the URL of a server for tests, on which they may make and drop schemas.
const TEST_SERVER: &str = "HOOKYARD_TEST_POSTGRES";

/// A store in a schema of its own, on a server that the environment names.
pub struct Postgres {
    store: Arc<PostgresStore>,
    settings: Settings,
    target: Target,
    /// Drops the schema with the last store of the test.
    schema: Option<TestSchema>,
}

/// The schema of a test. It is dropped at the end.
struct TestSchema(Target);

impl Drop for TestSchema {
    fn drop(&mut self) {
        let target = self.0.clone();
        // The runtime of the test must not be blocked, and may be about to end.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .unwrap()
                .block_on(crate::store::postgres::drop_schema(&target));
        });
        drop(dropping.join());
    }
}

impl Postgres {
    /// A target whose schema does not exist yet.
    pub fn target() -> Target {
        #[expect(clippy::disallowed_methods, reason = "only tests know this variable")]
        let url = std::env::var(TEST_SERVER).expect("HOOKYARD_TEST_POSTGRES names a server");
        Target {
            server: ServerUrl::parse(&url).unwrap(),
            schema: format!("test_{}", uuid::Uuid::now_v7().simple()),
            // The server of the tests may be one without a safe disk.
            durability: Durability::Trusted,
            lease: Duration::from_mins(1),
            patience: Duration::from_secs(8),
            connections: 6,
            wake: Wake::Poll,
            node: Arc::from("test"),
        }
    }

    /// Opens the store of a target.
    pub async fn open_at(target: Target, settings: Settings) -> Self {
        let store = PostgresStore::open(target.clone(), settings).await.unwrap();
        Self {
            store: Arc::new(store),
            settings,
            target,
            schema: None,
        }
    }

    /// Opens an empty store at a target whose schema does not exist yet.
    pub async fn open_as(target: Target) -> Self {
        let schema = Some(TestSchema(target.clone()));
        Self {
            schema,
            ..Self::open_at(target, Settings::default()).await
        }
    }

    /// Opens the same store as another node.
    pub async fn another(&self, name: &str) -> Self {
        let target = Target {
            node: Arc::from(name),
            ..self.target.clone()
        };
        Self::open_at(target, self.settings).await
    }

    /// Ends the node without a farewell. The answer drops the schema.
    pub fn killed(self) -> impl Drop {
        self.schema.expect("the first node has the schema")
    }

    /// The store as its own type.
    pub fn postgres(&self) -> &PostgresStore {
        &self.store
    }
}

impl Subject for Postgres {
    const KNOWS_ITS_DISK: bool = false;

    async fn open(settings: Settings) -> Self {
        let target = Self::target();
        let schema = Some(TestSchema(target.clone()));
        Self {
            schema,
            ..Self::open_at(target, settings).await
        }
    }

    fn store(&self) -> &dyn Store {
        &*self.store
    }

    fn shared(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    async fn crash(self) -> Self {
        let Self {
            store,
            settings,
            target,
            schema,
        } = self;
        let id = store.node_id();
        drop(store);
        let next = Self::open_at(target, settings).await;
        next.store.bury(&[id]).await.unwrap();
        Self { schema, ..next }
    }

    async fn restart(self) -> Self {
        self.store.close().await.unwrap();
        let next = Self::open_at(self.target, self.settings).await;
        Self {
            schema: self.schema,
            ..next
        }
    }
}
