//! The tables, and their versions.

use super::failure::Failure;
use super::link::Link;
use super::target::Target;

/// The tables of the current version.
pub(super) const TABLES: &str = include_str!("schema.sql");

/// Version of the schema.
pub(super) const VERSION: i32 = 1;

/// Earliest version whose hookyard may still use the schema of [`VERSION`].
const LEAST: i32 = 1;

/// Makes the schema if it is missing.
pub(super) async fn prepare(link: &Link, target: &Target) -> Result<(), Failure> {
    let found = link
        .query(
            "SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = 'store'",
            &[&target.schema],
        )
        .await?;
    if !found.is_empty() {
        return Ok(());
    }
    let name = target.schema.replace('"', "\"\"");
    link.run(&format!(
        "BEGIN; CREATE SCHEMA IF NOT EXISTS \"{name}\"; {TABLES}; \
         INSERT INTO store (version, least) VALUES ({VERSION}, {LEAST}); COMMIT"
    ))
    .await
}

/// Drops the schema of a test with everything in it.
#[cfg(test)]
pub async fn drop_schema(target: &Target) {
    let name = target.schema.replace('"', "\"\"");
    let link = Link::connect(target, "drop").await.unwrap();
    link.run(&format!("DROP SCHEMA IF EXISTS \"{name}\" CASCADE"))
        .await
        .unwrap();
}
