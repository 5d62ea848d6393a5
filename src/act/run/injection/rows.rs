//! Table of programs that run text as code, and of those that start other programs.
//!
//! A program that is not listed is assumed to read its arguments as data. Listed interpreters are
//! also found behind programs that are not listed (`docker exec web sh -c …`).

/// Program, and the position of its code.
#[derive(Debug)]
pub(super) struct Row {
    /// Names without a version: `python` also stands for `python3.11`.
    pub(super) names: &'static [&'static str],
    /// Options whose value is code. A letter may stand among other short options.
    pub(super) code: &'static [&'static str],
    /// Options with a value of another kind, which may be the next word.
    pub(super) values: &'static [&'static str],
    /// Options with two values.
    pub(super) pairs: &'static [&'static str],
    /// Short options whose value can only be the rest of their word.
    pub(super) attached: &'static str,
    /// True if short options may share a word: `-lc`.
    pub(super) clusters: bool,
    /// Condition for running standard input as code, if the operands are of another kind.
    pub(super) input: Option<Input>,
    pub(super) operands: Operands,
}

/// Condition under which a program runs its standard input as code.
#[derive(Debug)]
pub(super) struct Input {
    /// Maximum number of operands.
    pub(super) operands: usize,
    /// Options of which none may be present.
    pub(super) unless: &'static [&'static str],
    /// Options of which one must be present, unless the list is empty.
    pub(super) only: &'static [&'static str],
}

/// Condition that is always met.
const ALWAYS: Input = Input {
    operands: usize::MAX,
    unless: &[],
    only: &[],
};

/// Kind of a program's operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operands {
    /// File with code as the first operand, or code itself behind an option of `code`, which has no
    /// value of its own. Without operands, the code is read from standard input.
    Shell,
    /// File with code as the first operand, unless an option holds the code. Without operands, the
    /// code is read from standard input.
    File,
    /// Code as the first operand, unless an option holds the code.
    Code,
    /// Code after this many other operands, all words joined.
    Joined(usize),
    /// Command after this many other operands, and assignments of variables.
    Command(usize),
    /// Data, which options may follow.
    Data,
}

/// Row without options.
const PLAIN: Row = Row {
    names: &[],
    code: &[],
    values: &[],
    pairs: &[],
    attached: "",
    clusters: true,
    input: None,
    operands: Operands::Data,
};

