//! Tests of body decoding, through [`decode()`] as its callers use it.

mod decoding;
mod multipart;
mod unpacking;
mod xml;

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::{BodyKind, Decode, PackedField, Packing, Payload, Undecodable, Unpack, decode, decode_unpacked};

const FORM: &str = "application/x-www-form-urlencoded";
/// Large enough for every body of these tests.
const LIMIT: u64 = 1 << 20;

type Read = Result<(BodyKind, Value), String>;

fn headers(content_type: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
    }
    headers
}

fn read(how: Decode, content_type: &str, body: impl AsRef<[u8]>) -> Read {
    read_with(how, &headers(content_type), body)
}

fn read_with(how: Decode, headers: &HeaderMap, body: impl AsRef<[u8]>) -> Read {
    decode(how, headers, &Bytes::copy_from_slice(body.as_ref()), LIMIT)
        .map(|payload| (payload.kind, Value::clone(&payload.whole().value)))
        .map_err(|error| error.to_string())
}
