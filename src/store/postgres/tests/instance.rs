//! Servers of a test's own: started, killed, copied and promoted.

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::store::postgres::{Durability, ServerUrl, Target, Wake};

/// User that runs servers, because they refuse to run as root.
const SERVER_USER: &str = "postgres";

/// A server in a folder of its own, on a loopback port. It is stopped at the end.
pub struct Instance {
    folder: TempDir,
    pub port: u16,
}

impl Instance {
    /// Starts an empty server with these lines of `postgresql.conf`.
    pub fn start(settings: &[&str]) -> Self {
        let instance = Self::placed();
        let data = instance.data();
        instance.run(
            "initdb",
            &[
                &data,
                "-A".as_ref(),
                "trust".as_ref(),
                "-U".as_ref(),
                "postgres".as_ref(),
                "-E".as_ref(),
                "UTF8".as_ref(),
                "--locale=C".as_ref(),
                "--no-sync".as_ref(),
            ],
        );
        instance.configure(settings);
        instance.launch();
        instance
    }

    /// Starts a standby of this server, which calls itself `name`.
    pub fn standby(&self, name: &str) -> Self {
        self.sql(&format!("SELECT pg_create_physical_replication_slot('{name}')"));
        let standby = Self::placed();
        let data = standby.data();
        let primary = format!(
            "host=127.0.0.1 port={} user=postgres application_name={name}",
            self.port
        );
        standby.run(
            "pg_basebackup",
            &[
                "-d".as_ref(),
                primary.as_ref(),
                "-D".as_ref(),
                &data,
                "-R".as_ref(),
                "-X".as_ref(),
                "stream".as_ref(),
                "-S".as_ref(),
                name.as_ref(),
                "-c".as_ref(),
                "fast".as_ref(),
                "--no-sync".as_ref(),
            ],
        );
        standby.configure(&[]);
        standby.launch();
        standby
    }

