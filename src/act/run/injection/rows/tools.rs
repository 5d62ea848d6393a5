//! Programs with another purpose, which run or expand a text on the way.

use super::{ALWAYS, Input, Operands, PLAIN, Row};

/// Commands of `git` that run a text.
const GIT: &[Row] = &[
    Row {
        names: &["rebase"],
        code: &["-x", "--exec"],
        values: &["-s", "-X"],
        ..PLAIN
    },
    Row {
        names: &["clone"],
        code: &["-u"],
        values: &["-b", "-o", "-j"],
        ..PLAIN
    },
    Row {
        names: &["difftool"],
        code: &["-x"],
        values: &["-t"],
        ..PLAIN
    },
    Row {
        names: &["grep"],
        // Its value can only be the rest of its word.
        code: &["-O"],
        values: &["-e", "-m", "-A", "-B", "-C"],
        ..PLAIN
    },
    Row {
        names: &["send-email"],
        code: &[
            "--sendmail-cmd",
            "--to-cmd",
            "--cc-cmd",
            "--header-cmd",
            "--smtp-server",
        ],
        ..PLAIN
    },
    Row {
        names: &["bisect"],
        commands: &[Row {
            names: &["run"],
            operands: Operands::Command(0),
            ..PLAIN
        }],
        ..PLAIN
    },
    Row {
        names: &["submodule"],
        commands: &[Row {
            names: &["foreach"],
            operands: Operands::Joined(0),
            ..PLAIN
        }],
        ..PLAIN
    },
];

