//! Markdown: wrapped prose and tables.

/// Maximum width of a line outside of tables.
const WIDTH: usize = 100;

/// Wraps a paragraph. Lines after the first begin with `indent` blanks. Code spans stay whole.
pub fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in words(text) {
        let begun = lines.len() > 1;
        let Some(line) = lines.last_mut() else { break };
        let used = line.chars().count();
        if used > if begun { indent } else { 0 } && used + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{}{word}", " ".repeat(indent)));
        } else {
            if used > if begun { indent } else { 0 } {
                line.push(' ');
            }
            line.push_str(&word);
        }
    }
    lines.join("\n")
}

/// Splits a text at blanks outside of code spans and of link texts.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut code = false;
    for letter in text.chars() {
        if letter == '`' {
            code = !code;
        }
        if letter == ' ' && !code {
            words.push(String::new());
        } else if let Some(word) = words.last_mut() {
            word.push(letter);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Makes a table.
pub fn table<const N: usize>(heads: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| {
        let cells = cells.iter().map(|cell| match cell.as_str() {
            "" => " ".to_owned(),
            cell => format!(" {} ", cell.replace('|', "\\|")),
        });
        format!("|{}|\n", cells.collect::<Vec<_>>().join("|"))
    };
    let mut table = line(&heads.map(str::to_owned));
    table += &format!("|{}\n", "---|".repeat(N));
    for row in rows {
        table += &line(&row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_and_code_is_not() {
        let text = "word ".repeat(30) + "`a long piece of code that stays in one line`";
        let lines: Vec<String> = wrapped(&text, 2).lines().map(str::to_owned).collect();
        assert!(
            lines.iter().all(|line| line.chars().count() <= WIDTH),
            "{lines:?}"
        );
        assert!(lines[1].starts_with("  word"), "{lines:?}");
        assert!(
            lines
                .last()
                .unwrap()
                .ends_with("`a long piece of code that stays in one line`")
        );
    }

    #[test]
    fn a_bar_in_a_cell_is_escaped() {
        let made = table(["a", "b"], [["x | y".to_owned(), String::new()]]);
        assert_eq!(made, "| a | b |\n|---|---|\n| x \\| y | |\n");
    }
}
