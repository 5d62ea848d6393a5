//! User and group of a command: `user` and `group`.
//!
//! The C library resolves both to numbers at load, as `id` does, so that no privileged process
//! looks up names later. The daemon's right to change user is checked then, too. If an account does
//! not exist, every attempt looks it up again.

use std::ffi::{CString, OsString};

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;
use crate::sys::account::{AccountName, account_name};

/// User and groups whose rights a command has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups and `gid`.
    pub(super) groups: Vec<u32>,
}

/// Result of looking up `user` and `group`.
#[derive(Clone, Debug, Default)]
pub(super) struct ResolvedAccount {
    /// User and groups to change to. Absent if they are the daemon's own.
    pub(super) identity: Option<Identity>,
    /// Variables from the account: `HOME`, `USER`, `LOGNAME`.
    pub(super) variables: Vec<(&'static str, OsString)>,
}

/// User account of this machine.
struct Account {
    uid: u32,
    /// Main group. Unknown for a number without an account.
    gid: Option<u32>,
    name: Option<String>,
    variables: Vec<(&'static str, OsString)>,
}

/// User and group as the rules file names them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RequestedAccount {
    user: Option<UserOrGroup>,
    group: Option<UserOrGroup>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum UserOrGroup {
    Name(String),
    Number(u32),
}

impl From<AccountName<'_>> for UserOrGroup {
    fn from(account_name: AccountName<'_>) -> Self {
        match account_name {
            AccountName::Name(name) => Self::Name(name.to_owned()),
            AccountName::Number(number) => Self::Number(number),
        }
    }
}

impl RequestedAccount {
    /// Reads `user` and `group`.
    pub(super) fn compile(
        user: Option<Node<'_>>,
        group: Option<Node<'_>>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let mut read = |node: Option<Node<'_>>, label| match node {
            Some(node) => {
                account_name(node, label, "user", diagnostics).map(|account_name| Some(account_name.into()))
            }
            None => Some(None),
        };
        let (user, group) = (read(user, "`user`"), read(group, "`group`"));
        Some(Self {
            user: user?,
            group: group?,
        })
    }

    /// Looks both up on this machine. The error is a message and a hint.
    pub(super) fn look_up(&self) -> Result<ResolvedAccount, (String, String)> {
        if *self == Self::default() {
            return Ok(ResolvedAccount::default());
        }
        let plain = |message: String| (message, "see /etc/passwd and /etc/group, or `getent`".to_owned());
        let account = match &self.user {
            Some(user) => account(user).map_err(plain)?,
            None => Account::own(),
        };
        let group = self.group.as_ref().map(group_number).transpose().map_err(plain)?;
        let Some(gid) = group.or(account.gid) else {
            let message = format!("there is no account for the user {}", account.uid);
            return Err((message, "say its `group`, too".to_owned()));
        };
        let groups = account.groups(gid).map_err(plain)?;
        let own = (geteuid().as_raw(), getegid().as_raw());
        let identity = ((account.uid, gid) != own).then_some(Identity {
            uid: account.uid,
            gid,
            groups,
        });
        if identity.is_some() && !can_change_user() {
            let key = if self.user.is_some() { "user" } else { "group" };
            let message = format!(
                "`{key}` needs hookyard to run as root, or with CAP_SETUID, CAP_SETGID and CAP_KILL; it runs as user {}",
                own.0
            );
            return Err((message, "`check` it as the user that serves it".to_owned()));
        }
        Ok(ResolvedAccount {
            identity,
            variables: account.variables,
        })
    }
}

impl Account {
    /// Returns the daemon's own account.
    fn own() -> Self {
        Self {
            uid: geteuid().as_raw(),
            gid: Some(getegid().as_raw()),
            name: None,
            variables: Vec::new(),
        }
    }

    /// Returns the groups of this user, `gid` included.
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

/// Returns the home of the daemon's own user, if it has an account.
pub(super) fn home() -> Option<OsString> {
    let user = User::from_uid(geteuid().as_raw().into()).ok().flatten();
    user.map(|user| user.dir.into())
}

/// Looks up the account that `user` names.
fn account(user: &UserOrGroup) -> Result<Account, String> {
    let found = match user {
        UserOrGroup::Name(name) => User::from_name(name),
        UserOrGroup::Number(uid) => User::from_uid(Uid::from_raw(*uid)),
    };
    match (found, user) {
        (Ok(Some(user)), _) => Ok(user.into()),
        (Ok(None), UserOrGroup::Number(uid)) => Ok(Account {
            uid: *uid,
            gid: None,
            name: None,
            variables: vec![("HOME", "/".into())],
        }),
        (Ok(None), UserOrGroup::Name(name)) => Err(format!("there is no user `{name}`")),
        (Err(error), _) => Err(format!("cannot look up the user: {error}")),
    }
}

/// Looks up the number of a group.
fn group_number(group: &UserOrGroup) -> Result<u32, String> {
    match group {
        UserOrGroup::Number(number) => Ok(*number),
        UserOrGroup::Name(name) => match Group::from_name(name) {
            Ok(Some(group)) => Ok(group.gid.as_raw()),
            Ok(None) => Err(format!("there is no group `{name}`")),
            Err(error) => Err(format!("cannot look up the group `{name}`: {error}")),
        },
    }
}

/// True if the daemon may start commands as another user, and end them.
fn can_change_user() -> bool {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::KILL;
    capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}
