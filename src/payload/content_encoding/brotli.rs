//! Brotli decompression (RFC 7932) within limits of output and memory.
//!
//! The window that the data announce is allocated only if the output limit justifies it.

use brotli_decompressor::BrotliDecoderErrorCode::{
    BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_1, BROTLI_DECODER_ERROR_ALLOC_RING_BUFFER_2,
};
use brotli_decompressor::{Allocator, BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use crate::payload::content_encoding::EncodingError;

const NAME: &str = "br";
/// Size of the output buffer, in bytes.
const CHUNK: usize = 16 * 1024;
/// Memory of the decoder beside its window, in bytes: context maps of at most 16 KiB.
const BESIDE_WINDOW: usize = 64 * 1024;

/// The bounded byte allocator of the decoder. The decoder allocates its window before it produces
/// output, in the size that the data announce: up to 16 MiB at a sender's word. Output within the
/// limit needs no window of more than twice the limit.
struct Budget {
    limit: usize,
}

impl Allocator<u8> for Budget {
    type AllocatedMemory = <StandardAlloc as Allocator<u8>>::AllocatedMemory;

    fn alloc_cell(&mut self, length: usize) -> Self::AllocatedMemory {
        if length > self.limit {
            // An allocation that is too short tells the decoder that there is no memory.
            return Self::AllocatedMemory::default();
        }
        StandardAlloc::default().alloc_cell(length)
    }

    fn free_cell(&mut self, _memory: Self::AllocatedMemory) {}
}

/// Decompresses the body to at most `limit` bytes.
pub(super) fn decompress(body: &[u8], limit: u64) -> Result<Vec<u8>, EncodingError> {
    let window = usize::try_from(limit).unwrap_or(usize::MAX).saturating_mul(2);
    let budget = Budget {
        limit: window.saturating_add(BESIDE_WINDOW),
    };
    // Strict: without the extension for windows up to 1 GiB, which is not part of `br`.
    let mut state = BrotliState::new_strict(budget, StandardAlloc::default(), StandardAlloc::default());
    let (mut plain, mut chunk) = (Vec::new(), vec![0; CHUNK]);
    let (mut unread, mut read, mut total) = (body.len(), 0, 0);
    loop {
        let (mut available, mut produced) = (chunk.len(), 0);
        let result = BrotliDecompressStream(
            &mut unread,
            &mut read,
            body,
            &mut available,
            &mut produced,
            &mut chunk,
            &mut total,
            &mut state,
        );
        plain.extend_from_slice(chunk.get(..produced).unwrap_or_default());
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
