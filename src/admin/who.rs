//! The sender of an admin request, and what it may do.

use std::sync::Arc;

use crate::rules::PageAccess;

/// The sender of an admin request, as logs and the history name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A user of this machine, by id, through the unix socket.
    User(u32),
    /// A session on TCP, by its name, which is no secret.
    Session(Arc<str>),
    /// Anyone else: through the socket of guests, or by TCP without a session.
    Guest,
}

/// Permissions of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub who: Who,
    /// True if the request may read the status, with reasons and file names.
    pub reads: bool,
    /// Access to the page and to the API.
    pub page: PageAccess,
    /// True if the request may have another rules file judged with the daemon's rights.
    pub judges: bool,
}

impl Grant {
    /// True if the request may read the page and the API.
    pub fn has_page(&self) -> bool {
        self.page != PageAccess::None
    }

    /// True if the request may change something.
    pub fn acts(&self) -> bool {
        self.page == PageAccess::Full
    }

    /// Permissions without identification: those of programs that watch the daemon.
    pub fn of_probe() -> Self {
        Self {
            who: Who::Guest,
            reads: false,
            page: PageAccess::None,
            judges: false,
        }
    }

    /// Permissions of a guest.
    pub fn of_guest(page: PageAccess) -> Self {
        Self {
            reads: true,
            page: match page {
                PageAccess::Full | PageAccess::ReadOnly => PageAccess::ReadOnly,
                PageAccess::None => PageAccess::None,
            },
            ..Self::of_probe()
        }
    }

    /// Permissions of a session.
    pub fn of_session(name: Arc<str>, page: PageAccess) -> Self {
        Self {
            who: Who::Session(name),
            page,
            ..Self::of_guest(page)
        }
    }

    /// Permissions of a user who can connect to the socket. `owns`: root or the daemon's own user,
    /// who can write rules and store anyway. `page` then holds only for browsers, so that the
    /// command line always works.
    pub fn of_user(user: u32, owns: bool, by_browser: bool, page: PageAccess) -> Self {
        let by_owner = owns && !by_browser;
        Self {
            who: Who::User(user),
            reads: true,
            page: if by_owner { PageAccess::Full } else { page },
            judges: by_owner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_and_a_page_that_is_read_only_change_nothing() {
        use PageAccess::{Full, None, ReadOnly};
        let name = || Arc::from("session 1");
        // Reads the page, acts, judges other files.
        for (grant, expected) in [
            (Grant::of_user(0, true, false, Full), [true, true, true]),
            (Grant::of_user(0, true, false, ReadOnly), [true, true, true]),
            (Grant::of_user(0, true, false, None), [true, true, true]),
            (Grant::of_user(0, true, true, Full), [true, true, false]),
            (Grant::of_user(0, true, true, ReadOnly), [true, false, false]),
            (Grant::of_user(0, true, true, None), [false, false, false]),
            (Grant::of_user(7, false, false, Full), [true, true, false]),
            (Grant::of_user(7, false, false, ReadOnly), [true, false, false]),
            (Grant::of_user(7, false, true, None), [false, false, false]),
            (Grant::of_session(name(), Full), [true, true, false]),
            (Grant::of_session(name(), ReadOnly), [true, false, false]),
            (Grant::of_session(name(), None), [false, false, false]),
            (Grant::of_guest(Full), [true, false, false]),
            (Grant::of_guest(ReadOnly), [true, false, false]),
            (Grant::of_guest(None), [false, false, false]),
            (Grant::of_probe(), [false, false, false]),
        ] {
            assert_eq!(
                [grant.has_page(), grant.acts(), grant.judges],
                expected,
                "{grant:?}"
            );
        }
    }
}
