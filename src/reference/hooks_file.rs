//! The hooks file of adnanh/webhook: its words, and what `hookyard import` makes of each.
//!
//! `cli/import` reads a hooks file by these enums, and the guide *migrate from adnanh/webhook* prints
//! them as tables. So a word that is not translated cannot be left out of the guide.

use crate::reference::markdown::table;

/// Declares an enum of words: the variants with their names and their counterparts.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($variant:ident: $word:literal => $counterpart:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($variant,)* }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in a hooks file.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// Counterpart in the rules file, in Markdown.
            fn counterpart(self) -> &'static str {
                match self { $(Self::$variant => $counterpart,)* }
            }

            /// Finds a name as Go does: exact, or else in any case.
            pub fn named(name: &str) -> Option<Self> {
                let all = || Self::ALL.iter().copied();
                let exact = all().find(|word| word.name() == name);
                exact.or_else(|| all().find(|word| word.name().eq_ignore_ascii_case(name)))
            }
        }
    };
}

words! {
    /// A property of a hook.
    Property {
        Id: "id" => "`name` of the rule, and its path: `endpoint: /hooks/ID`; `--urlprefix` sets another prefix",
        ExecuteCommand: "execute-command" => "the first word of `run`",
        CommandWorkingDirectory: "command-working-directory" => "`cwd` of the action; a program without a slash is then `./NAME`, as before",
        ResponseMessage: "response-message" => "`respond: {body: …}`; without it the answer is empty, as before",
        ResponseHeaders: "response-headers" => "`respond: {headers: {NAME: VALUE}}`",
        SuccessCode: "success-http-response-code" => "`respond: {status: …}`",
        PayloadContentType: "incoming-payload-content-type" => "`decode: json`, `form`, `multipart`, `xml` or `text` of the endpoint",
        HttpMethods: "http-methods" => "`methods` of the endpoint; without it `POST`, and `GET` too if nothing is read from the body",
        IncludeOutput: "include-command-output-in-response" => "`respond: {wait: 10m, body: \"{{ actions[0].stdout }}{{ actions[0].stderr }}\"}`",
        IncludeOutputOnError: "include-command-output-in-response-on-error" => "the same `body` in `respond: {failed: …}`",
        StreamOutput: "stream-command-output" => "as `include-command-output-in-response`: the answer comes when the command has ended (soulteary/webhook)",
        ParseAsJson: "parse-parameters-as-json" => "`unpack: {$.NAME: json}` of the endpoint: [a field that holds JSON](#a-field-that-holds-json)",
        PassArguments: "pass-arguments-to-command" => "the further words of `run`, as [templates](../reference/templates.md)",
        PassEnvironment: "pass-environment-to-command" => "`env` of the action: `envname`, or `HOOK_` and the name",
        PassFile: "pass-file-to-command" => "a `shell` that writes the file, runs the command and removes the file: [a file for the command](#a-file-for-the-command)",
        TriggerRule: "trigger-rule" => "`verify` for signatures and tokens, `allow` for addresses, `match` for the rest",
        MismatchCode: "trigger-rule-mismatch-http-response-code" => "`respond: {ignored: {status: …}}`",
        SoftFailures: "trigger-signature-soft-failures" => "not needed: each scheme of `verify: {any: …}` is tried",
        KeepFileEnvironment: "keep-file-environment" => "not needed: the variable is set whenever the command runs",
    }
}

words! {
    /// A source of a value.
    Source {
        Payload: "payload" => "`{{ payload.a }}`, `{{ jsonpath('$.a[0].b') }}`, `$.a[0].b` in `match`",
        Header: "header" => "`{{ headers.x_kind }}`, `header.X-Kind` in `match`",
        Url: "url" => "`{{ query.q }}`, `query.q` in `match`",
        Query: "query" => "the same",
        Request: "request" => "`{{ method }}` and `{{ client.ip }}`, `method` and `client.ip` in `match`; the address has no port",
        Text: "string" => "the text itself",
        EntirePayload: "entire-payload" => "`{{ payload | tojson }}`",
        EntireHeaders: "entire-headers" => "`{{ headers | tojson }}`, with names in lower case, without credentials",
        EntireQuery: "entire-query" => "`{{ query | tojson }}`",
        RawBody: "raw-request-body" => "`{{ body }}`, `body` in `match`",
        Template: "template" => "not translated, only reported at its place: write the [template](../reference/templates.md) again, in the language of Jinja (forks)",
    }
}

