//! hookyard turns incoming webhooks into actions. This is the map of the house.
//!
//! ```text
//!            listen ──────────────► pipeline ◄──────────────── daemon, config, admin, cli
//!        (bytes → Received)     (the order of the rooms)        (the other doors)
//!                                      │
//!      ┌───────────────┬───────────────┼────────────────┬────────────────┐
//!      ▼               ▼               ▼                ▼                ▼
//!   1 verify ──────► 2 payload ─────► 3 matching      4 store          5 act ──► 6 report
//!   genuine and      what does        which rules     remembered       do it     say what
//!   fresh?           it say?          want it?        until done                 happened
//!      └───────────────┴───────────────┴────────────────┴────────────────┘
//!              ground floor: diagnostic escape yaml units secret clock id coding json jsonpath template live
//!                            account network pem pulse socket descriptors file throttle url_path
//!                            weak_secret
//! ```
//!
//! [`acme`] stands aside: it sees to the certificate that `listen` shows.
//!
//! Data flows one way. A request becomes a [`verify::Received`]; a verification proves it or refuses it; decoded it
//! is a [`payload::Event`]; [`matching`] says which rules want it; [`store`] writes event, replay memory and
//! deliveries in one durable transaction, and then the sender is answered. From the queue, [`pipeline::Dispatch`]
//! leases a delivery, [`act`] performs its next action, the outcome is settled, and the settlement is written.
//! `pipeline/intake.rs` and `pipeline/dispatch.rs` tell these two stories and should be read first.
//!
//! # Who may import whom
//!
//! Imports point at the ground floor, or at a type made in an earlier room; never in a circle. `tests/it/imports.rs`
//! holds the table. No room knows `config`; each owns the piece of YAML that configures it. [`rules`] is the compiled
//! file, made by `config` out of the rooms' pieces.
//!
//! # Where to add what
//!
//! | to add | go to |
//! |---|---|
//! | a sender | a row in `verify/scheme/presets/rows.rs` and a request in `tests/real_senders` |
//! | a handshake | a row in `verify/handshake/rows.rs` |
//! | an operator of `match` | `matching/operator.rs` |
//! | an action | a file in `act/` and its arms in `act/mod.rs` |
//! | a command | a file in `cli/` and an arm in `cli/mod.rs` |
//! | a key of the rules file | its shape in `config/document.rs`, its meaning beside it |

pub mod account;
pub mod clock;
pub mod coding;
pub mod descriptors;
pub mod diagnostic;
pub mod escape;
pub mod file;
pub mod id;
pub mod json;
pub mod jsonpath;
pub mod live;
pub mod network;
pub mod pem;
pub mod pulse;
pub mod secret;
pub mod socket;
pub mod template;
pub mod throttle;
pub mod units;
pub mod url_path;
pub mod weak_secret;
pub mod yaml;

pub mod acme;
pub mod act;
pub mod matching;
pub mod payload;
pub mod report;
pub mod store;
pub mod verify;

pub mod pipeline;
pub mod rules;

pub mod admin;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod listen;
