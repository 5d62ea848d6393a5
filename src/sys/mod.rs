//! Operating system interfaces: accounts, limits, sockets, and systemd.

pub mod account;
pub mod fd_limit;
pub mod socket;
pub mod systemd;
pub mod write_timeout;
