//! hookyard turns incoming webhooks into actions.
//!
//! ```text
//!            server ─────────────► pipeline ◄──────────────── daemon, config, admin, cli
//!        (bytes → Received)    (the order of the steps)
//!                                      │
//!      ┌───────────────┬───────────────┼────────────────┬────────────────┐
//!      ▼               ▼               ▼                ▼                ▼
//!   1 verify ──────► 2 payload ─────► 3 matching      4 store          5 act ──► 6 report
//!   genuine and      decode the      which rules      keep it          do it     log and
//!   fresh?           body            want it?         until done                 count
//!      └───────────────┴───────────────┴────────────────┴────────────────┘
//!            shared: event, rules, client, template, tls, sys, base
//! ```
//!
//! [`trial`] runs the tests of a rules file through the same pipeline, on a store in memory.
//! [`acme`] gets the certificate that `server` presents. [`status`] gathers the daemon's state for
//! `hookyard status`, systemd and the metrics. [`plan`] compares two rule sets over the arrivals
//! that are kept. [`history`] finds, reads and explains arrivals and deliveries for people.
//!
//! Data flows one way. A request becomes an [`event::Received`]. A verification accepts or rejects
//! it, and decoding makes it a [`payload::Event`]. [`matching`] finds the rules that want it.
//! [`store`] writes event, replay memory and deliveries in one durable transaction, and then the
//! sender is answered. [`pipeline::Dispatcher`] leases a delivery from the queue, [`act`] performs
//! its next action, and the settlement is written. Read `pipeline/ingest.rs` and
//! `pipeline/dispatch.rs` first: they contain these two sequences.
//!
//! # Allowed imports
//!
//! `tests/it/imports.rs` holds the table. Imports never go back up, and [`base`] knows no module
//! above it. The modules that do the work do not know `config`: each owns the piece of YAML that
//! configures it. [`rules`] is the compiled file, which `config` makes from these pieces.
//!
//! # Where to add things
//!
//! | to add | go to |
//! |---|---|
//! | a sender | an entry in `verify/presets.yaml`, a `Sender` in `tests/system/real_senders/senders/`, its published signature in `verify/tests/vectors.rs`; the table of `docs/reference/senders.md` is the output of `hookyard schemes` |
//! | a handshake | `handshake` of its sender in `verify/presets.yaml`, and its name in the types of `handshake` in `reference/keys/keys.yaml` |
//! | a family of schemes | a file in `verify/scheme/` and its arm in `verify/scheme/compile.rs` |
//! | an operator of `match` | its variant and answer in `matching/operator.rs`, its name and operand in `matching/operand.rs` (the compiler leads to `contradiction.rs` and `exclusion.rs`), its row in `reference/conditions/mod.rs`, a line in `rules.example.yaml`; truth table in `matching/term.rs`; then `cargo run -- docs --write` |
//! | an action | a file in `act/` and its arms in `act/mod.rs` |
//! | a command | a file in `cli/` and an arm in `cli/mod.rs` |
//! | a key of the rules file | its shape in `config/document.rs`, its meaning beside it, its entry in `reference/keys/keys.yaml` |
//! | a key of the test file | its place in `trial/`, its entry in `reference/keys/test_keys.yaml` |
//! | a limit | its constant, and its row in `reference/limits/limits.yaml` |

pub mod acme;
pub mod act;
pub mod admin;
pub mod base;
pub mod cli;
pub mod client;
pub mod config;
pub mod daemon;
pub mod event;
pub mod history;
pub mod matching;
pub mod payload;
pub mod pipeline;
pub mod plan;
pub mod reference;
pub mod report;
pub mod rules;
pub mod server;
pub mod status;
pub mod store;
pub mod sys;
pub mod template;
pub mod tls;
pub mod trial;
pub mod verify;
