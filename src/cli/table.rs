//! Tables and untrusted text for a terminal.

use crate::base::escape;

/// Aligns the cells of lines in columns.
pub fn aligned<const N: usize>(lines: &[[String; N]]) -> String {
    let mut widths = [0; N];
    widen(&mut widths, lines);
    in_columns(&widths, lines)
}

/// Widens the columns to fit these lines.
pub fn widen<const N: usize>(widths: &mut [usize; N], lines: &[[String; N]]) {
    for line in lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
}

/// Formats lines in columns of these widths.
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

/// Formats a text on one line, cut after `most` characters.
pub fn one_line(text: &str, most: usize) -> String {
    let text: String = escape::text(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
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
    fn foreign_text_does_not_control_the_terminal() {
        assert_eq!(one_line("a\n b\u{1b}\u{202e}", 20), "a b\\u001b\\u202e");
        assert_eq!(one_line("äbcd", 3), "äbc…");
    }
}
