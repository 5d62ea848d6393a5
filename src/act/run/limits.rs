//! Resource limits of a command: `limits`.
//!
//! The kernel enforces the limits (`setrlimit`). A limit applies to every process of the command by
//! itself, and `processes` to all processes of its user.

use serde::Deserialize;
use serde_json::json;

use crate::base::diagnostic::Diagnostics;
use crate::base::units::{HumanDuration, Size};
use crate::base::yaml::Node;

/// Minimum memory in bytes. With less, the loader of an ordinary program fails.
const MIN_MEMORY: u64 = 16 << 20;
/// Minimum open files. With fewer, a program cannot load its libraries.
const MIN_FILES: u64 = 16;

/// Limits of a command. An absent one is inherited from the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ResourceLimits {
    /// CPU time in seconds.
    pub(super) cpu: Option<u64>,
    /// Heap and other private, writable memory, in bytes.
    pub(super) memory: Option<u64>,
    pub(super) files: Option<u64>,
    /// Processes and threads of its user.
    pub(super) processes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitFields {
    cpu: Option<HumanDuration>,
    memory: Option<Size>,
    files: Option<u64>,
    processes: Option<u64>,
}

impl ResourceLimits {
    /// Reads `limits`.
    pub(super) fn compile(node: Node<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let before = diagnostics.errors();
        let fields: LimitFields = node
            .read(diagnostics)
            .filter(|_| diagnostics.errors() == before)?;
        let limits = Self {
            // The kernel counts whole seconds.
            cpu: fields
                .cpu
                .map(|HumanDuration(cpu)| cpu.as_secs() + u64::from(cpu.subsec_nanos() > 0)),
            memory: fields.memory.map(|Size(bytes)| bytes),
            files: fields.files,
            processes: fields.processes,
        };
        for (key, value, least, shown) in [
            ("cpu", limits.cpu, 1, "1s"),
            ("memory", limits.memory, MIN_MEMORY, "16MiB"),
            ("files", limits.files, MIN_FILES, "16"),
            ("processes", limits.processes, 1, "1"),
        ] {
            if let (true, Some(node)) = (value.is_some_and(|value| value < least), node.get(key)) {
                let message = format!("with so little no program starts: `{key}` is {shown} at least");
                diagnostics.push(node.error("limits", message));
            }
        }
        (diagnostics.errors() == before).then_some(limits)
    }

    /// Iterates over the limits by name.
    pub(super) fn each(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("cpu", self.cpu),
            ("memory", self.memory),
            ("files", self.files),
            ("processes", self.processes),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }

    /// Describes the limits.
    pub(super) fn describe(&self) -> serde_json::Value {
        self.each()
            .map(|(name, value)| {
                let shown = match name {
                    "cpu" => json!(format!("{value}s")),
                    _ => json!(value),
                };
                (name.to_owned(), shown)
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}
