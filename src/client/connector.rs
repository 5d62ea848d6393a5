//! Connections, made directly to the target or through a proxy.
//!
//! If the host comes from an event, only public addresses are connected to (`ssrf.rs`). For an
//! `https` target the proxy opens a tunnel, and TLS is spoken with the target itself. An `http`
//! request is handed to the proxy whole.

use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{io, vec};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::client::proxy::Proxy;
use crate::client::ssrf;

type BoxError = Box<dyn Error + Send + Sync>;
type Pending<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

#[derive(Clone, Debug)]
pub struct Connector {
    pub http: HttpConnector<Resolver>,
    pub proxy: Proxy,
    /// True if only public addresses may be connected to.
    pub public_only: bool,
}

/// Connection to the target or to a proxy.
#[derive(Debug)]
pub struct ConnectedStream {
    stream: TokioIo<TcpStream>,
    /// True if the other end is a proxy that expects absolute URLs.
    to_proxy: bool,
}

/// The system's name resolver, with a check for public addresses.
#[derive(Clone, Debug)]
pub struct Resolver {
    pub system: GaiResolver,
    /// True if a name is refused when one of its addresses is not public.
    pub public_only: bool,
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pending<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.system.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, public_only) = (self.system.call(name), self.public_only);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = resolving.await?.collect();
            if public_only {
                // A private address among public ones is no accident: refuse the whole name.
                for address in &addresses {
                    ssrf::check(address.ip())?;
                }
            }
            Ok(addresses.into_iter())
        })
    }
}

impl Service<Uri> for Connector {
    type Response = ConnectedStream;
    type Error = BoxError;
    type Future = Pending<ConnectedStream>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some(proxy) = self.proxy.to(&target) else {
            // A literal address is never resolved, so the resolver cannot check it.
            if self.public_only
                && let Some(address) = literal(&target)
                && let Err(error) = ssrf::check(address)
            {
                return Box::pin(async move { Err(error.into()) });
            }
            return boxed(self.http.call(target), false);
        };
        if target.scheme_str() != Some("https") {
            return boxed(self.http.call(proxy.uri().clone()), true);
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.http.clone());
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        boxed(tunnel.call(target), false)
    }
}

/// Boxes a connection attempt.
fn boxed<F, E>(connecting: F, to_proxy: bool) -> Pending<ConnectedStream>
where
    F: Future<Output = Result<TokioIo<TcpStream>, E>> + Send + 'static,
    E: Into<BoxError>,
{
    Box::pin(async move {
        let stream = connecting.await.map_err(Into::into)?;
        Ok(ConnectedStream { stream, to_proxy })
    })
}

/// Returns the address that a URL's host is, if it is a literal.
fn literal(target: &Uri) -> Option<IpAddr> {
    let host = target.host()?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

impl Connection for ConnectedStream {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.to_proxy)
    }
}

impl Read for ConnectedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for ConnectedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }
}
