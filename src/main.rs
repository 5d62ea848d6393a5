//! Entry point: runs the command line and returns its exit code.

use std::process::ExitCode;

/// The allocator of the daemon and its commands. `.cargo/config.toml` has its options.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    hookyard::cli::run()
}
