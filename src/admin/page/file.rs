//! The body of an arrival as a file.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::admin::page::arrival::id_of;
use crate::admin::page::response::response;
use crate::admin::page::sources::{Params, Sources, ViewError};
use crate::history::stored;

/// Answers with the body as it is kept. A browser saves it and does not show it.
pub async fn body(sources: &Sources, params: &Params) -> Result<Response<Bytes>, ViewError> {
    let id = id_of(params)?;
    let received = sources
        .read(move |history| {
            let stored = stored(history, id)?;
            let stored = stored.ok_or_else(|| ViewError::Missing(format!("there is no arrival `{id}`")))?;
            stored.whole.map_err(ViewError::Missing)?;
            Ok(stored.received)
        })
        .await?;
    let mut response = response(StatusCode::OK, "application/octet-stream", received.body.clone());
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{id}.body\""));
    if let Ok(disposition) = disposition {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}
