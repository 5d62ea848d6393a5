//! Ends of mappings and lists in a YAML text, for programs that replace a value and keep the rest.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser};

/// Returns for the first byte of each mapping and list the end of its last value, or of its closing
/// bracket. Empty if the text is not YAML.
pub fn ends(text: &str) -> HashMap<usize, usize> {
    let offsets: Vec<usize> = text.char_indices().map(|(offset, _)| offset).collect();
    let byte = |character: usize| offsets.get(character).copied().unwrap_or(text.len());
    let mut ends = HashMap::new();
    let mut open: Vec<usize> = Vec::new();
    let mut last = 0;
    for next in Parser::new_from_str(text) {
        let Ok((event, span)) = next else {
            return HashMap::new();
        };
        let (start, end) = (byte(span.start.index()), byte(span.end.index()));
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                open.push(start);
                last = last.max(end);
            }
            Event::MappingEnd | Event::SequenceEnd => {
                let start_of_end = start;
                let Some(start) = open.pop() else { continue };
                let is_flow = text.get(start..).is_some_and(|rest| rest.starts_with(['[', '{']));
                if is_flow {
                    // The event may include what follows the bracket.
                    let closes = text
                        .get(start_of_end..)
                        .is_some_and(|rest| rest.starts_with([']', '}']));
                    last = if closes { start_of_end + 1 } else { end };
                }
                ends.entry(start).or_insert(last);
            }
            Event::Scalar(..) | Event::Alias(..) => last = end,
            _ => {}
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_its_last_part_ends() {
        let text = "é: [a, {b: c}] # d\nlist:\n  - x: 1\n    y: [2]  # e\n  - z\n\nlast: {}\n";
        let ends = ends(text);
        let value = |start: &str| {
            let at = text.find(start).unwrap();
            text.get(at..ends[&at]).unwrap()
        };
        assert_eq!(value("[a"), "[a, {b: c}]");
        assert_eq!(value("{b"), "{b: c}");
        assert_eq!(value("- x"), "- x: 1\n    y: [2]  # e\n  - z");
        assert_eq!(value("x: 1"), "x: 1\n    y: [2]");
        assert_eq!(value("{}"), "{}");
    }
}
