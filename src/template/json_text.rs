//! JSON text of a value, bounded in size.

use std::io;

use minijinja::{Error, ErrorKind};
use serde::Serialize;

/// Maximum size of a value that is written as JSON, in bytes. The engine's limit on work is
/// reached by a text of this size.
const MAX_WRITTEN: usize = 8 << 20;

/// The JSON text of a value, which ends with an error at [`MAX_WRITTEN`]. A short template can
/// describe a value of any size.
pub fn as_text(value: &impl Serialize) -> Result<String, Error> {
    let mut written = BoundedBuffer(Vec::new());
    match serde_json::to_writer(&mut written, value) {
        Ok(()) => String::from_utf8(written.0).map_err(|error| {
            Error::new(ErrorKind::BadSerialization, "cannot be written as JSON").with_source(error)
        }),
        Err(error) if error.is_io() => Err(ErrorKind::OutOfFuel.into()),
        Err(error) => Err(unwritable(error)),
    }
}

/// A buffer that refuses what exceeds [`MAX_WRITTEN`].
struct BoundedBuffer(Vec<u8>);

impl io::Write for BoundedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_WRITTEN {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The error for a value that has no JSON.
pub fn unwritable(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::BadSerialization, "cannot be written as JSON").with_source(error)
}
