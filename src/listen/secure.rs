//! TLS: the handshake, within the time of a request's head, and then the protocol that was agreed on (ALPN, RFC 7301).

use std::io::ErrorKind;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::connection;
use super::patience::Patient;
use super::request::{Door, Peer};
use super::second;
use crate::acme::PROTOCOL;
use crate::verify::Certificate;

/// Serves one connection to its end.
pub async fn converse<S>(stream: S, mut peer: Peer, config: Arc<ServerConfig>, door: Arc<Door>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Below the encryption, which writes for itself, when it is flushed.
    let stream = Patient::new(stream, door.request_timeout);
    let handshake = timeout(door.request_timeout, TlsAcceptor::from(config).accept(stream));
    let handshake = tokio::select! {
        handshake = handshake => handshake,
        // Nothing has been asked yet, and what is about to be has its moment.
        () = door.last_call() => return,
    };
    let client = peer.address.map(tracing::field::display);
    let mut stream = match handshake {
        Ok(Ok(stream)) => stream,
        // Whoever looks whether somebody listens, every minute of the day.
        Ok(Err(error))
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
            ) =>
        {
            return tracing::debug!(%error, client, "TLS handshake");
        }
        Ok(Err(error)) => return door.complain("TLS handshake", &error, peer.address),
        Err(_) => return tracing::debug!(client, "TLS handshake: too slow"),
    };
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() == Some(PROTOCOL) {
        // It has seen what it came for (RFC 8737 §3): nothing is said on that connection.
        stream.shutdown().await.ok();
        return;
    }
    let chain = session.peer_certificates().unwrap_or_default();
    peer.certificate = chain.first().and_then(|leaf| Certificate::of(leaf)).map(Arc::new);
    if session.alpn_protocol() == Some(b"h2") {
        second::converse(stream, peer, door).await;
    } else {
        connection::converse(stream, peer, door).await;
    }
}
