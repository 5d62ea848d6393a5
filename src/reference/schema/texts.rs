//! Descriptions of the reference as editors show them. Links lead to pages that an editor does not
//! have, so that only their texts stay.

/// Returns a text in Markdown without links.
pub fn markdown(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        shown.push_str(before);
        let read = link.split_once("](").and_then(|(text, after)| {
            let (_, after) = after.split_once(')')?;
            (!text.contains(['`', '['])).then_some((text, after))
        });
        let (text, after) = read.unwrap_or(("[", link));
        shown.push_str(text);
        rest = after;
    }
    shown + rest
}

/// Returns a text without markup.
pub fn plain(text: &str) -> String {
    markdown(text).replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lose_their_targets_and_nothing_else() {
        for (text, shown) in [
            (
                "[Conditions](conditions.md) on the event",
                "Conditions on the event",
            ),
            ("a `[x]` and [b](c.md#d), e", "a `[x]` and b, e"),
            ("`$.a[*]`: [1, 2] (3)", "`$.a[*]`: [1, 2] (3)"),
        ] {
            assert_eq!(markdown(text), shown);
        }
        assert_eq!(plain("`a` [b](c)"), "a b");
    }
}
