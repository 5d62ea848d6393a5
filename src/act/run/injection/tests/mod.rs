use super::*;

mod tools;

/// Returns the positions of the faulty words of a command.
fn errors(command: &[&str]) -> Vec<usize> {
    read_with(command, false)
        .errors
        .iter()
        .map(|error| error.at)
        .collect()
}

fn read_with(command: &[&str], input: bool) -> Reading {
    let words: Vec<Word<'_>> = command
        .iter()
        .enumerate()
        .map(|(at, text)| Word::new(text, at))
        .collect();
    read(&words, None, input)
}

/// Splits a command into words, of which `X` is a template.
fn words(command: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for (at, part) in command.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    for word in &mut words {
        *word = word.replace('X', "{{ payload.x }}");
    }
    words
}

fn check(commands: &[&str], faulty: bool) {
    for command in commands {
        let words = words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(
            !errors(&words).is_empty(),
            faulty,
            "{command}: {:?}",
            errors(&words)
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table")]
fn a_template_in_code_is_found_whatever_starts_the_interpreter() {
    check(
        &[
            "sh -c 'echo X'",
            "sh -c X",
            "bash -lc 'echo X'",
            "bash -ec 'echo X'",
            "bash -c -e 'echo X'",
            "bash -euo pipefail -c 'echo X'",
            "bash --login -c 'echo X'",
            "bash --rcfile X -i",
            "bash -O extglob -c 'echo X'",
            "sh +e -c 'echo X'",
            "sh -c -- 'echo X'",
            "sh -cX",
            "zsh -fc 'echo X'",
            "fish '--command=echo X'",
            "/bin/dash -c 'echo X'",
            "/usr/local/bin/bash5.2 -c 'echo X'",
            "sh 'scripts/X.sh'",
            "bash X",
            "bash X -c true",
            "python3 -c 'print(\"X\")'",
            "python3.11 -Ic 'print(\"X\")'",
            "python3 -W ignore -c 'X'",
            "python3 -m X",
            "python3 X",
            "perl -e 'print \"X\"'",
            "perl -lane 'print \"X\"'",
            "perl -Mstrict -E 'say \"X\"'",
            "perl -MX script.pl",
            "ruby -e 'puts \"X\"'",
            "ruby -rX a.rb",
            "node -e 'X'",
            "node -p 'X'",
            "node --eval 'X'",
            "node --eval=X",
            "node -pe X",
            "make --eval=X",
            "nodejs --require X app.js",
            "php -r 'echo X;'",
            "lua -e 'print(\"X\")'",
            "lua5.4 -e 'X'",
            "pwsh -NonInteractive -Command 'X'",
            "deno eval 'X'",
            "awk '/X/'",
            "awk -F : '/X/'",
            "gawk -v a=1 '/X/' file",
            "gawk -e '/X/'",
            "sed 's/a/X/'",
            "sed -n -e p -e 's/a/X/'",
            "sed -i.bak -E 's/a/X/' file",
            "jq '.a == \"X\"'",
            "jq --arg a b '.X'",
            "psql -d db -c 'select X'",
            "psql db -c 'select X'",
            "mysql -e 'select X'",
            "sqlite3 db 'select X'",
            "sqlite3 -readonly db 'select X'",
            "env sh -c 'echo X'",
            "env A=1 B=2 sh -c 'echo X'",
            "env -i -u HOME A=1 sh -c 'echo X'",
            "env -S 'sh -c' 'echo X'",
            "env -S 'sh -c X'",
            "env -iS 'A=1 bash -c' 'echo X'",
            "env LD_PRELOAD=X true",
            "env PATH=/opt/X:/bin true",
            "env X",
            "timeout 5 sh -c 'echo X'",
            "timeout -k 9 -s KILL 5 sh -c 'echo X'",
            "timeout --signal=KILL 5 python3 -c 'X'",
            "timeout 5 X",
            "nice -n 5 sh -c 'echo X'",
            "nice ionice -c 3 nohup setsid stdbuf -oL sh -c 'echo X'",
            "xargs -n 1 sh -c 'echo X'",
            "sudo sh -c 'echo X'",
            "sudo -u www -n -- sh -c 'echo X'",
            "sudo -u www A=1 awk '/X/'",
            "doas -u www sh -c 'echo X'",
            "su -c 'echo X' www",
            "su - www -c 'echo X'",
            "su www -- -c 'echo X'",
            "su '--command=echo X' www",
            "runuser -u www -- sh -c 'echo X'",
            "runuser -l www -c 'echo X'",
            "script -qc 'echo X' /dev/null",
            "ssh host 'deploy X'",
            "ssh host deploy X",
            "ssh -p 22 -i key deploy@host deploy --now X",
            "ssh -o ProxyCommand=X host",
            "ssh X deploy",
            "sshpass -p a ssh host deploy X",
            "systemd-run --user --wait -p A=b sh -c 'echo X'",
            "flock /tmp/lock -c 'echo X'",
            "flock -w 5 /tmp/lock sh -c 'echo X'",
            "watch -n 5 'echo X'",
            "parallel 'echo X' ::: a",
            "make VERSION=X",
            "find . -exec sh -c 'echo X' ;",
            "find . -name a -execdir bash -ec 'echo X' ;",
            "docker exec web sh -c 'echo X'",
            "docker exec -i -u www web /bin/bash -lc 'echo X'",
            "docker run --rm image python3 -c 'X'",
            "docker run --entrypoint sh image -c 'echo X'",
            "docker run --entrypoint=/bin/bash -v a:b image -lc 'echo X'",
            "podman run image sh -c 'echo X'",
            "kubectl exec pod -- sh -c 'echo X'",
            "chroot /srv sh -c 'echo X'",
            "chroot --userspec=www /srv perl -e 'X'",
            "unshare -r sh -c 'echo X'",
            "nsenter -t 1 -m sh -c 'echo X'",
            "busybox sh -c 'echo X'",
            "busybox awk '/X/'",
            "some-wrapper --its option sh -c 'echo X'",
            "rsync -e 'ssh -p X' a b",
            "tar --to-command=X -xf a",
            "tar -xf a --checkpoint-action=exec=X",
            "vim -c 'X' file",
            "git -c core.sshCommand=X fetch",
            "git -C /srv -c alias.x=X x",
            "git -c X status",
            "git clone -c core.fsmonitor=X a b",
            "git --exec-path=X status",
            "git fetch --upload-pack X origin",
            "git rebase '--exec=X' main",
            "git submodule foreach 'echo X'",
        ],
        true,
    );
}

#[test]
fn a_template_that_is_data_is_no_error() {
    check(
        &[
            "./deploy.sh X",
            "/bin/echo hello X",
            "sh -c 'echo \"$1\"' _ X",
            "bash -euo pipefail -c 'echo \"$1\"' _ X",
            "bash script.sh -c X",
            "sh -e script.sh X",
            "python3 script.py -c X",
            "python3 -m module X",
            "python3 -c 'import sys' X",
            "perl -e print X",
            "perl -MFile::Slurp script.pl X",
            "node app.js -e X",
            "node --max-old-space-size=100 app.js X",
            "ruby -Ilib script.rb X",
            "php script.php X",
            "awk -v a=X '{print a}'",
            "awk '{print}' X",
            "awk -f program X",
            "sed -n p X",
            "sed -f script X",
            "sed -e p X",
            "jq --arg a X '.a == $a'",
            "jq -r .a X",
            "psql -v a=X -f script.sql",
            "env A=X ./deploy.sh",
            "env VERSION=X sh script.sh",
            "timeout 5 ./deploy.sh X",
            "sudo -u www ./deploy.sh X",
            "sudo -u www -- /usr/bin/deploy X",
            "nice ./deploy.sh X",
            "flock /tmp/X ./deploy.sh",
            "flock /tmp/lock ./deploy.sh -c X",
            "docker run --name node -e TAG=X image",
            "docker run -e A=X node app.js",
            "docker restart X",
            "kubectl set image deployment/web web=X",
            "git checkout X",
            "git switch -c X",
            "git -C /srv/X pull",
            "git -c user.name=X commit -m X",
            "git commit -c X",
            "curl -d X https://example.com",
            "tar -xf X",
            "rsync X host:",
            "systemd-run --unit=deploy ./deploy.sh X",
            "ssh -p 22 deploy@X",
            "ssh -- X",
            "make -C /srv/X all",
            "./deploy.sh sh X",
            "./deploy.sh X sh -c true",
        ],
        false,
    );
}

#[test]
fn an_interpreter_without_a_script_would_run_the_event() {
    for (command, runs) in [
        ("sh", true),
        ("bash -s", true),
        ("bash /dev/stdin", true),
        ("python3 /dev/fd/0", true),
        ("bash -s -- a", true),
        ("bash -e", true),
        ("python3", true),
        ("python3 -", true),
        ("perl", true),
        ("node", true),
        ("sudo -u www bash", true),
        ("sudo -i", true),
        ("sudo -u www -s", true),
        ("sudo -u www -s ./deploy.sh", false),
        ("su - www", true),
        ("su www -c ./deploy.sh", false),
        ("runuser -u www ./deploy.sh", false),
        ("chroot /srv", true),
        ("chroot /srv ./deploy.sh", false),
        ("unshare -r", true),
        ("unshare -r ./deploy.sh", false),
        ("ssh deploy@web", true),
        ("ssh -p 22 deploy@web", true),
        ("ssh deploy@web deploy", false),
        ("ssh -fNT -L 1:a:1 web", false),
        ("psql -h db -d app", true),
        ("psql -h db -f script.sql", false),
        ("psql --file=script.sql", false),
        ("psql -c 'select 1'", false),
        ("psql -l", false),
        ("mysql -h db app", true),
        ("mysql -e 'select 1'", false),
        ("sqlite3 app.db", true),
        ("sqlite3 app.db 'select 1'", false),
        ("at now", true),
        ("at -f job now", false),
        ("parallel", true),
        ("parallel ./deploy.sh", false),
        ("docker exec -i web sh", true),
        ("docker run -it --rm python:3 python3", true),
        ("kubectl exec -i web -- bash", true),
        ("docker exec web sh", false),
        ("docker exec -i web ./deploy.sh", false),
        ("xargs sh -c", true),
        ("xargs sh", true),
        ("xargs", false),
        ("xargs -n 1 ./deploy.sh", false),
        ("xargs sh -c 'echo \"$@\"' sh", false),
        ("xargs -I{} sh -c 'echo {}'", true),
        ("xargs -I % bash -c 'echo %'", true),
        ("xargs -0I% env A=1 sh -c 'echo %'", true),
        ("xargs --replace sh -c 'echo {}'", true),
        ("xargs -i python3 -c 'print(1)' {}", false),
        ("xargs -I{} sh -c 'echo \"$1\"' sh {}", false),
        ("xargs -I{} ./deploy.sh {}", false),
        ("xargs -I{} {}", true),
        ("xargs -a list sh -c", false),
        ("timeout 5 python3", true),
        ("sh script.sh", false),
        ("sh -c true", false),
        ("python3 script.py", false),
        ("python3 --version", false),
        ("python3 -c 'import sys'", false),
        ("cat", false),
        ("docker restart node", false),
        ("./deploy.sh sh", false),
    ] {
        let words = words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(!read_with(&words, true).errors.is_empty(), runs, "{command}");
        assert!(read_with(&words, false).errors.is_empty(), "{command}");
    }
}

#[test]
fn a_link_is_known_by_its_target() {
    let words = [
        Word::new("./my-shell", 0),
        Word::new("-c", 1),
        Word::new("echo {{ payload.x }}", 2),
    ];
    assert_eq!(read(&words, None, false).errors, []);
    let errors = read(&words, Some("dash"), false).errors;
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].at, 2);
}

#[test]
fn each_row_is_found_and_no_name_stands_in_two() {
    let mut seen = Vec::new();
    for name in rows().flat_map(|row| row.names) {
        assert!(row(name).is_some_and(|row| row.names.contains(name)), "{name}");
        assert!(!seen.contains(name), "{name}");
        seen.push(name);
    }
}

#[test]
fn incomplete_commands_are_read_to_their_end() {
    for command in [
        "",
        "sh -c",
        "env",
        "env -S",
        "timeout",
        "timeout -s",
        "ssh",
        "jq --arg a",
        "flock",
        "su -c",
        "sh -o",
    ] {
        let words = words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(read_with(&words, false).errors, [], "{command}");
    }
    let deep = vec!["env"; 1000];
    assert_eq!(read_with(&deep, true).errors, []);
}
