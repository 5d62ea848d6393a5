//! The settings of a session on the server.

use super::promises;
use super::target::Target;

/// Settings of the session, after a look at those of the server.
///
/// A plan that was made while the queue was empty would scan it for ever after; see the tests of the
/// plans. A plan that must scan after all is not worth compiling. A server without lz4 keeps its
/// compression.
pub(super) fn settings(target: &Target, role: &str) -> String {
    let quoted = |text: &str| text.replace('\'', "''");
    format!(
        "{}; SET search_path = \"{}\"; SET application_name = 'hookyard {} {}'; SET jit = off; SET enable_seqscan = off; \
         SET statement_timeout = '15s'; SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '10s'; \
         SET default_transaction_isolation = 'read committed'; SET client_min_messages = 'warning'; \
         SET standard_conforming_strings = on; \
         SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') IN ('off', 'local'); \
         SELECT set_config(name, 'lz4', false) FROM pg_settings \
         WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals); \
         SELECT set_config('client_connection_check_interval', '5s', false) WHERE version() LIKE '%linux%'",
        promises::SELECT,
        target.schema.replace('"', "\"\""),
        quoted(&target.node),
        quoted(role),
    )
}
