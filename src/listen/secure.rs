//! TLS: the handshake, within the time of a request's head, and then the protocol that was agreed on (ALPN, RFC 7301).

use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::connection;
use super::patience::Patient;
use super::request::Door;
use super::second;

/// Serves one connection to its end.
pub async fn converse(stream: TcpStream, client: Option<IpAddr>, config: Arc<ServerConfig>, door: Arc<Door>) {
    // Below the encryption, which writes for itself, when it is flushed.
    let stream = Patient::new(stream, door.request_timeout);
    let handshake = timeout(door.request_timeout, TlsAcceptor::from(config).accept(stream));
    let handshake = tokio::select! {
        handshake = handshake => handshake,
        // Nothing has been asked yet.
        () = door.closing.cancelled() => return,
    };
    let client_shown = client.map(tracing::field::display);
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        // Whoever looks whether somebody listens, every minute of the day.
        Ok(Err(error))
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
            ) =>
        {
            return tracing::debug!(%error, client = client_shown, "TLS handshake");
        }
        Ok(Err(error)) => return tracing::info!(%error, client = client_shown, "TLS handshake"),
        Err(_) => return tracing::debug!(client = client_shown, "TLS handshake: too slow"),
    };
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() == Some(b"h2") {
        second::converse(stream, client, door).await;
    } else {
        connection::converse(stream, client, door).await;
    }
}
