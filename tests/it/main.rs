//! The daemon as its users meet it: the real binary, real sockets, real files, real processes.
//!
//! `scenario` is the stage; every other file is one subject.

mod scenario;

mod actions;
mod answers;
mod cli;
mod crash;
mod imports;
mod logs;
mod main_job;
mod reload;
mod replay;
