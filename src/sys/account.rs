//! Users and groups of the rules file: given by name or number, and resolved at load by the C
//! library, as `id` does.

use nix::unistd::{Group, Uid, User};

use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;

/// A user or group as written in the rules file.
#[derive(Clone, Copy, Debug)]
pub enum AccountName<'d> {
    Name(&'d str),
    /// A number, which need not belong to an account.
    Number(u32),
}

/// Reads a name or a number. The highest number is rejected: to the kernel it means "no change", so
/// the daemon's own user would stay. Errors have `code` and call the value `label`.
pub fn account_name<'d>(
    node: Node<'d>,
    label: &str,
    code: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<AccountName<'d>> {
    let number = match node.as_str() {
        Some(name) if name.is_empty() || name.contains(['\0', '{', ':', '/']) => None,
        Some(name) => match name.parse::<u64>() {
            Ok(number) => Some(number),
            Err(_) => return Some(AccountName::Name(name)),
        },
        None => node.value().as_u64(),
    };
    let number = number
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| *number != u32::MAX);
    if number.is_none() {
        diagnostics.push(node.error(code, format!("{label} is a name or a number, and fixed")));
    }
    number.map(AccountName::Number)
}

/// User id of the user that the node names.
pub fn user_number(
    node: Node<'_>,
    label: &str,
    code: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<u32> {
    let lookup = |name: &str| Ok(User::from_name(name)?.map(|user| user.uid.as_raw()));
    let account_name = account_name(node, label, code, diagnostics)?;
    number(account_name, "user", lookup, node, diagnostics, code)
}

/// Group id of the group that the node names.
pub fn group_number(
    node: Node<'_>,
    label: &str,
    code: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<u32> {
    let lookup = |name: &str| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()));
    let account_name = account_name(node, label, code, diagnostics)?;
    number(account_name, "group", lookup, node, diagnostics, code)
}

/// The name of a user, else the number. Reads the accounts, so it must not run on an async worker.
pub fn user_name(id: u32) -> String {
    let user = User::from_uid(Uid::from_raw(id)).ok().flatten();
    user.map_or_else(|| id.to_string(), |user| user.name)
}

/// The name of the user who runs this process, else the number.
pub fn own_name() -> String {
    user_name(rustix::process::getuid().as_raw())
}

/// Resolves a name with `lookup`.
fn number(
    account_name: AccountName<'_>,
    what: &str,
    lookup: impl Fn(&str) -> nix::Result<Option<u32>>,
    node: Node<'_>,
    diagnostics: &mut Diagnostics,
    code: &'static str,
) -> Option<u32> {
    let name = match account_name {
        AccountName::Number(number) => return Some(number),
        AccountName::Name(name) => name,
    };
    let message = match lookup(name) {
        Ok(Some(number)) => return Some(number),
        Ok(None) => format!("there is no {what} `{name}`"),
        Err(error) => format!("cannot look up the {what} `{name}`: {error}"),
    };
    diagnostics.push(node.error(code, message));
    None
}
