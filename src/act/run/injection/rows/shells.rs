//! Programs that give a text to a shell.

use super::{ALWAYS, Input, Operands, PLAIN, Row};

/// Programs that run a text with a shell, or that expand it as a shell does.
pub(super) const SHELLS: &[Row] = &[
    Row {
        names: &["ssh", "autossh", "rsh", "remsh", "dbclient", "plink", "mosh"],
        code: &["-o", "-F", "-I", "-S"],
        values: &[
            "-b", "-B", "-c", "-D", "-E", "-e", "-i", "-J", "-L", "-l", "-m", "-M", "-O", "-P", "-p", "-Q",
            "-R", "-W", "-w",
        ],
        input: Some(Input {
            operands: 1,
            unless: &["-N", "-n", "-f", "-s", "-O", "-Q", "-G", "-W"],
            ..ALWAYS
        }),
        operands: Operands::Remote(1),
        ..PLAIN
    },
    Row {
        names: &["eval", "watch", "tmux", "screen", "hyperfine"],
        values: &["-n", "--interval", "-C", "--directory", "-L", "-S"],
        operands: Operands::Joined(0),
        ..PLAIN
    },
    Row {
        names: &["make", "gmake"],
        code: &["--eval"],
        files: &["-f", "--file", "--makefile"],
        values: &["-C", "--directory", "-I", "--include-dir", "-o", "-W"],
        attached: "jl",
        operands: Operands::Joined(0),
        ..PLAIN
    },
    // Every address can name a program: `TCP:a:1!!EXEC:b`.
    Row {
        names: &["socat"],
        values: &["-T", "-t", "-b", "-L", "-W"],
        operands: Operands::Joined(0),
        ..PLAIN
    },
    Row {
        names: &["parallel"],
        values: &["-j", "--jobs", "-n", "-L", "-S", "-I", "-a", "--arg-file", "-d"],
        input: Some(Input {
            operands: 0,
            unless: &["-a", "--arg-file"],
            ..ALWAYS
        }),
        operands: Operands::Joined(0),
        ..PLAIN
    },
    Row {
        names: &["at", "batch"],
        files: &["-f"],
        values: &["-q", "-t"],
        input: Some(Input {
            unless: &["-l", "-r", "-d", "-c"],
            ..ALWAYS
        }),
        ..PLAIN
    },
    Row {
        names: &["su", "runuser"],
        code: &["-c", "--command", "--session-command"],
        values: &["-s", "--shell", "-g", "--group", "-G", "--supp-group", "-w"],
        // Two operands: a dash and a user.
        input: Some(Input {
            operands: 2,
            unless: &["-u", "--user"],
            ..ALWAYS
        }),
        ..PLAIN
    },
    // Without a command these start a shell.
    Row {
        names: &["script", "newgrp"],
        code: &["-c", "--command"],
        values: &["-o", "-O", "-I", "-B", "-E", "-m"],
        input: Some(ALWAYS),
        ..PLAIN
    },
    Row {
        names: &["sg"],
        code: &["-c"],
        operands: Operands::Joined(1),
        ..PLAIN
    },
    Row {
        names: &["capsh", "npm", "pnpm", "yarn"],
        code: &["-c", "--command", "--session-command", "--call"],
        ..PLAIN
    },
    Row {
        names: &["rsync"],
        code: &["-e", "--rsh", "--rsync-path"],
        ..PLAIN
    },
    Row {
        names: &["scp"],
        code: &["-o", "-F", "-S", "-D"],
        values: &["-c", "-i", "-J", "-l", "-P", "-X"],
        ..PLAIN
    },
    Row {
        names: &["sftp"],
        code: &["-o", "-F", "-S", "-D"],
        files: &["-b"],
        values: &["-B", "-c", "-i", "-J", "-l", "-P", "-R", "-s", "-X"],
        input: Some(ALWAYS),
        ..PLAIN
    },
];