/// Programs that pass a text to a shell, or that have an option for it.
pub(super) const TOOLS: &[Row] = &[
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
        ],
        values: &["-C", "--work-tree", "--namespace", "-m", "--message"],
        commands: GIT,
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
        names: &["hg", "svn"],
        code: &["--config", "--config-option"],
        ..PLAIN
    },
    // Editors, debuggers.
    Row {
        names: &["vim", "vi", "nvim", "view", "vimdiff", "rvim"],
        code: &["-c", "--cmd"],
        files: &["-S", "-u", "-U", "--luamod"],
        values: &["-T", "--servername", "-i"],
        input: Some(Input {
            only: &["-e", "-E"],
            ..ALWAYS
        }),
        operands: Operands::Plus,
        ..PLAIN
    },
    Row {
        names: &["less", "more"],
        operands: Operands::Plus,
        ..PLAIN
    },
    Row {
        names: &["ex", "ed", "red"],
        code: &["-c", "--cmd"],
        files: &["-S", "-u"],
        input: Some(ALWAYS),
        operands: Operands::Plus,
        ..PLAIN
    },
    Row {
        names: &["emacs", "emacsclient", "zile", "mg"],
        code: &["--eval", "-eval", "--execute", "-execute", "-e"],
        files: &["-l", "--load", "-load", "--script", "-script", "-x"],
        clusters: false,
        ..PLAIN
    },
    Row {
        names: &["gdb", "gdb-multiarch"],
        code: &[
            "-ex",
            "--ex",
            "-iex",
            "-eval-command",
            "--eval-command",
            "--init-eval-command",
        ],
        files: &["-x", "-ix", "-command", "--command", "--init-command"],
        values: &["-p", "-pid", "--pid", "-cd", "--cd", "-c", "-core", "--core"],
        ends: &["--args", "-args"],
        clusters: false,
        input: Some(ALWAYS),
        ..PLAIN
    },
    Row {
        names: &["lldb"],
        code: &[
            "-o",
            "-O",
            "-k",
            "--one-line",
            "--one-line-before-file",
            "--one-line-on-crash",
        ],
        files: &[
            "-s",
            "-S",
            "-K",
            "--source",
            "--source-before-file",
            "--source-on-crash",
        ],
        values: &["-p", "--attach-pid", "-n", "--attach-name", "-f", "--file"],
        input: Some(ALWAYS),
        ..PLAIN
    },
    // Networks.
    Row {
        names: &["nc", "ncat", "netcat", "nc.traditional", "nc.openbsd"],
        code: &[
            "-c",
            "--sh-exec",
            "-e",
            "--exec",
            "--lua-exec",
            "--lua-exec-internal",
        ],
        values: &["-p", "-s", "-w", "-i", "-q", "-g", "-G", "-x", "-X", "-o", "-m"],
        ..PLAIN
    },
    Row {
        names: &["tcpdump"],
        code: &["-z"],
        values: &[
            "-B", "-C", "-D", "-E", "-F", "-G", "-i", "-j", "-M", "-m", "-Q", "-r", "-s", "-T", "-V", "-W",
            "-w", "-y", "-Z",
        ],
        ..PLAIN
    },
    Row {
        names: &["openvpn"],
        code: &[
            "--up",
            "--down",
            "--route-up",
            "--ipchange",
            "--tls-verify",
            "--client-connect",
            "--plugin",
        ],
        files: &["--config"],
        clusters: false,
        ..PLAIN
    },
    Row {
        names: &["nmap"],
        files: &["--script"],
        code: &["--script-args"],
        clusters: false,
        ..PLAIN
    },
    // Its configuration names files to read and to write.
    Row {
        names: &["curl"],
        files: &["-K", "--config"],
        values: &[
            "-A", "-b", "-c", "-C", "-d", "-D", "-e", "-E", "-F", "-h", "-H", "-m", "-o", "-P", "-Q", "-r",
            "-t", "-T", "-u", "-U", "-w", "-x", "-X", "-y", "-Y", "-z",
        ],
        ..PLAIN
    },
    Row {
        names: &["wget"],
        code: &["--use-askpass", "-e", "--execute"],
        files: &["--config"],
        values: &[
            "-a", "-A", "-B", "-D", "-i", "-I", "-l", "-o", "-O", "-P", "-Q", "-R", "-t", "-T", "-U", "-w",
            "-X",
        ],
        ..PLAIN
    },
    Row {
        names: &["lftp"],
        code: &["-c", "-e"],
        files: &["-f"],
        values: &["-p", "-u"],
        input: Some(ALWAYS),
        ..PLAIN
    },
    Row {
        names: &["smbclient"],
        code: &["-c", "--command"],
        values: &["-p", "-U", "-W", "-I", "-A", "-D"],
        input: Some(ALWAYS),
        ..PLAIN
    },
    // Only these options let lines of the text that begin with `~!` run.
    Row {
        names: &["mail", "mailx", "Mail", "s-nail", "nail", "bsd-mailx"],
        code: &["--exec", "-S"],
        values: &["-a", "-A", "-b", "-c", "-q", "-r", "-s", "-u"],
        input: Some(Input {
            only: &["-~", "-I"],
            ..ALWAYS
        }),
        ..PLAIN
    },
    // Administration.
    Row {
        names: &[
            "ansible",
            "ansible-playbook",
            "ansible-console",
            "ansible-pull",
            "ansible-test",
        ],
        code: &["-a", "--args", "-e", "--extra-vars", "-m", "--module-name"],
        values: &[
            "-i",
            "--inventory",
            "-l",
            "--limit",
            "-t",
            "--tags",
            "--skip-tags",
            "-u",
            "--user",
            "-f",
            "--forks",
        ],
        ..PLAIN
    },
    Row {
        names: &["crontab"],
        values: &["-u"],
        input: Some(Input {
            unless: &["-l", "-r", "-e", "-T"],
            ..ALWAYS
        }),
        operands: Operands::File,
        ..PLAIN
    },
    Row {
        names: &["apt", "apt-get", "aptitude"],
        code: &["-o", "--option", "-c", "--config-file"],
        values: &["-t", "--target-release"],
        ..PLAIN
    },
    Row {
        names: &["rpm"],
        code: &["-E", "--eval", "-D", "--define", "--pipe"],
        ..PLAIN
    },
    Row {
        names: &["helm"],
        code: &["--post-renderer"],
        clusters: false,
        ..PLAIN
    },
    Row {
        names: &["gcloud", "nix-shell"],
        code: &["--command", "--run"],
        clusters: false,
        ..PLAIN
    },
    Row {
        names: &["vagrant"],
        commands: &[Row {
            names: &["ssh", "winrm"],
            code: &["-c", "--command"],
            ..PLAIN
        }],
        ..PLAIN
    },
    // Files.
    Row {
        names: &["zip"],
        code: &["-TT", "--unzip-command"],
        clusters: false,
        ..PLAIN
    },
    Row {
        names: &["split", "gsplit"],
        code: &["--filter"],
        values: &["-a", "-b", "-C", "-l", "-n", "-t"],
        ..PLAIN
    },
    Row {
        names: &["rclone", "restic"],
        code: &["--password-command", "-o", "--option"],
        clusters: false,
        ..PLAIN
    },
    Row {
        names: &["sort", "gsort"],
        code: &["--compress-program"],
        values: &["-k", "-o", "-S", "-t", "-T"],
        ..PLAIN
    },
    Row {
        names: &["man"],
        code: &["-P", "--pager", "-H", "--html"],
        ..PLAIN
    },
    Row {
        names: &["cmake"],
        files: &["-P"],
        clusters: false,
        ..PLAIN
    },
];