words! {
    /// A rule in `trigger-rule`.
    Combination {
        And: "and" => "several entries of `match`, or `all: […]`",
        Or: "or" => "`any: […]`; alternatives for one value are a list: `$.ref: [a, b]`",
        Not: "not" => "`not: {…}`; where a missing value counted, `{exists: false}` beside it",
        Match: "match" => "a condition of one of the types",
    }
}

words! {
    /// The type of a `match`.
    MatchType {
        Value: "value" => "`$.ref: refs/heads/main`; of a number, `$.size: [\"3\", 3]`; of a secret, `verify: {token: …}`",
        Regex: "regex" => "`contains`, `prefix`, `suffix`, or `matches: \"(?s).*(…).*\"`, because `matches` compares the whole value",
        HmacSha1: "payload-hmac-sha1" => "`verify: {github_sha1: …}` or `hmac` with `algorithm: sha1`",
        HmacSha256: "payload-hmac-sha256" => "`verify` with the sender's scheme (`github`, `gitea` …), or `hmac`",
        HmacSha512: "payload-hmac-sha512" => "`verify: {hmac: …}` with `algorithm: sha512`",
        HashSha1: "payload-hash-sha1" => "as `payload-hmac-sha1`",
        HashSha256: "payload-hash-sha256" => "as `payload-hmac-sha256`",
        HashSha512: "payload-hash-sha512" => "as `payload-hmac-sha512`",
        IpWhitelist: "ip-whitelist" => "`allow` of the rule; inside an `or`, `client.ip: {in_cidr: […]}`",
        Scalr: "scalr-signature" => "`hmac` over body and date, whose age is not checked: [Scalr](#scalr)",
    }
}

impl MatchType {
    /// The algorithm of a signature, as `hmac` names it.
    pub fn algorithm(self) -> Option<&'static str> {
        match self {
            Self::HmacSha1 | Self::HashSha1 => Some("sha1"),
            Self::HmacSha256 | Self::HashSha256 => Some("sha256"),
            Self::HmacSha512 | Self::HashSha512 => Some("sha512"),
            Self::Value | Self::Regex | Self::IpWhitelist | Self::Scalr => None,
        }
    }
}

/// Returns the generated parts of the guide.
pub fn parts() -> Vec<(&'static str, String)> {
    fn rows(words: impl Iterator<Item = (&'static str, &'static str)>) -> Vec<[String; 2]> {
        let row = |(name, counterpart): (&str, &str)| [format!("`{name}`"), counterpart.to_owned()];
        words.map(row).collect()
    }
    let heads = |first| [first, "in hookyard"];
    let pairs = |word: &Property| (word.name(), word.counterpart());
    let properties = rows(Property::ALL.iter().map(pairs));
    let sources = rows(Source::ALL.iter().map(|word| (word.name(), word.counterpart())));
    let combinations = Combination::ALL
        .iter()
        .filter(|word| **word != Combination::Match);
    let mut rules = rows(combinations.map(|word| (word.name(), word.counterpart())));
    rules.extend(rows(
        MatchType::ALL
            .iter()
            .map(|word| (word.name(), word.counterpart())),
    ));
    vec![
        ("properties", table(heads("property"), properties)),
        ("sources", table(heads("source"), sources)),
        ("trigger-rules", table(heads("trigger rule"), rules)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_go_finds_them() {
        assert_eq!(Property::named("execute-command"), Some(Property::ExecuteCommand));
        assert_eq!(Property::named("Execute-Command"), Some(Property::ExecuteCommand));
        assert_eq!(Property::named("execute_command"), None);
    }
}
