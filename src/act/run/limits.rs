//! What a command may use: `limits`.
//!
//! The kernel's own limits (`setrlimit`): each holds for every process of the command by itself, `processes` for all that
//! its user runs.

use serde::Deserialize;
use serde_json::json;

use crate::base::diagnostic::Diagnostics;
use crate::base::units::{HumanDuration, Size};
use crate::base::yaml::Node;

/// With less memory the loader of an ordinary program does not get to its end.
const LEAST_MEMORY: u64 = 16 << 20;
/// With fewer open files a program cannot load its libraries.
const LEAST_FILES: u64 = 16;

/// The limits of a command; what is absent is as the daemon has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ResourceLimits {
    /// Seconds of computing.
    pub(super) cpu: Option<u64>,
    /// Bytes of data of its own: heap and other private, writable memory.
    pub(super) memory: Option<u64>,
    /// Open files.
    pub(super) files: Option<u64>,
    /// Processes and threads of its user.
    pub(super) processes: Option<u64>,
}

/// The keys of `limits`.
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
            ("memory", limits.memory, LEAST_MEMORY, "16MiB"),
            ("files", limits.files, LEAST_FILES, "16"),
            ("processes", limits.processes, 1, "1"),
        ] {
            if let (true, Some(node)) = (value.is_some_and(|value| value < least), node.get(key)) {
                let message = format!("with so little no program starts: `{key}` is {shown} at least");
                diagnostics.push(node.error("limits", message));
            }
        }
        (diagnostics.errors() == before).then_some(limits)
    }

    /// The limits by name.
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

    /// The limits, to be shown.
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
