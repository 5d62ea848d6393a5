//! `hookyard open`: the way to the operator's page from where the command runs.
//!
//! Over SSH: the command for the user's own machine. With a page on TCP: its address. Else a relay
//! from a port of this machine to the daemon's socket, see `relay.rs`.

mod owner;
mod relay;

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::location::StoreLocation;
use super::status::socket_of;
use super::{YES, complain, fail, say};
use crate::base::shell_word::quoted;
use crate::config;

/// Port on the user's own machine.
const PORT: u16 = 9001;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    store_location: StoreLocation,
    /// The daemon's socket [default: as for `hookyard status`].
    #[arg(long, value_name = "SOCKET")]
    socket: Option<PathBuf>,
    /// The port of this machine [default: any that is free; over SSH 9001].
    #[arg(long)]
    port: Option<u16>,
    /// Only print the address.
    #[arg(long)]
    no_browser: bool,
}

pub fn run(arguments: &Arguments) -> u8 {
    let rules = arguments.store_location.rules_of_daemon();
    let url = rules.filter(|_| arguments.socket.is_none()).and_then(|rules| {
        let declared = config::declared_paths(&rules).ok()?;
        declared.page_url
    });
    let ssh = config::variable("SSH_CONNECTION");
    if let (Some(url), None) = (&url, &ssh) {
        let code = say(url, YES);
        show(url, arguments.no_browser);
        return code;
    }
    let socket = match &arguments.socket {
        Some(socket) => Ok(socket.clone()),
        None => socket_of(
            &arguments.store_location,
            "name the rules with `--rules RULES`, or the socket with `--socket SOCKET`",
        ),
    };
    let socket = match socket {
        Ok(socket) => std::path::absolute(&socket).unwrap_or(socket),
        Err(code) => return code,
    };
    // The user's own access counts.
    if let Err(error) = UnixStream::connect(&socket) {
        return fail(&format!("no daemon answers at `{}`: {error}", socket.display()));
    }
    if let Some(ssh) = ssh {
        return say(&by_ssh(&ssh, &socket, arguments.port.unwrap_or(PORT)), YES);
    }
    let announced = |url: &str| {
        say(url, YES);
        complain("the page is there until you press Ctrl-C, for your own user only");
        show(url, arguments.no_browser);
    };
    match relay::run(&socket, arguments.port.unwrap_or(0), announced) {
        Ok(()) => YES,
        Err(message) => fail(&message),
    }
}

/// The command for the machine from which the user came. `connection`: `$SSH_CONNECTION`.
fn by_ssh(connection: &str, socket: &Path, port: u16) -> String {
    let mut parts = connection.split(' ').skip(2);
    let host = parts.next().unwrap_or("HOST");
    let ssh_port = parts.next().filter(|port| *port != "22");
    let ssh_port = ssh_port.map_or_else(String::new, |port| format!("-p {} ", quoted(port)));
    let user = ["USER", "LOGNAME"].iter().find_map(|name| config::variable(name));
    let user = user.unwrap_or_else(|| "USER".to_owned());
    let forward = format!("127.0.0.1:{port}:{}", socket.display());
    format!(
        "run this on your own machine:\n  ssh -N {ssh_port}-L {} {}\nand open there:\n  http://127.0.0.1:{port}/",
        quoted(&forward),
        quoted(&format!("{user}@{host}"))
    )
}

/// Opens a browser, if there is a display.
fn show(url: &str, no_browser: bool) {
    let has_display = ["WAYLAND_DISPLAY", "DISPLAY"]
        .iter()
        .any(|name| config::variable(name).is_some());
    if no_browser || !has_display {
        return;
    }
    let mut browser = Command::new("xdg-open");
    browser.arg(url);
    browser
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Err(error) = browser.spawn() {
        complain(&format!("no browser was opened: `xdg-open`: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_of_ssh_names_the_machine_as_the_user_reached_it() {
        let socket = Path::new("/run/hookyard/admin.sock");
        let command = by_ssh("192.0.2.9 50000 198.51.100.1 22", socket, 9001);
        assert!(
            command.contains("ssh -N -L 127.0.0.1:9001:/run/hookyard/admin.sock ")
                && command.contains("@198.51.100.1\nand open there:\n  http://127.0.0.1:9001/"),
            "{command}"
        );
        let command = by_ssh("2001:db8::9 50000 2001:db8::1 2222", Path::new("/a b"), 1);
        assert!(
            command.contains("ssh -N -p 2222 -L '127.0.0.1:1:/a b' "),
            "{command}"
        );
    }
}
