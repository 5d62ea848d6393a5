//! The schema and its migrations.
//!
//! A step leads from one version to the next. A released step is never changed: a new version is a
//! new step at the end of [`STEPS`]. The version is kept in the file as `PRAGMA user_version`.

use rusqlite::{Connection, TransactionBehavior};

/// Marks a database as a hookyard store: `hkyd` in ASCII.
pub(super) const APPLICATION_ID: u32 = 0x686b_7964;

/// The migration steps. The first leads from an empty database to version 1, the only one so far.
pub(super) const STEPS: &[&str] = &[include_str!("schema.sql")];

/// Version of a store after all of `steps`.
pub(super) fn version(steps: &[&str]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX)
}

/// Migrates a database by the steps that it lacks, in one transaction.
pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found >= version(steps) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for step in steps.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", version(steps))?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_database_takes_the_steps_that_it_lacks_and_no_other() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &["CREATE TABLE a (x)"]).unwrap();
        connection.execute("INSERT INTO a VALUES (7)", []).unwrap();
        let steps = [
            "CREATE TABLE a (x)",
            "ALTER TABLE a ADD y; UPDATE a SET y = x + 1",
            "CREATE TABLE b (z)",
        ];
        migrate(&mut connection, &steps).unwrap();
        migrate(&mut connection, &steps).unwrap();
        let row = connection.query_row("SELECT x, y FROM a", [], |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(row, Ok((7, 8)));
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
        assert_eq!(version, Ok(3));
    }

    #[test]
    fn a_step_that_fails_leaves_the_database_at_its_version() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &["CREATE TABLE a (x)"]).unwrap();
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x)", "CREATE TABLE b (x)"];
        assert!(migrate(&mut connection, &steps).is_err());
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
        assert_eq!(version, Ok(1));
        assert!(connection.prepare("SELECT * FROM b").is_err());
    }
}