    fn placed() -> Self {
        let folder = tempfile::tempdir().unwrap();
        if geteuid().is_root() {
            let user = nix::unistd::User::from_name(SERVER_USER).unwrap().unwrap();
            chown(folder.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        let port = TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Self { folder, port }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn configure(&self, settings: &[&str]) {
        let file = self.data().join("postgresql.auto.conf");
        let mut text = fs::read_to_string(&file).unwrap_or_default();
        let folder = self.folder.path().display();
        text.push_str(&format!(
            "\nport = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{folder}'\nshared_buffers = 64MB\n",
            self.port
        ));
        for line in settings {
            text.push_str(line);
            text.push('\n');
        }
        fs::write(&file, text).unwrap();
    }

    fn launch(&self) {
        let log = self.folder.path().join("log");
        self.run(
            "pg_ctl",
            &[
                "-D".as_ref(),
                &self.data(),
                "-l".as_ref(),
                &log,
                "-w".as_ref(),
                "start".as_ref(),
            ],
        );
    }

    /// Reads `postgresql.auto.conf` and `pg_hba.conf` again.
    pub fn reload(&self) {
        self.run("pg_ctl", &["-D".as_ref(), &self.data(), "reload".as_ref()]);
        std::thread::sleep(Duration::from_millis(300));
    }

    /// Adds settings, and puts them in force.
    pub fn set(&self, settings: &[&str]) {
        let file = self.data().join("postgresql.auto.conf");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("{text}\n{}\n", settings.join("\n"))).unwrap();
        self.reload();
    }

    /// Replaces `pg_hba.conf`.
    pub fn admit(&self, lines: &[&str]) {
        fs::write(self.data().join("pg_hba.conf"), lines.join("\n") + "\n").unwrap();
        self.reload();
    }

    /// Writes a file that only the server may read. Returns its path.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if geteuid().is_root() {
            let user = nix::unistd::User::from_name(SERVER_USER).unwrap().unwrap();
            chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        path
    }

    pub fn promote(&self) {
        self.run(
            "pg_ctl",
            &["-D".as_ref(), &self.data(), "-w".as_ref(), "promote".as_ref()],
        );
    }

    /// Starts the server again after [`kill`](Self::kill).
    pub fn restart(&self) {
        // The killed process may still be listed, if its parent does not ask for it.
        let socket = format!(".s.PGSQL.{}.lock", self.port);
        for lock in [
            self.data().join("postmaster.pid"),
            self.folder.path().join(socket),
        ] {
            fs::remove_file(lock).unwrap();
        }
        self.launch();
    }

    /// Ends the server and all its processes at once, as the loss of power would.
    pub fn kill(&self) {
        let Some(server) = self.process() else { return };
        // It must not start others. Some may have ended by themselves.
        let _stopped = kill_process(server, Signal::STOP);
        let processes = children(server);
        for process in [server].into_iter().chain(processes) {
            let _ended = kill_process(process, Signal::KILL);
        }
    }

    fn process(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        Pid::from_raw(text.lines().next()?.trim().parse().ok()?)
    }

    /// Runs SQL as the superuser, through the socket. Returns what it prints.
    pub fn sql(&self, text: &str) -> String {
        let port = self.port.to_string();
        let output = self.run(
            "psql",
            &[
                "-h".as_ref(),
                self.folder.path(),
                "-p".as_ref(),
                port.as_ref(),
                "-U".as_ref(),
                "postgres".as_ref(),
                "-Atqc".as_ref(),
                text.as_ref(),
            ],
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Runs a program of the server, as a user that may.
    fn run(&self, program: &str, arguments: &[&Path]) -> Output {
        let program = programs().join(program);
        let mut command = if geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", SERVER_USER, "--"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        command.args(arguments.iter().map(|argument| AsRef::<OsStr>::as_ref(*argument)));
        // A server that outlives its starter must not hold its output open.
        let log = fs::File::create(self.folder.path().join("starting")).unwrap();
        let output = if arguments.contains(&"start".as_ref()) {
            command.stdout(Stdio::null()).stderr(log).stdin(Stdio::null());
            let status = command.status().unwrap();
            Output {
                status,
                stdout: Vec::new(),
                stderr: Vec::new(),
            }
        } else {
            command.current_dir("/").output().unwrap()
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            let log: Vec<_> = log.lines().rev().take(5).collect();
            panic!("{}: {said} {log:?}", program.display());
        }
        output
    }

    /// A target on this server, and on others that may take over.
    pub fn target(&self, others: &[&Self], durability: Durability) -> Target {
        let ports = [self].into_iter().chain(others.iter().copied());
        let hosts: Vec<_> = ports.map(|server| format!("127.0.0.1:{}", server.port)).collect();
        let url = format!("postgres://postgres@{}/postgres", hosts.join(","));
        target(&url, durability)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A target of tests at a URL.
pub fn target(url: &str, durability: Durability) -> Target {
    Target {
        server: ServerUrl::parse(url).unwrap(),
        schema: "hookyard".to_owned(),
        durability,
        lease: Duration::from_mins(1),
        patience: Duration::from_secs(8),
        connections: 6,
        wake: Wake::Poll,
        node: Arc::from("test"),
    }
}

/// Folder of the latest server's programs.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL of Debian is installed");
    let mut versions: Vec<_> = versions.map(|entry| entry.unwrap().path()).collect();
    versions.sort();
    versions.pop().unwrap().join("bin")
}

/// The processes that a process has started.
fn children(of: Pid) -> Vec<Pid> {
    let parent = format!("PPid:\t{}", of.as_raw_nonzero());
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        let number: i32 = entry.file_name().to_str()?.parse().ok()?;
        let status = fs::read_to_string(entry.path().join("status")).ok()?;
        status.lines().any(|line| line == parent).then_some(number)
    });
    numbers.filter_map(Pid::from_raw).collect()
}
