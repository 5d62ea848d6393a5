//! Writing of readable YAML: short mappings on one line, long ones in a block, with comments.
//!
//! The writer knows nothing of rules. Its promise is that every text is read back as it was.

/// Maximum width of a line, if a break is possible.
const WIDTH: usize = 100;
/// Words that YAML readers take for something else than text.
const RESERVED: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];

/// A value to write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Yaml {
    /// Text, quoted if necessary.
    Text(String),
    /// A number, a boolean or null, written as it is.
    Word(String),
    List(Vec<Self>),
    /// Text of several lines, written as it is in a block.
    Script(String),
    /// A list of mappings, always in a block.
    Items(Vec<Map>),
    Map(Map),
}

/// A mapping, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Map {
    pub(super) entries: Vec<Entry>,
}

/// An entry of a mapping, below its comments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) comments: Vec<String>,
    pub(super) key: String,
    pub(super) value: Yaml,
}

impl Yaml {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub(super) fn word(word: impl Into<String>) -> Self {
        Self::Word(word.into())
    }

    /// The value on one line.
    fn flow(&self) -> String {
        match self {
            Self::Text(text) | Self::Script(text) => scalar(text),
            Self::Word(word) => word.clone(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(Self::flow).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Items(items) => {
                let items: Vec<String> = items.iter().map(Map::flow).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Map(map) => map.flow(),
        }
    }

    /// True if the value must be a block, because there are comments in it.
    fn has_comments(&self) -> bool {
        match self {
            Self::Text(_) | Self::Script(_) | Self::Word(_) => false,
            Self::List(items) => items.iter().any(Self::has_comments),
            Self::Items(items) => items.iter().any(Map::has_comments),
            Self::Map(map) => map.has_comments(),
        }
    }

    /// Writes the value behind `key:` or `-`, on one line if it fits behind `used` characters.
    fn write(&self, out: &mut String, indent: usize, used: usize) {
        let flow = self.flow();
        let fits = used + 1 + flow.chars().count() <= WIDTH && !self.has_comments();
        match self {
            Self::List(items) if !items.is_empty() && !fits => {
                for item in items {
                    out.push_str(&format!("\n{}-", " ".repeat(indent)));
                    item.write_item(out, indent + 2);
                }
            }
            Self::Script(text) if text.ends_with('\n') && text.lines().all(is_line) => {
                out.push_str(" |");
                for line in text.lines() {
                    out.push_str(&format!("\n{}{line}", " ".repeat(indent)));
                }
            }
            Self::Items(items) if !items.is_empty() => {
                for item in items {
                    out.push('\n');
                    item.write_item(out, indent);
                    out.pop();
                }
            }
            Self::Map(map) if !map.entries.is_empty() && !fits => {
                out.push('\n');
                map.write(out, indent);
                out.pop();
            }
            _ => {
                out.push_str(&format!(" {flow}"));
            }
        }
    }

    /// Writes an item behind its `-`. A mapping begins on the same line.
    fn write_item(&self, out: &mut String, indent: usize) {
        match self {
            Self::Map(map) if !map.entries.is_empty() && !self.fits(indent) => {
                let mut block = String::new();
                map.write(&mut block, indent);
                out.push(' ');
                out.push_str(block.trim_start().trim_end_matches('\n'));
            }
            _ => self.write(out, indent, indent),
        }
    }

    fn fits(&self, used: usize) -> bool {
        used + self.flow().chars().count() <= WIDTH && !self.has_comments()
    }
}

impl Map {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Returns the mapping with one more entry.
    #[must_use]
    pub(super) fn with(mut self, key: impl Into<String>, value: Yaml) -> Self {
        self.add(key, value);
        self
    }

    pub(super) fn add(&mut self, key: impl Into<String>, value: Yaml) {
        self.entries.push(Entry {
            comments: Vec::new(),
            key: key.into(),
            value,
        });
    }

    pub(super) fn add_text(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.add(key, Yaml::text(text));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// The mapping on one line.
    fn flow(&self) -> String {
        let entry = |entry: &Entry| format!("{}: {}", scalar(&entry.key), entry.value.flow());
        let entries: Vec<String> = self.entries.iter().map(entry).collect();
        format!("{{{}}}", entries.join(", "))
    }

    fn has_comments(&self) -> bool {
        let commented = |entry: &Entry| !entry.comments.is_empty() || entry.value.has_comments();
        self.entries.iter().any(commented)
    }

    /// Writes the mapping as an item of a list, with its first comments above it.
    pub(super) fn write_item(&self, out: &mut String, indent: usize) {
        let mut rest = self.clone();
        if let Some(first) = rest.entries.first_mut() {
            for comment in std::mem::take(&mut first.comments) {
                comment_lines(out, &comment, indent);
            }
        }
        let mut block = String::new();
        rest.write(&mut block, indent + 2);
        out.push_str(&format!("{}- {}", " ".repeat(indent), block.trim_start()));
    }

    /// Writes the mapping as a block: one line or more for each entry, with a line break at the end.
    pub(super) fn write(&self, out: &mut String, indent: usize) {
        let margin = " ".repeat(indent);
        for entry in &self.entries {
            for comment in &entry.comments {
                comment_lines(out, comment, indent);
            }
            let key = scalar(&entry.key);
            out.push_str(&format!("{margin}{key}:"));
            entry
                .value
                .write(out, indent + 2, indent + key.chars().count() + 1);
            out.push('\n');
        }
    }
}

impl From<Map> for Yaml {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

/// Writes a comment, wrapped.
pub(super) fn comment_lines(out: &mut String, comment: &str, indent: usize) {
    let margin = " ".repeat(indent);
    let mut line = format!("{margin}#");
    let begin = line.len();
    for word in comment.split_whitespace() {
        // A control character would end the comment, or not be YAML at all.
        let word: String = word.chars().filter(|letter| is_printable(*letter)).collect();
        if line.len() > begin && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line.truncate(begin);
        }
        line.push(' ');
        line.push_str(&word);
    }
    out.push_str(&line);
    out.push('\n');
}

/// True for a line that can stand in a block of text.
fn is_line(line: &str) -> bool {
    !line.is_empty()
        && !line.starts_with(' ')
        && line.chars().all(|letter| letter != '\t' && is_printable(letter))
}

/// True for characters that YAML takes unescaped.
fn is_printable(letter: char) -> bool {
    match letter {
        '\t' => true,
        '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => false,
        _ => !letter.is_control() && !matches!(letter, '\u{fffe}' | '\u{ffff}'),
    }
}

/// A text as a scalar that can stand anywhere: plain, or in the quotes that need the fewest escapes.
pub(super) fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    if text.contains(['"', '\\']) && text.chars().all(|letter| letter != '\t' && is_printable(letter)) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            letter if is_printable(letter) => quoted.push(letter),
            letter => {
                quoted.push_str(&match u32::from(letter) {
                    code @ 0..=0xff => format!("\\x{code:02x}"),
                    code @ 0x100..=0xffff => format!("\\u{code:04x}"),
                    code => format!("\\U{code:08x}"),
                });
            }
        }
    }
    quoted.push('"');
    quoted
}

