//! The tables, and their versions.

use super::failure::Failure;
use super::link::Link;
use super::target::Target;
use crate::store::StoreError;

/// The tables of the current version.
pub(super) const TABLES: &str = include_str!("schema.sql");

/// Version of the schema.
pub(super) const VERSION: i32 = 1;

/// Earliest version whose hookyard may still use the schema of [`VERSION`].
const LEAST: i32 = 1;

/// The statements that make the tables, for an administrator who runs them by `psql`.
pub fn statements(schema: &str) -> String {
    let name = schema.replace('"', "\"\"");
    format!(
        "-- Tables of hookyard {}, version {VERSION}. Run them as the role of hookyard, which adds and drops tables\n\
         -- of requests by day: psql -v ON_ERROR_STOP=1 -f FILE\n\n\
         BEGIN;\n\
         CREATE SCHEMA IF NOT EXISTS \"{name}\";\n\
         SET LOCAL search_path = \"{name}\";\n\n\
         {TABLES}\n\
         INSERT INTO store (version, least) VALUES ({VERSION}, {LEAST});\n\
         COMMIT;",
        env!("CARGO_PKG_VERSION"),
    )
}

/// Makes the tables if they are missing. Those of a later hookyard are used only if it says that
/// this one may.
pub(super) async fn prepare(link: &Link, target: &Target) -> Result<(), Failure> {
    if version(link, target).await?.is_some() {
        return Ok(());
    }
    let made = make(link, target).await;
    if made.is_err() {
        link.run("ROLLBACK").await?;
        // Another node may have made them at the same moment.
        if version(link, target).await?.is_some() {
            return Ok(());
        }
    }
    made
}

/// Version of the tables. None if there are none.
pub(super) async fn version(link: &Link, target: &Target) -> Result<Option<i32>, Failure> {
    let found = link
        .query(
            "SELECT has_schema_privilege(schemaname, 'USAGE') FROM pg_tables \
             WHERE schemaname = $1 AND tablename = 'store'",
            &[&target.schema],
        )
        .await?;
    let Some(found) = found.first() else {
        return Ok(None);
    };
    // Without the privilege the search path would leave the schema out.
    if !found.get::<_, bool>(0) {
        return Err(Failure::Failed(StoreError::Forbidden {
            detail: format!("permission denied for schema {}", target.schema),
        }));
    }
    let rows = link.query("SELECT version, least FROM store", &[]).await?;
    let Some(row) = rows.first() else {
        return Err(Failure::unexpected(format!(
            "the table `store` of the schema `{}` is empty",
            target.schema
        )));
    };
    let (version, least): (i32, i32) = (row.get(0), row.get(1));
    if least > VERSION {
        return Err(Failure::Failed(StoreError::NewerSchema {
            schema: target.schema.clone(),
            found: version,
            known: VERSION,
        }));
    }
    Ok(Some(version))
}

async fn make(link: &Link, target: &Target) -> Result<(), Failure> {
    let name = target.schema.replace('"', "\"\"");
    let schema = link
        .query("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[&target.schema])
        .await?;
    // The right to make a schema is not needed for one that is there.
    let schema = if schema.is_empty() {
        format!("CREATE SCHEMA \"{name}\";")
    } else {
        String::new()
    };
    let without_lz4 = link
        .query(
            "SELECT 1 FROM pg_settings WHERE name = 'default_toast_compression' AND setting <> 'lz4'",
            &[],
        )
        .await?;
    let storage = if without_lz4.is_empty() { "" } else { UNCOMPRESSED };
    let sql = format!(
        "BEGIN; SET LOCAL lock_timeout = '2s'; {schema} {TABLES}; {storage} \
         INSERT INTO store (version, least) VALUES ({VERSION}, {LEAST}); COMMIT"
    );
    link.run(&sql).await.map_err(|failure| match failure {
        Failure::Failed(StoreError::Forbidden { detail }) => Failure::Failed(StoreError::Forbidden {
            detail: format!(
                "{detail}: let an administrator run `CREATE SCHEMA \"{name}\" AUTHORIZATION` and the role"
            ),
        }),
        other => other,
    })
}

/// The other compression of `PostgreSQL` costs more than it saves.
const UNCOMPRESSED: &str = "ALTER TABLE requests ALTER headers SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL; \
     ALTER TABLE requests_kept ALTER headers SET STORAGE EXTERNAL, ALTER body SET STORAGE EXTERNAL; \
     ALTER TABLE arrivals ALTER body SET STORAGE EXTERNAL;";

/// Drops the schema of a test with everything in it.
#[cfg(test)]
pub async fn drop_schema(target: &Target) {
    let name = target.schema.replace('"', "\"\"");
    let link = Link::connect(target, "drop").await.unwrap();
    link.run(&format!("DROP SCHEMA IF EXISTS \"{name}\" CASCADE"))
        .await
        .unwrap();
}
