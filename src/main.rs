//! Entry point: runs the command line and returns its exit code.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// The allocator of the daemon and its commands. `.cargo/config.toml` has its options.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    hookyard::cli::run()
}
