//! The TLS handshake, within the request timeout, and the protocol chosen by ALPN (RFC 7301).
//!
//! `http1.rs` and `http2.rs` serve the connection afterwards.

use std::io::ErrorKind;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::report;
use crate::server::client_cert::ClientCertificate;
use crate::server::peer::Peer;
use crate::server::request::RequestHandler;
use crate::server::{http1, http2};
use crate::sys::write_timeout::WriteTimeout;

/// Serves one connection to its end.
pub async fn serve_http<S>(stream: S, mut peer: Peer, config: Arc<ServerConfig>, handler: Arc<RequestHandler>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Below TLS, which buffers its writes until it is flushed.
    let stream = WriteTimeout::new(stream, handler.request_timeout);
    let acceptor = TlsAcceptor::from(Arc::clone(&config));
    let handshake = timeout(handler.request_timeout, acceptor.accept(stream));
    let handshake = tokio::select! {
        handshake = handshake => handshake,
        // No request has begun, and one that is about to has had its time.
        () = handler.closing_grace() => return,
    };
    let mut stream = match handshake {
        Ok(Ok(stream)) => stream,
        // Port checks by monitoring do this every minute.
        Ok(Err(error))
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
            ) =>
        {
            return report::connection_ended("TLS handshake", &error, peer.address);
        }
        Ok(Err(error)) => return report::peer_failed("TLS handshake", &error, peer.address),
        Err(_) => return report::connection_ended("TLS handshake", &"too slow", peer.address),
    };
    let (_, session) = stream.get_ref();
    let is_http2 = match session.alpn_protocol() {
        Some(b"h2") => true,
        Some(b"http/1.1") | None => false,
        // The handshake alone answers an ACME challenge (RFC 8737 §3).
        Some(_) => {
            stream.shutdown().await.ok();
            return;
        }
    };
    let chain = session.peer_certificates().unwrap_or_default();
    if !chain.is_empty() {
        let rules = handler.live.current();
        // Only if no reload has replaced the configuration of the handshake.
        let tls = rules.server.tls.as_ref();
        let tls = tls.filter(|tls| Arc::ptr_eq(&tls.config, &config));
        peer.certificate = ClientCertificate::new(chain, tls).map(Arc::new);
        if peer.certificate.is_none() {
            report::peer_failed("client certificate", &"it cannot be read", peer.address);
        }
    }
    if is_http2 {
        http2::serve_http(stream, peer, handler).await;
    } else {
        http1::serve_http(stream, peer, handler).await;
    }
}
