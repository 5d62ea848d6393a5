//! Variables whose value may run code: they control an interpreter, the loader or a common program.
//!
//! An event must not set them. `run/compile.rs` and `walk.rs` report a template in such a value.

const NAMES: &[&str] = &[
    "AWKLIBPATH",
    "AWKPATH",
    "BASHOPTS",
    "BROWSER",
    "CDPATH",
    "CLASSPATH",
    "CURL_CA_BUNDLE",
    "CURL_HOME",
    "DOCKER_CONFIG",
    "DOCKER_HOST",
    "EDITOR",
    "ENV",
    "FPATH",
    "GCONV_PATH",
    "GETCONF_DIR",
    "GLOBIGNORE",
    "GOFLAGS",
    "GRADLE_OPTS",
    "HOME",
    "HOSTALIASES",
    "IFS",
    "JAVA_OPTS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "KUBECONFIG",
    "LESS",
    "LESSCLOSE",
    "LESSOPEN",
    "LOCALDOMAIN",
    "LOCPATH",
    "MAKEFILES",
    "MANPAGER",
    "MAVEN_OPTS",
    "MFLAGS",
    "NLSPATH",
    "NODE_EXTRA_CA_CERTS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "PAGER",
    "PATH",
    "PGSERVICEFILE",
    "PGSYSCONFDIR",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PROMPT_COMMAND",
    "PS1",
    "PS2",
    "PS4",
    "PSQLRC",
    "REQUESTS_CA_BUNDLE",
    "RES_OPTIONS",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "RUST_LOG_FILE",
    "R_ENVIRON",
    "R_PROFILE",
    "SHELL",
    "SHELLOPTS",
    "SSLKEYLOGFILE",
    "TCLLIBPATH",
    "TEMP",
    "TERMCAP",
    "TERMINFO",
    "TERMINFO_DIRS",
    "TMP",
    "TMPDIR",
    "TZDIR",
    "VISUAL",
    "ZDOTDIR",
    "_JAVA_OPTIONS",
];

const PREFIXES: &[&str] = &[
    "BASH_",
    "BUNDLE_",
    "COMPOSER_",
    "DYLD_",
    "GEM_",
    "GIT_",
    "GLIBC_",
    "GNUMAKEFLAGS",
    "LD_",
    "LUA_",
    "MAKEFLAGS",
    "MALLOC_",
    "OPENSSL_",
    "PERL",
    "PIP_",
    "PYTHON",
    "RUBY",
    "SSH_",
    "SSL_CERT_",
    "XDG_",
    "npm_config_",
];

/// Names that match a prefix but hold plain text.
const HARMLESS: &[&str] = &[
    "GIT_AUTHOR_DATE",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_COMMITTER_DATE",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_NAME",
];

/// True if a variable of this name controls programs.
pub(in crate::act::run) fn steers(name: &str) -> bool {
    let is_proxy = name.to_ascii_lowercase().ends_with("_proxy");
    let known = NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    is_proxy || known && !HARMLESS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_is_told_from_what_is_data() {
        for name in [
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "PATH",
            "BASH_ENV",
            "ENV",
            "IFS",
            "PS4",
            "SHELLOPTS",
            "PYTHONSTARTUP",
            "PYTHONPATH",
            "PERL5OPT",
            "PERLLIB",
            "RUBYOPT",
            "RUBYLIB",
            "NODE_OPTIONS",
            "GIT_SSH_COMMAND",
            "GIT_DIR",
            "JAVA_TOOL_OPTIONS",
            "http_proxy",
            "HTTPS_PROXY",
            "HOME",
            "MALLOC_CONF",
            "GLIBC_TUNABLES",
        ] {
            assert!(steers(name), "{name}");
        }
        for name in [
            "COMMIT",
            "REF",
            "LABEL",
            "PATH_NAME",
            "MY_HOME",
            "GIT_AUTHOR_NAME",
            "ENVIRONMENT",
            "NODE_NAME",
            "path",
        ] {
            assert!(!steers(name), "{name}");
        }
    }
}
