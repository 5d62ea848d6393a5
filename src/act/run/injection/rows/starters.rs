//! Programs that start the program that they are given.

use super::{ALWAYS, Input, Operands, PLAIN, Row};

/// Programs that start the program that they are given.
pub(super) const STARTERS: &[Row] = &[
    // Programs that start the program that they are given.
    Row {
        names: &["env"],
        code: &["-S", "--split-string"],
        values: &["-u", "--unset", "-C", "--chdir", "-a", "--argv0"],
        operands: Operands::Command(0),
        ..PLAIN
    },
    Row {
        names: &["sudo", "doas", "run0", "pkexec"],
        values: &[
            "-u",
            "--user",
            "-g",
            "--group",
            "-h",
            "--host",
            "-p",
            "--prompt",
            "-C",
            "--close-from",
            "-r",
            "--role",
            "-t",
            "--type",
            "-T",
            "--command-timeout",
            "-U",
            "--other-user",
            "-D",
            "--chdir",
            "-R",
            "--chroot",
            "-a",
            "-c",
        ],
        input: Some(Input {
            operands: 0,
            only: &["-s", "--shell", "-i", "--login"],
            ..ALWAYS
        }),
        operands: Operands::Command(0),
        ..PLAIN
    },
    Row {
        names: &["flock"],
        code: &["-c", "--command"],
        values: &["-w", "--wait", "--timeout", "-E", "--conflict-exit-code"],
        operands: Operands::Command(1),
        ..PLAIN
    },
    Row {
        names: &[
            "timeout",
            "gtimeout",
            "chrt",
            "taskset",
            "gosu",
            "su-exec",
            "setuidgid",
            "logsave",
        ],
        values: &["-s", "--signal", "-k", "--kill-after", "-T", "-P", "-D"],
        operands: Operands::Command(1),
        ..PLAIN
    },
    // Without a command these start a shell.
    Row {
        names: &["chroot"],
        values: &["--userspec", "--groups"],
        input: Some(Input {
            operands: 1,
            ..ALWAYS
        }),
        operands: Operands::Command(1),
        ..PLAIN
    },
    Row {
        names: &["unshare", "nsenter"],
        values: &[
            "-t", "--target", "-S", "--setuid", "-G", "--setgid", "-R", "--root", "-w", "--wd",
        ],
        input: Some(Input {
            operands: 0,
            ..ALWAYS
        }),
        operands: Operands::Command(0),
        ..PLAIN
    },
    Row {
        names: &[
            "nohup",
            "setsid",
            "busybox",
            "toybox",
            "tini",
            "dumb-init",
            "catatonit",
            "fakeroot",
            "eatmydata",
            "chronic",
            "dbus-run-session",
            "nocache",
            "exec",
            "command",
            "caffeinate",
            "unbuffer",
            "rlwrap",
            "torsocks",
            "torify",
            "proxychains",
            "valgrind",
            "firejail",
            "pexec",
        ],
        operands: Operands::Command(0),
        ..PLAIN
    },
    Row {
        names: &["nice", "ionice", "stdbuf", "time", "gtime"],
        values: &[
            "-n",
            "--adjustment",
            "-c",
            "--class",
            "--classdata",
            "-i",
            "--input",
            "-o",
            "--output",
            "-e",
            "--error",
            "-f",
            "--format",
        ],
        operands: Operands::Command(0),
        ..PLAIN
    },
    Row {
        names: &["xargs", "gxargs"],
        values: &[
            "-I",
            "-n",
            "--max-args",
            "-P",
            "--max-procs",
            "-L",
            "--max-lines",
            "-d",
            "--delimiter",
            "-E",
            "-s",
            "--max-chars",
            "-a",
            "--arg-file",
        ],
        attached: "ile",
        operands: Operands::Command(0),
        ..PLAIN
    },
    Row {
        names: &["systemd-run", "systemd-inhibit"],
        values: &[
            "-p",
            "--property",
            "-u",
            "--unit",
            "--uid",
            "--gid",
            "--slice",
            "--description",
            "-E",
            "--setenv",
            "-M",
            "--machine",
            "-H",
            "--host",
            "--working-directory",
            "--on-active",
            "--on-calendar",
            "--service-type",
            "--nice",
            "--who",
            "--why",
            "--what",
            "--mode",
        ],
        operands: Operands::Command(0),
        ..PLAIN
    },
    Row {
        names: &["setpriv"],
        values: &[
            "--reuid",
            "--regid",
            "--groups",
            "--inh-caps",
            "--ambient-caps",
            "--bounding-set",
        ],
        operands: Operands::Command(0),
        ..PLAIN
    },
    Row {
        names: &["strace", "ltrace", "sshpass"],
        values: &["-e", "-o", "-s", "-p", "-d", "-P", "-u", "-E"],
        attached: "f",
        operands: Operands::Command(0),
        ..PLAIN
    },
    Row {
        names: &["npx", "pnpx", "bunx", "uvx"],
        code: &["-c", "--call"],
        values: &["-p", "--package", "--from", "--with", "-w", "--workspace"],
        operands: Operands::Command(0),
        ..PLAIN
    },
    Row {
        names: &[
            "uv", "poetry", "pipenv", "hatch", "pdm", "rye", "bundle", "bundler", "pipx",
        ],
        values: &["-C", "--directory", "--project"],
        commands: &[Row {
            names: &["run", "exec"],
            values: &["--with", "--python", "-p", "--spec"],
            operands: Operands::Command(0),
            ..PLAIN
        }],
        ..PLAIN
    },
    Row {
        names: &["ip"],
        values: &["-n", "-netns"],
        commands: &[Row {
            names: &["netns", "vrf"],
            commands: &[Row {
                names: &["exec"],
                operands: Operands::Command(1),
                ..PLAIN
            }],
            ..PLAIN
        }],
        ..PLAIN
    },
    Row {
        names: &["start-stop-daemon"],
        code: &["-x", "--exec", "-a", "--startas"],
        ends: &["--"],
        ..PLAIN
    },
    Row {
        names: &["find", "gfind"],
        operands: Operands::Behind(&["-exec", "-execdir", "-ok", "-okdir"]),
        ..PLAIN
    },
    Row {
        names: &["fd", "fdfind"],
        operands: Operands::Behind(&["-x", "--exec", "-X", "--exec-batch"]),
        ..PLAIN
    },
];
