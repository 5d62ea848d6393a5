//! Tables, and texts of strangers on a terminal.

use std::borrow::Cow;

/// The lines with their cells in columns.
pub fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let mut widths = [0; N];
    widen(&mut widths, lines);
    in_columns(&widths, lines)
}

/// Makes room for the cells of these lines.
pub fn widen<const N: usize>(widths: &mut [usize; N], lines: &[[String; N]]) {
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
}

/// The lines with their cells in columns of these widths.
pub fn in_columns<const N: usize>(widths: &[usize; N], lines: &[[String; N]]) -> String {
    let padded = lines.iter().map(|line| {
        let cells: Vec<String> = line
            .iter()
            .zip(widths)
            .map(|(cell, &width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    });
    padded.collect::<Vec<_>>().join("\n")
}

/// A text as it may be printed: what would control the terminal is written out. Line breaks and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(controls) {
        return Cow::Borrowed(text);
    }
    let mut printable = String::with_capacity(text.len());
    for letter in text.chars() {
        if controls(letter) {
            printable.extend(letter.escape_unicode());
        } else {
            printable.push(letter);
        }
    }
    Cow::Owned(printable)
}

/// Whether a letter moves the cursor, changes colours, or has what follows run the other way.
fn controls(letter: char) -> bool {
    match letter {
        '\n' | '\t' => false,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    }
}

/// A text on one line, cut after `most` letters.
pub fn one_line(text: &str, most: usize) -> String {
    let text: String = printable(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_with_their_last() {
        let line = |cells: [&str; 3]| cells.map(str::to_owned);
        let lines = [line(["id", "rule", "reason"]), line(["é1234", "x", ""])];
        assert_eq!(aligned(&lines), "id     rule  reason\né1234  x");
    }

    #[test]
    fn what_a_stranger_wrote_does_not_control_the_terminal() {
        assert_eq!(printable("plain\n\ttext é"), "plain\n\ttext é");
        assert_eq!(printable("\u{1b}[2J\r\u{202e}"), "\\u{1b}[2J\\u{d}\\u{202e}");
        assert_eq!(one_line("a\n b\u{1b}", 9), "a b\\u{1b}");
        assert_eq!(one_line("äbcd", 3), "äbc…");
    }
}