/// True if a text needs no quotes, in a block and on one line.
fn is_plain(text: &str) -> bool {
    let begins = |letter: char| letter.is_ascii_alphabetic() || matches!(letter, '/' | '.' | '$' | '_');
    let mut letters = text.chars().peekable();
    let Some(first) = letters.next() else { return false };
    if !begins(first) && !is_network_or_time(text)
        || (first == '.' && !text.starts_with("./") && !text.starts_with("../") && text != ".")
    {
        return false;
    }
    if RESERVED.contains(&text.to_ascii_lowercase().as_str()) {
        return false;
    }
    while let Some(letter) = letters.next() {
        let next = letters.peek();
        let fine = match letter {
            ' ' | ':' => next.is_some_and(|next| next.is_ascii_alphanumeric() || matches!(next, '/' | '_')),
            _ => letter.is_ascii_alphanumeric() || "_./$@+-=".contains(letter),
        };
        if !fine {
            return false;
        }
    }
    true
}

/// True for `10.0.0.0/8`, `10.0.0.1` and `10m`, which begin with a digit and are no numbers.
fn is_network_or_time(text: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (address, length) = text.split_once('/').unwrap_or((text, "0"));
    let is_address = address.split('.').count() == 4 && address.split('.').all(is_digits);
    is_address && is_digits(length) || text.strip_suffix(['s', 'm', 'h', 'd']).is_some_and(is_digits)
}

#[cfg(test)]
mod tests;
