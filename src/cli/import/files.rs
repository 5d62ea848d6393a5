//! `pass-file-to-command`: a script that writes values into files around the command.
//!
//! Values reach the script by its environment, as all do. The files stand where adnanh/webhook puts
//! them: in the working directory, or else in the folder for temporary files.

use super::yaml::Map;
use crate::base::shell_word::quoted;

/// A file that the command gets, by the variable that holds its path.
pub(super) struct File {
    pub(super) name: String,
    pub(super) content: String,
    pub(super) is_base64: bool,
}

/// The script that runs a command with files, and the variables that it reads.
pub(super) fn script(words: &[String], files: &[File], has_cwd: bool) -> (String, Map) {
    let mut environment = Map::new();
    let mut script = String::new();
    let place = if has_cwd { " -p \"$PWD\"" } else { " -t" };
    for file in files {
        let name = &file.name;
        script.push_str(&format!(
            "{name}=$(mktemp{place} {name}.XXXXXXXX)\nexport {name}\n"
        ));
    }
    let all: Vec<String> = files.iter().map(|file| format!("\"${}\"", file.name)).collect();
    script.push_str(&format!(
        "trap 'rm -f {}' EXIT\ntrap 'exit 143' TERM\n",
        all.join(" ")
    ));
    for (number, file) in (1..).zip(files) {
        let (name, value) = (&file.name, format!("CONTENT_{number}"));
        let decode = if file.is_base64 { " | base64 -d" } else { "" };
        let careless = if file.is_base64 { " || true" } else { "" };
        script.push_str(&format!(
            "printf '%s' \"${value}\"{decode} > \"${name}\"{careless}\n"
        ));
        environment.add_text(value, &file.content);
    }
    let mut command = Vec::new();
    for (number, word) in (0..).zip(words) {
        if number == 0 || !is_template(word) {
            command.push(quoted(word));
        } else {
            let name = format!("ARGUMENT_{number}");
            command.push(format!("\"${name}\""));
            environment.add_text(name, word);
        }
    }
    let names: Vec<&str> = environment
        .entries
        .iter()
        .map(|entry| entry.key.as_str())
        .collect();
    // The command does not get these: `env -u` would not find a program in the folder.
    script.push_str(&format!(
        "set -- {}\nunset {}\n\"$@\"\n",
        command.join(" "),
        names.join(" ")
    ));
    (script, environment)
}

fn is_template(word: &str) -> bool {
    ["{{", "{%", "{#"].iter().any(|opening| word.contains(opening))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_runs_between_its_files() {
        let words = ["./x.sh", "it's", "{{ payload.a }}"].map(str::to_owned);
        let file = File {
            name: "PICTURE".to_owned(),
            content: "{{ payload.b }}".to_owned(),
            is_base64: true,
        };
        let (script, environment) = script(&words, &[file], true);
        assert_eq!(
            script,
            "PICTURE=$(mktemp -p \"$PWD\" PICTURE.XXXXXXXX)\nexport PICTURE\ntrap 'rm -f \"$PICTURE\"' EXIT\ntrap 'exit \
             143' TERM\nprintf '%s' \"$CONTENT_1\" | base64 -d > \"$PICTURE\" || true\nset -- ./x.sh 'it'\\''s' \
             \"$ARGUMENT_2\"\nunset CONTENT_1 ARGUMENT_2\n\"$@\"\n"
        );
        let names: Vec<&str> = environment
            .entries
            .iter()
            .map(|entry| entry.key.as_str())
            .collect();
        assert_eq!(names, ["CONTENT_1", "ARGUMENT_2"]);
    }
}
