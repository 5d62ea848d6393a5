//! Brotli (RFC 7932), within a limit.

use brotli_decompressor::BrotliDecoderErrorCode::{
    BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_1, BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_2,
};
use brotli_decompressor::{Allocator, BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use crate::payload::content_encoding::EncodingError;

const NAME: &str = "br";
/// How much is taken from the decoder at a time.
const CHUNK: usize = 16 * 1024;
/// What the decoder needs beside its window: context maps of at most 16 KiB.
const BESIDE_WINDOW: usize = 64 * 1024;

/// The decoder's memory for bytes, bounded. The decoder fills its window before it gives anything out, and makes the
/// window as large as the data promise to need: 16 MiB at the word of a stranger. What is allowed to come out needs no
/// window of more than twice its size.
struct Budget {
    most: usize,
}

impl Allocator<u8> for Budget {
    type AllocatedMemory = <StandardAlloc as Allocator<u8>>::AllocatedMemory;

    fn alloc_cell(&mut self, length: usize) -> Self::AllocatedMemory {
        if length > self.most {
            // Too short is how the decoder learns that there is none.
            return Self::AllocatedMemory::default();
        }
        StandardAlloc::default().alloc_cell(length)
    }

    fn free_cell(&mut self, _memory: Self::AllocatedMemory) {}
}

/// The body without brotli; at most `limit` bytes.
pub(super) fn undone(body: &[u8], limit: u64) -> Result<Vec<u8>, EncodingError> {
    let window = usize::try_from(limit).unwrap_or(usize::MAX).saturating_mul(2);
    let budget = Budget {
        most: window.saturating_add(BESIDE_WINDOW),
    };
    // Strict: without the extension that allows windows of 1 GiB, which `br` does not mean.
    let mut state = BrotliState::new_strict(budget, StandardAlloc::default(), StandardAlloc::default());
    let (mut plain, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    let (mut unread, mut read, mut total) = (body.len(), 0, 0);
    loop {
        let (mut room, mut given) = (chunk.len(), 0);
        let result = BrotliDecompressStream(
            &mut unread,
            &mut read,
            body,
            &mut room,
            &mut given,
            &mut chunk,
            &mut total,
            &mut state,
        );
        plain.extend_from_slice(chunk.get(..given).unwrap_or_default());
        if plain.len() as u64 > limit {
            return Err(EncodingError::TooLarge(limit));
        }
        match result {
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::ResultSuccess if unread == 0 => return Ok(plain),
            BrotliResult::ResultSuccess => return Err(EncodingError::Trailing(NAME)),
            BrotliResult::NeedsMoreInput => return Err(EncodingError::CutShort(NAME)),
            BrotliResult::ResultFailure => {
                return Err(match state.error_code {
                    BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_1 | BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_2 => {
                        EncodingError::TooLarge(limit)
                    }
                    _ => EncodingError::Damaged(NAME),
                });
            }
        }
    }
}
