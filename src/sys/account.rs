//! Users and groups as the rules file names them: by name or number, resolved at load by the C library, as `id` would.

use nix::unistd::{Group, User};

use crate::base::diagnostic::Diagnostics;
use crate::base::yaml::Node;

/// How a user or a group is written.
#[derive(Clone, Copy, Debug)]
pub enum AccountName<'d> {
    /// By name.
    Name(&'d str),
    /// By number, which nobody need have.
    Number(u32),
}

/// A name or a number. The highest number is none: to the kernel it means "as it is", which is whoever the daemon is. What
/// is wrong is a finding `code` at the node, which is `called` so.
pub fn account_name<'d>(
    node: Node<'d>,
    called: &str,
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
        diagnostics.push(node.error(code, format!("{called} is a name or a number, and fixed")));
    }
    number.map(AccountName::Number)
}

/// The number of the user that the node names.
pub fn user_number(
    node: Node<'_>,
    called: &str,
    code: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<u32> {
    let named = |name: &str| Ok(User::from_name(name)?.map(|user| user.uid.as_raw()));
    let account_name = account_name(node, called, code, diagnostics)?;
    number(account_name, "user", named, node, diagnostics, code)
}

/// The number of the group that the node names.
pub fn group_number(
    node: Node<'_>,
    called: &str,
    code: &'static str,
    diagnostics: &mut Diagnostics,
) -> Option<u32> {
    let named = |name: &str| Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()));
    let account_name = account_name(node, called, code, diagnostics)?;
    number(account_name, "group", named, node, diagnostics, code)
}

/// The number of what is written.
fn number(
    account_name: AccountName<'_>,
    what: &str,
    named: impl Fn(&str) -> nix::Result<Option<u32>>,
    node: Node<'_>,
    diagnostics: &mut Diagnostics,
    code: &'static str,
) -> Option<u32> {
    let name = match account_name {
        AccountName::Number(number) => return Some(number),
        AccountName::Name(name) => name,
    };
    let message = match named(name) {
        Ok(Some(number)) => return Some(number),
        Ok(None) => format!("there is no {what} `{name}`"),
        Err(error) => format!("cannot look up the {what} `{name}`: {error}"),
    };
    diagnostics.push(node.error(code, message));
    None
}
