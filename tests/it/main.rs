//! Integration tests through the real binary, with real sockets, files and processes.
//!
//! `scenario` is the test harness. Every other file covers one subject.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that goes wrong panics"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the stage measures real time and passes PATH on"
)]
#![expect(clippy::print_stderr, reason = "the daemon's log is shown when a test fails")]
#![expect(
    clippy::format_push_string,
    reason = "a head of HTTP is put together line by line"
)]

mod circles;
mod scenario;

mod actions;
mod admin_api;
mod alternatives;
mod answers;
mod appending;
mod arrivals;
mod arrivals_replay;
mod bodies;
mod certificates;
mod check_warnings;
mod cli;
mod clients;
mod commands;
mod concurrency;
mod crash;
mod debounce;
mod defaults;
mod displaced;
mod edge;
mod elements;
mod events;
mod exit_codes;
mod failing;
mod fire;
mod flood;
mod for_each;
mod forwards;
mod forwards_original;
mod framing;
mod handshakes;
mod importing;
mod imports;
mod include;
mod init;
mod inputs;
mod integers;
mod interrupted;
mod jobs;
mod jwt;
mod learning;
mod listening;
mod live_output;
mod logs;
mod machine;
mod main_job;
mod manual;
mod manual_blocks;
mod manual_commands;
mod manual_tests;
mod memory_limit;
mod message_algorithms;
mod message_signatures;
mod observe;
mod on_failure;
mod outputs;
mod page_door;
mod pausing;
mod plan;
mod poisoned;
mod postgres;
mod properties;
mod reference;
mod reload;
mod replay;
mod respond;
mod rotation;
mod rsa;
mod schema;
mod schemes;
mod send_rule;
mod signing;
mod silence;
mod status;
mod stop_attempts;
mod store_check;
mod strangers;
mod stripe_relay;
mod sums;
mod supervised;
mod tls;
mod trial;
mod trial_deliveries;
mod trial_example;
mod try_rules;
mod unreadable;
mod unverified;
mod values;
mod views;
mod views_of_status;
mod weak_secrets;
mod whereabouts;
mod words;
