//! Programs that start a program in a container.

use super::{Operands, PLAIN, Row};

/// `docker exec`.
const EXEC: Row = Row {
    names: &["exec"],
    values: &[
        "-u",
        "--user",
        "-w",
        "--workdir",
        "-e",
        "--env",
        "--env-file",
        "--detach-keys",
        "--index",
    ],
    operands: Operands::Command(1),
    inside: true,
    ..PLAIN
};

/// `docker compose`.
const COMPOSE: Row = Row {
    names: &["compose"],
    values: &[
        "-f",
        "--file",
        "-p",
        "--project-name",
        "--profile",
        "--env-file",
        "--project-directory",
    ],
    commands: &[EXEC],
    ..PLAIN
};

/// Programs that start a program in a container.
pub(super) const CONTAINERS: &[Row] = &[
    Row {
        names: &["docker", "podman", "nerdctl", "crictl"],
        values: &["-H", "--host", "-c", "--context", "--config", "-l", "--log-level"],
        commands: &[
            EXEC,
            Row {
                names: &["container"],
                commands: &[EXEC],
                ..PLAIN
            },
            COMPOSE,
        ],
        ..PLAIN
    },
    Row {
        names: &["docker-compose", "podman-compose"],
        ..COMPOSE
    },
    Row {
        names: &["kubectl", "oc", "k3s", "microk8s"],
        values: &[
            "-n",
            "--namespace",
            "-s",
            "--server",
            "--context",
            "--cluster",
            "--user",
            "--kubeconfig",
            "--as",
            "--token",
        ],
        commands: &[Row {
            names: &["exec"],
            operands: Operands::Behind(&["--"]),
            inside: true,
            ..PLAIN
        }],
        ..PLAIN
    },
    Row {
        names: &["incus", "lxc"],
        commands: &[Row {
            names: &["exec"],
            operands: Operands::Behind(&["--"]),
            ..PLAIN
        }],
        ..PLAIN
    },
];
