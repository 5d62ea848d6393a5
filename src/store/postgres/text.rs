//! Texts of columns: the server keeps every character but one.

use std::borrow::Cow;
use std::sync::Arc;

/// Stands for a zero character, which the server does not keep.
const REPLACEMENT: &str = "\u{fffd}";

/// Replaces zero characters.
pub(super) fn clean(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', REPLACEMENT);
    }
}

/// The text as the server keeps it.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', REPLACEMENT))
    } else {
        Cow::Borrowed(text)
    }
}

/// Replaces zero characters of a shared text.
pub(super) fn clean_shared(text: &mut Arc<str>) {
    if text.contains('\0') {
        *text = text.replace('\0', REPLACEMENT).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zero_characters_are_replaced() {
        let (mut text, mut shared) = ("a\0b\n\u{1}é".to_owned(), Arc::from("\0"));
        clean(&mut text);
        clean_shared(&mut shared);
        assert_eq!((&*storable("é"), &*storable("a\0")), ("é", "a\u{fffd}"));
        assert_eq!((&*text, &*shared), ("a\u{fffd}b\n\u{1}é", "\u{fffd}"));
    }
}
