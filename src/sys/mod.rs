//! Operating system interfaces: accounts, limits, heartbeats, sockets, and systemd.

pub mod account;
pub mod fd_limit;
pub mod heartbeat;
pub mod socket;
pub mod systemd;
