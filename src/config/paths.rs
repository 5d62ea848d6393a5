//! Paths of the rules, the store and the admin socket, decided here for the daemon and for every
//! command.
//!
//! The store: `store.path` of the rules file, else `$STATE_DIRECTORY`, else `/var/lib/hookyard` if
//! the rules are in `/etc/hookyard`, else beside the rules file. A store on a server has the files of
//! this machine where its file would be. The socket is found the same way.
//! Neither depends on the caller's directory.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::declared_paths::{AdminSocket, DeclaredStore, declared_paths, declared_server};
use super::environment::variable;
use super::source::folder_of;
use crate::base::diagnostic::Diagnostics;
use crate::rules::{Admin, StoreSettings};
use crate::store::Place;

/// Folder of the package's rules, below the root.
const RULES: &str = "etc/hookyard";
/// Folder of the package's store, below the root.
const STATE: &str = "var/lib/hookyard";
/// Folder of the package's socket, below the root. It exists while the service runs.
const RUNTIME: &str = "run/hookyard";
/// Default name of the rules file.
const RULES_FILE: &str = "rules.yaml";
const STORE_FILE: &str = "hookyard.db";
/// Name of the socket in a runtime folder.
const SOCKET_FILE: &str = "admin.sock";

/// Inputs of the decision besides the rules file.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Root of the file system. Tests use their own.
    pub root: PathBuf,
    /// First folder of `$STATE_DIRECTORY`.
    pub state: Option<PathBuf>,
    /// First folder of `$RUNTIME_DIRECTORY`.
    pub runtime: Option<PathBuf>,
}

impl Layout {
    /// Returns the layout of this process.
    pub fn of_process() -> Self {
        // systemd may pass several directories, separated by colons. A relative one would depend on
        // the caller's directory, so it is ignored.
        let first = |name| {
            let folders = variable(name)?;
            let folder = PathBuf::from(folders.split(':').next()?);
            folder.is_absolute().then_some(folder)
        };
        Self {
            root: PathBuf::from("/"),
            state: first("STATE_DIRECTORY"),
            runtime: first("RUNTIME_DIRECTORY"),
        }
    }

    /// Path of the rules file: the named one, else `rules.yaml` in the caller's directory, else
    /// that of the package.
    pub fn rules(&self, named: Option<&Path>) -> PathBuf {
        if let Some(named) = named {
            return named.to_owned();
        }
        let package = self.root.join(RULES);
        // A dangling link is a mistake to report, not a reason to take another file.
        if Path::new(RULES_FILE).symlink_metadata().is_ok() || !package.is_dir() {
            return PathBuf::from(RULES_FILE);
        }
        package.join(RULES_FILE)
    }

    /// Path of the store for the rules file `rules`, whose `store.path` is `declared`.
    pub fn store(&self, rules: &Path, declared: Option<&Path>) -> PathBuf {
        match declared {
            Some(declared) => folder_of(rules).join(declared),
            None => self.usual_folder(rules).join(STORE_FILE),
        }
    }

    /// Path of the store for the rules file `rules` with this `store`. `None` for a server.
    pub fn store_file(&self, rules: &Path, declared: &DeclaredStore) -> Option<PathBuf> {
        match declared {
            DeclaredStore::NotSaid => Some(self.store(rules, None)),
            DeclaredStore::At(path) => Some(self.store(rules, Some(path))),
            DeclaredStore::Server => None,
        }
    }

    /// Folder of a store whose path is not declared.
    fn usual_folder(&self, rules: &Path) -> PathBuf {
        match &self.state {
            Some(state) => state.clone(),
            None if self.is_packaged(rules) => self.root.join(STATE),
            None => folder_of(rules),
        }
    }

    /// Folder for files of this machine: that of the store. Without a file, where it would be.
    pub fn state_folder(&self, rules: &Path, store: Option<&Path>) -> PathBuf {
        match store {
            Some(store) => store.parent().unwrap_or(Path::new("")).to_owned(),
            None => self.usual_folder(rules),
        }
    }

    /// Path of the socket of the daemon that serves `rules` on the file `store` or on a server, if it
    /// has one.
    pub fn socket(&self, rules: &Path, declared: &AdminSocket, store: Option<&Path>) -> Option<PathBuf> {
        match declared {
            AdminSocket::None => None,
            AdminSocket::At(socket) => Some(folder_of(rules).join(socket)),
            AdminSocket::NotSaid => Some(match &self.runtime {
                Some(runtime) => runtime.join(SOCKET_FILE),
                None if self.is_packaged(rules) => {
                    self.service_socket().unwrap_or_else(|| self.beside(rules, store))
                }
                None => self.beside(rules, store),
            }),
        }
    }

    /// Path of the socket beside the store. A store without a file has it in the state folder, named
    /// after the rules file, of which several may use that folder.
    fn beside(&self, rules: &Path, store: Option<&Path>) -> PathBuf {
        if let Some(store) = store {
            return beside(store);
        }
        let name = rules.file_name().unwrap_or(RULES_FILE.as_ref());
        beside(&self.usual_folder(rules).join(name))
    }

