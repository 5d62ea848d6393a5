//! Who a command runs as: `user` and `group`.
//!
//! Both are resolved to numbers when the rules are loaded, by the C library, as `id` would: what is privileged later
//! looks up nothing. Whether the daemon may become another is found out then, too.

use std::ffi::{CString, OsString};

use nix::unistd::{Gid, Uid, User, getgrouplist};
use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use crate::account::{Written, group_number, written};
use crate::diagnostic::Findings;
use crate::yaml::Node;

/// Whose rights a command has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// All groups, that one included.
    pub(super) groups: Vec<u32>,
}

/// What `user` and `group` come to.
#[derive(Debug, Default)]
pub(super) struct Who {
    /// Absent where they name the daemon's own user and group.
    pub(super) identity: Option<Identity>,
    /// What the account says: `HOME`, `USER`, `LOGNAME`.
    pub(super) variables: Vec<(&'static str, OsString)>,
}

/// A user as it was found.
struct Account {
    uid: u32,
    /// Unknown for a number without an account.
    gid: Option<u32>,
    name: Option<String>,
    variables: Vec<(&'static str, OsString)>,
}

impl Who {
    /// Reads `user` and `group`.
    pub(super) fn compile(
        user: Option<Node<'_>>,
        group: Option<Node<'_>>,
        findings: &mut Findings,
    ) -> Option<Self> {
        let Some(place) = user.or(group) else {
            return Some(Self::default());
        };
        let account = match user {
            Some(node) => account(node, findings),
            None => Some(Account::own()),
        };
        let group = match group {
            Some(node) => Some(group_number(node, "`group`", "user", findings)?),
            None => None,
        };
        let account = account?;
        let Some(gid) = group.or(account.gid) else {
            let message = format!("there is no account for the user {}", account.uid);
            findings.push(place.error("user", message).hint("say its `group`, too"));
            return None;
        };
        let groups = match account.groups(gid) {
            Ok(groups) => groups,
            Err(why) => {
                findings.push(place.error("user", why));
                return None;
            }
        };
        let own = (geteuid().as_raw(), getegid().as_raw());
        let identity = ((account.uid, gid) != own).then_some(Identity {
            uid: account.uid,
            gid,
            groups,
        });
        if identity.is_some() && !may_change() {
            let key = if user.is_some() { "user" } else { "group" };
            let message = format!(
                "`{key}` needs hookyard to run as root, or with CAP_SETUID, CAP_SETGID and CAP_KILL; it runs as user {}",
                own.0
            );
            let finding = place.error("user", message);
            findings.push(finding.hint("`check` it as the user that serves it"));
            return None;
        }
        Some(Self {
            identity,
            variables: account.variables,
        })
    }
}

impl Account {
    /// The daemon's own.
    fn own() -> Self {
        Self {
            uid: geteuid().as_raw(),
            gid: Some(getegid().as_raw()),
            name: None,
            variables: Vec::new(),
        }
    }

    /// The groups of this user, `gid` among them.
    fn groups(&self, gid: u32) -> Result<Vec<u32>, String> {
        let Some(name) = &self.name else {
            return Ok(vec![gid]);
        };
        let unknown =
            |error: &dyn std::fmt::Display| format!("cannot look up the groups of `{name}`: {error}");
        let name = CString::new(name.as_str()).map_err(|error| unknown(&error))?;
        let groups = getgrouplist(&name, Gid::from_raw(gid)).map_err(|error| unknown(&error))?;
        let mut groups: Vec<u32> = groups.into_iter().map(Gid::as_raw).collect();
        groups.push(gid);
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            uid: user.uid.as_raw(),
            gid: Some(user.gid.as_raw()),
            variables: vec![
                ("HOME", user.dir.into()),
                ("USER", user.name.clone().into()),
                ("LOGNAME", user.name.clone().into()),
            ],
            name: Some(user.name),
        }
    }
}

/// The account that `user` names.
fn account(node: Node<'_>, findings: &mut Findings) -> Option<Account> {
    let written = written(node, "`user`", "user", findings)?;
    let found = match written {
        Written::Name(name) => User::from_name(name),
        Written::Number(uid) => User::from_uid(Uid::from_raw(uid)),
    };
    match (found, written) {
        (Ok(Some(user)), _) => Some(user.into()),
        (Ok(None), Written::Number(uid)) => Some(Account {
            uid,
            gid: None,
            name: None,
            variables: vec![("HOME", "/".into())],
        }),
        (Ok(None), Written::Name(name)) => {
            findings.push(node.error("user", format!("there is no user `{name}`")));
            None
        }
        (Err(error), _) => {
            findings.push(node.error("user", format!("cannot look up the user: {error}")));
            None
        }
    }
}

/// Whether commands may be started as another user, and ended.
fn may_change() -> bool {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::KILL;
    capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}
