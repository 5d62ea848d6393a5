//! The operating system: accounts, limits, sockets, and the supervisor.

pub mod account;
pub mod fd_limit;
pub mod heartbeat;
pub mod socket;
pub mod systemd;