    /// Path of the socket of the daemon on the file `store`, if its rules are unknown.
    pub fn socket_of_store(&self, store: &Path) -> PathBuf {
        let packaged = is_in(store, &self.root.join(STATE));
        let service = packaged.then(|| self.service_socket()).flatten();
        service.unwrap_or_else(|| beside(store))
    }

    /// Path of the service's socket, while its folder exists.
    fn service_socket(&self) -> Option<PathBuf> {
        let folder = self.root.join(RUNTIME);
        folder.is_dir().then(|| folder.join(SOCKET_FILE))
    }

    /// True if the rules file is in the folder of the package, or below it.
    pub fn is_packaged(&self, rules: &Path) -> bool {
        is_in(rules, &self.root.join(RULES))
    }
}

/// Place of the store for the rules file `rules`, whose settings are loaded.
pub fn store_place(rules: &Path, settings: &StoreSettings) -> Place {
    match &settings.server {
        Some(server) => Place::Postgres(Arc::clone(&server.target)),
        None => Place::File(Layout::of_process().store(rules, settings.path.as_deref())),
    }
}

/// Place of the store for the rules file at `path`. The URL of a server may be in `environment`. The
/// error holds all diagnostics.
pub fn store_of(
    path: &Path,
    environment: impl FnOnce() -> Vec<(OsString, OsString)>,
) -> Result<Place, Diagnostics> {
    let declared = declared_paths(path)?;
    let layout = Layout::of_process();
    if declared.store == DeclaredStore::Server
        && let Some(target) = declared_server(path, environment())?
    {
        return Ok(Place::Postgres(target));
    }
    let file = layout.store_file(path, &declared.store);
    Ok(Place::File(file.unwrap_or_else(|| layout.store(path, None))))
}

/// Path of the admin socket of the daemon that serves `rules` on `store`. `None` if it has none.
pub fn socket_path(rules: &Path, admin: &Admin, store: &Place) -> Option<PathBuf> {
    let declared = match &admin.socket {
        None => AdminSocket::NotSaid,
        Some(None) => AdminSocket::None,
        Some(Some(socket)) => AdminSocket::At(socket.clone()),
    };
    Layout::of_process().socket(rules, &declared, store.file())
}

/// Folder for files of this machine: that of the store. Without a file, where it would be.
pub fn state_folder(rules: &Path, store: &Place) -> PathBuf {
    Layout::of_process().state_folder(rules, store.file())
}

/// Path of the socket beside a file.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sock");
    PathBuf::from(name)
}

