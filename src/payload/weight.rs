//! Estimates of the memory that a decoded body takes.

/// Memory of an object with one member, or of an XML element, in bytes: a node of a tree map.
const OBJECT: u64 = 640;
/// Memory of a list item, or of a form field, in bytes.
const VALUE: u64 = 48;

/// An upper bound of the memory for a decoded body, in bytes, estimated from its opening and
/// separating characters. Takes one pass over the bytes. If text contains such characters, the
/// estimate is too high, never too low.
pub fn weight(body: &[u8]) -> u64 {
    let (mut objects, mut values) = (0_u64, 0_u64);
    // Counts in single bytes, without checks for overflow, let the compiler use vector
    // instructions. A chunk is too short to overflow a byte.
    for chunk in body.chunks(usize::from(u8::MAX)) {
        let (mut opened, mut separated) = (0_u8, 0_u8);
        for byte in chunk {
            opened = opened.wrapping_add(u8::from(matches!(byte, b'{' | b'<')));
            separated = separated.wrapping_add(u8::from(matches!(byte, b',' | b'[' | b'&' | b'=')));
        }
        objects += u64::from(opened);
        values += u64::from(separated);
    }
    body.len() as u64 + objects * OBJECT + values * VALUE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_objects_weigh_most() {
        assert_eq!(weight(b""), 0);
        assert_eq!(weight(b"text"), 4);
        assert_eq!(weight(&[b'{'; 1000]), 1000 + 1000 * OBJECT);
        assert_eq!(weight(&[b','; 1000]), 1000 + 1000 * VALUE);
        let objects = format!("[{}0]", "{\"\":0},".repeat(1000));
        assert!(weight(objects.as_bytes()) > 600_000);
        let numbers = format!("[{}0]", "0,".repeat(1000));
        assert!((34_000..60_000).contains(&weight(numbers.as_bytes())));
    }
}
