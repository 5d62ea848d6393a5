//! Shells, languages and databases.

use super::{ALWAYS, Input, Operands, PLAIN, Row};

/// Command that runs a file.
const RUN: Row = Row {
    names: &["run"],
    operands: Operands::File,
    ..PLAIN
};

/// Programs whose purpose is to run a text.
pub(super) const INTERPRETERS: &[Row] = &[
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
        code: &["-c"],
        files: &["-m"],
        ends: &["-c", "-m"],
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
        names: &["go"],
        commands: &[RUN],
        ..PLAIN
    },
    Row {
        names: &["deno"],
        commands: &[RUN],
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
        files: &["-f", "--file", "-F", "--process-file"],
        values: &[
            "-d",
            "--define",
            "-c",
            "--php-ini",
            "-z",
            "--zend-extension",
            "-S",
            "-t",
        ],
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
        names: &["R"],
        code: &["-e"],
        files: &["-f", "--file"],
        ends: &["--args"],
        clusters: false,
        input: Some(Input {
            operands: 0,
            ..ALWAYS
        }),
        ..PLAIN
    },
    Row {
        names: &[
            "octave",
            "gnuplot",
            "bpftrace",
            "slsh",
            "jrunscript",
            "maxima",
            "dc",
            "puppet",
        ],
        code: &["-e", "--eval", "--expression", "--execute"],
        files: &["-f", "--file"],
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
        code: &["-e", "--source"],
        files: &["-f", "--file", "-E", "--exec"],
        libraries: &["-i", "--include", "-l", "--load"],
        values: &["-F", "--field-separator", "-v", "--assign"],
        operands: Operands::Code,
        ..PLAIN
    },
    Row {
        names: &["sed", "gsed", "ssed"],
        code: &["-e", "--expression"],
        files: &["-f", "--file"],
        values: &["-l", "--line-length"],
        attached: "i",
        operands: Operands::Code,
        ..PLAIN
    },
    Row {
        names: &["jq", "gojq", "jaq", "yq"],
        files: &["-f", "--from-file"],
        values: &["--indent", "-L"],
        pairs: &["--arg", "--argjson", "--slurpfile", "--rawfile"],
        operands: Operands::Code,
        ..PLAIN
    },
    // Databases.
    Row {
        names: &["psql"],
        code: &["-c", "--command"],
        files: &["-f", "--file"],
        values: &["-v", "--set", "--variable"],
        input: Some(Input {
            unless: &["-l", "--list"],
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
    Row {
        names: &["redis-cli", "valkey-cli", "keydb-cli"],
        code: &["eval", "EVAL", "eval_ro", "EVAL_RO"],
        files: &["--eval"],
        values: &["-h", "-p", "-s", "-a", "-u", "-n", "-r", "-i", "--user", "--pass"],
        clusters: false,
        input: Some(Input {
            operands: 0,
            unless: &["-x", "-X", "--pipe"],
            ..ALWAYS
        }),
        ..PLAIN
    },
];