/// True if a file is in a folder or below it, either by the names as given or with links resolved.
fn is_in(file: &Path, folder: &Path) -> bool {
    let parent = folder_of(file);
    let plain = parent.components().all(|part| part != Component::ParentDir);
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    (plain && parent.starts_with(folder))
        || real(&parent).is_some_and(|parent| real(folder).is_some_and(|folder| parent.starts_with(folder)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a root folder that contains `folders`.
    fn layout(folders: &[&str]) -> (tempfile::TempDir, Layout) {
        let root = tempfile::tempdir().unwrap();
        for folder in folders {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let layout = Layout {
            root: root.path().to_owned(),
            state: None,
            runtime: None,
        };
        (root, layout)
    }

    #[test]
    fn a_store_is_found_by_the_rules_and_never_by_the_callers_directory() {
        let (root, layout) = layout(&["etc/hookyard/more", "run/hookyard", "srv/app"]);
        let at = |path: &str| root.path().join(path);
        let state = Some(PathBuf::from("/state"));
        let here = std::env::current_dir().unwrap();
        // Rules, `store.path`, `$STATE_DIRECTORY`; the store.
        for (rules, declared, state, store) in [
            (
                at("etc/hookyard/rules.yaml"),
                None,
                None,
                at("var/lib/hookyard/hookyard.db"),
            ),
            (
                at("etc/hookyard/more/x.yaml"),
                None,
                None,
                at("var/lib/hookyard/hookyard.db"),
            ),
            (
                at("etc/hookyard/rules.yaml"),
                None,
                state.clone(),
                "/state/hookyard.db".into(),
            ),
            (
                at("etc/hookyard/rules.yaml"),
                Some("/srv/q.db"),
                state.clone(),
                "/srv/q.db".into(),
            ),
            (
                at("etc/hookyard/rules.yaml"),
                Some("q.db"),
                state.clone(),
                at("etc/hookyard/q.db"),
            ),
            (at("srv/app/rules.yaml"), None, None, at("srv/app/hookyard.db")),
            (
                at("srv/app/rules.yaml"),
                None,
                state.clone(),
                "/state/hookyard.db".into(),
            ),
            (at("srv/app/rules.yaml"), Some("q.db"), state, at("srv/app/q.db")),
            // Beside the package's folder, by whatever path.
            (
                at("etc/hookyard/../x.yaml"),
                None,
                None,
                at("etc/hookyard/../hookyard.db"),
            ),
            (
                at("etc/hookyard-2/x.yaml"),
                None,
                None,
                at("etc/hookyard-2/hookyard.db"),
            ),
            // A relative path is relative to the caller's directory.
            ("rules.yaml".into(), None, None, here.join("hookyard.db")),
        ] {
            let layout = Layout {
                state,
                ..layout.clone()
            };
            assert_eq!(
                layout.store(&rules, declared.map(Path::new)),
                store,
                "{rules:?} {declared:?}"
            );
        }
    }

    #[test]
    fn a_socket_is_found_by_the_rules_and_never_by_the_callers_directory() {
        let (root, layout) = layout(&["etc/hookyard", "run/hookyard", "srv/app"]);
        let at = |path: &str| root.path().join(path);
        let run = Some(PathBuf::from("/run/x"));
        // Rules, `admin.socket`, `$RUNTIME_DIRECTORY`; the socket.
        let store = Path::new("/srv/q.db");
        let given = |path: &str| AdminSocket::At(path.into());
        for (rules, declared, runtime, socket) in [
            (
                at("etc/hookyard/rules.yaml"),
                AdminSocket::NotSaid,
                None,
                Some(at("run/hookyard/admin.sock")),
            ),
            (
                at("etc/hookyard/rules.yaml"),
                AdminSocket::NotSaid,
                run.clone(),
                Some("/run/x/admin.sock".into()),
            ),
            (
                at("etc/hookyard/rules.yaml"),
                given("a.sock"),
                run.clone(),
                Some(at("etc/hookyard/a.sock")),
            ),
            (
                at("etc/hookyard/rules.yaml"),
                AdminSocket::None,
                run.clone(),
                None,
            ),
            (
                at("srv/app/rules.yaml"),
                AdminSocket::NotSaid,
                None,
                Some("/srv/q.db.sock".into()),
            ),
            (
                at("srv/app/rules.yaml"),
                AdminSocket::NotSaid,
                run,
                Some("/run/x/admin.sock".into()),
            ),
            (
                at("srv/app/rules.yaml"),
                given("/a.sock"),
                None,
                Some("/a.sock".into()),
            ),
        ] {
            let layout = Layout {
                runtime,
                ..layout.clone()
            };
            assert_eq!(
                layout.socket(&rules, &declared, Some(store)),
                socket,
                "{rules:?} {declared:?}"
            );
        }
        // A store on a server has no file, beside which the socket would be.
        for (rules, state, socket) in [
            (at("etc/hookyard/rules.yaml"), None, at("run/hookyard/admin.sock")),
            (at("srv/app/a.yaml"), None, at("srv/app/a.yaml.sock")),
            (at("srv/app/a.yaml"), Some("/state"), "/state/a.yaml.sock".into()),
        ] {
            let state = state.map(PathBuf::from);
            let layout = Layout {
                state,
                ..layout.clone()
            };
            let found = layout.socket(&rules, &AdminSocket::NotSaid, None);
            assert_eq!(found, Some(socket), "{rules:?}");
        }
        assert_eq!(layout.socket_of_store(store), Path::new("/srv/q.db.sock"));
        let packaged = at("var/lib/hookyard/hookyard.db");
        assert_eq!(layout.socket_of_store(&packaged), at("run/hookyard/admin.sock"));
    }

    #[test]
    fn a_folder_of_the_package_that_is_a_link_is_that_folder() {
        let (root, layout) = layout(&["srv/conf", "etc"]);
        std::os::unix::fs::symlink(root.path().join("srv/conf"), root.path().join("etc/hookyard")).unwrap();
        let expected = root.path().join("var/lib/hookyard/hookyard.db");
        for rules in ["etc/hookyard/rules.yaml", "srv/conf/rules.yaml"] {
            assert_eq!(layout.store(&root.path().join(rules), None), expected, "{rules}");
        }
        // The service is stopped, so its runtime folder does not exist.
        let socket = layout.socket(
            &root.path().join("etc/hookyard/rules.yaml"),
            &AdminSocket::NotSaid,
            Some(&expected),
        );
        assert_eq!(socket, Some(beside(&expected)));
    }

    #[test]
    fn the_rules_of_the_package_are_the_default() {
        let (root, layout) = layout(&["etc/hookyard"]);
        // The tests run in the package's folder, which has no `rules.yaml`.
        assert_eq!(layout.rules(None), root.path().join("etc/hookyard/rules.yaml"));
        assert_eq!(layout.rules(Some(Path::new("x.yaml"))), Path::new("x.yaml"));
        std::fs::remove_dir(root.path().join("etc/hookyard")).unwrap();
        assert_eq!(layout.rules(None), Path::new("rules.yaml"));
    }

    #[test]
    fn a_copy_of_the_example_uses_the_folders_of_the_package() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules.example.yaml");
        let (root, layout) = layout(&["etc/hookyard", "run/hookyard"]);
        let rules = root.path().join("etc/hookyard/rules.yaml");
        std::fs::copy(example, &rules).unwrap();
        let declared = declared_paths(&rules).unwrap();
        let store = layout.store_file(&rules, &declared.store).unwrap();
        assert_eq!(store, root.path().join("var/lib/hookyard/hookyard.db"));
        assert_eq!(
            layout.socket(&rules, &declared.socket, Some(&store)),
            Some(root.path().join("run/hookyard/admin.sock"))
        );
    }
}