/// Table of all known programs.
pub(super) const ROWS: &[Row] = &[
    // Shells.
    Row {
        names: &[
            "sh", "ash", "bash", "dash", "ksh", "ksh93", "mksh", "oksh", "lksh", "pdksh", "posh", "rbash",
            "rksh", "yash", "zsh", "rzsh", "csh", "tcsh", "fish", "elvish", "nu", "oil", "osh", "ysh", "rc",
            "xonsh",
        ],
        code: &["-c", "--command", "--commands"],
        values: &[
            "-o",
            "+o",
            "-O",
            "+O",
            "-C",
            "--rcfile",
            "--init-file",
            "--init-command",
            "--config",
            "--env-config",
        ],
        operands: Operands::Shell,
        ..PLAIN
    },
    Row {
        names: &["pwsh", "powershell"],
        code: &[
            "-c",
            "-C",
            "-Command",
            "-command",
            "-CommandWithArgs",
            "-EncodedCommand",
            "-e",
            "-ec",
            "-cwa",
        ],
        values: &["-WorkingDirectory", "-ExecutionPolicy", "-ConfigurationName"],
        clusters: false,
        operands: Operands::File,
        ..PLAIN
    },
    // Languages.
    Row {
        names: &["python", "pypy", "ipython", "micropython", "jython"],
        code: &["-c", "-m"],
        values: &["-W", "-X", "-Q", "--check-hash-based-pycs"],
        operands: Operands::File,
        ..PLAIN
    },
    Row {
        names: &["perl"],
        code: &["-e", "-E"],
        values: &["-I"],
        attached: "MmixFCD",
        operands: Operands::File,
        ..PLAIN
    },
    Row {
        names: &["ruby", "jruby", "irb"],
        code: &["-e"],
        values: &["-C", "-I", "-r", "--encoding"],
        attached: "iKTW0xFE",
        operands: Operands::File,
        ..PLAIN
    },
    Row {
        names: &["node", "nodejs", "bun", "ts-node", "tsx"],
        code: &["-e", "-p", "-pe", "-ep", "--eval", "--print"],
        values: &[
            "-r",
            "--require",
            "--import",
            "--loader",
            "-C",
            "--conditions",
            "--env-file",
        ],
        operands: Operands::File,
        ..PLAIN
    },
    Row {
        names: &["deno"],
        code: &["eval", "repl", "--eval"],
        ..PLAIN
    },
    Row {
        names: &["php", "php-cgi"],
        code: &[
            "-r",
            "-R",
            "-B",
            "-E",
            "--run",
            "--process-code",
            "--process-begin",
            "--process-end",
        ],
        values: &["-d", "--define", "-c", "--php-ini", "-z", "--zend-extension"],
        operands: Operands::File,
        ..PLAIN
    },
    Row {
        names: &["lua", "luajit", "texlua"],
        code: &["-e"],
        values: &["-l", "-j"],
        attached: "O",
        operands: Operands::File,
        ..PLAIN
    },
    Row {
        names: &[
            "Rscript",
            "julia",
            "elixir",
            "osascript",
            "groovy",
            "scala",
            "guile",
            "kotlin",
            "raku",
            "tclsh",
            "expect",
            "swipl",
            "ghc",
            "runghc",
        ],
        code: &["-e", "-E", "-c", "-g", "--eval", "--print"],
        values: &["-l", "-L", "-s"],
        operands: Operands::File,
        ..PLAIN
    },
    // Small languages: the first operand is the program.
    Row {
        names: &["awk", "gawk", "mawk", "nawk", "original-awk"],
        code: &[
            "-e",
            "--source",
            "-f",
            "--file",
            "-E",
            "--exec",
            "-i",
            "--include",
            "-l",
            "--load",
        ],
        values: &["-F", "--field-separator", "-v", "--assign"],
        operands: Operands::Code,
        ..PLAIN
    },
    Row {
        names: &["sed", "gsed", "ssed"],
        code: &["-e", "--expression", "-f", "--file"],
        values: &["-l", "--line-length"],
        attached: "i",
        operands: Operands::Code,
        ..PLAIN
    },
    Row {
        names: &["jq", "gojq", "jaq", "yq"],
        code: &["-f", "--from-file"],
        values: &["--indent", "-L"],
        pairs: &["--arg", "--argjson", "--slurpfile", "--rawfile"],
        operands: Operands::Code,
        ..PLAIN
    },
    // Databases.
    Row {
        names: &["psql"],
        code: &["-c", "--command"],
        values: &["-v", "--set", "--variable"],
        input: Some(Input {
            unless: &["-f", "--file", "-l", "--list"],
            ..ALWAYS
        }),
        ..PLAIN
    },
    Row {
        names: &["mysql", "mariadb"],
        code: &["-e", "--execute", "--init-command"],
        input: Some(ALWAYS),
        ..PLAIN
    },
    Row {
        names: &[
            "cockroach",
            "mongosh",
            "mongo",
            "clickhouse-client",
            "cqlsh",
            "sqlcmd",
            "trino",
            "influx",
        ],
        code: &[
            "-c",
            "--command",
            "-e",
            "--execute",
            "--eval",
            "-q",
            "-Q",
            "--query",
            "--init-command",
        ],
        ..PLAIN
    },
    Row {
        names: &["sqlite3", "duckdb"],
        code: &["-cmd", "-c", "-s"],
        values: &["-init", "-separator", "-newline", "-nullvalue", "-mmap", "-vfs"],
        clusters: false,
        input: Some(Input {
            operands: 1,
            ..ALWAYS
        }),
        operands: Operands::Joined(1),
        ..PLAIN
    },
    // Programs that run a text with a shell, or that expand it as a shell does.
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
        operands: Operands::Joined(1),
        ..PLAIN
    },
    Row {
        names: &["eval", "watch", "make", "gmake", "tmux", "screen", "hyperfine"],
        code: &["--eval"],
        values: &["-n", "--interval", "-C", "--directory", "-L", "-S"],
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
        values: &["-q", "-t"],
        input: Some(Input {
            unless: &["-f", "-l", "-r", "-d", "-c"],
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
    Row {
        names: &["script", "sg", "newgrp", "capsh", "npx", "npm", "pnpm", "yarn"],
        code: &["-c", "--command", "--session-command", "--call"],
        ..PLAIN
    },
    Row {
        names: &["rsync"],
        code: &["-e", "--rsh", "--rsync-path"],
        ..PLAIN
    },
    Row {
        names: &["git"],
        code: &[
            "-c",
            "--config",
            "--config-env",
            "--exec-path",
            "--git-dir",
            "--template",
            "--upload-pack",
            "--receive-pack",
            "--exec",
            "--extcmd",
            "--open-files-in-pager",
            "--tree-filter",
            "--index-filter",
            "--msg-filter",
            "--env-filter",
            "--commit-filter",
            "foreach",
        ],
        values: &["-C", "--work-tree", "--namespace", "-m", "--message"],
        ..PLAIN
    },
    Row {
        names: &["tar", "gtar", "bsdtar"],
        code: &[
            "-I",
            "-F",
            "--use-compress-program",
            "--to-command",
            "--checkpoint-action",
            "--info-script",
            "--new-volume-script",
            "--rsh-command",
            "--rmt-command",
        ],
        ..PLAIN
    },
    Row {
        names: &["vim", "vi", "nvim", "ex", "emacs", "gdb", "lldb"],
        code: &[
            "-c",
            "--cmd",
            "--eval",
            "-eval",
            "-ex",
            "--eval-command",
            "-o",
            "--one-line",
        ],
        ..PLAIN
    },
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
];
