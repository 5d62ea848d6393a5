//! Connections: straight to the target or through a proxy, and to public addresses only where the host is an event's.
//!
//! To an `https` target a proxy is asked for a tunnel, in which TLS is spoken with the target itself; an `http` request
//! is handed to it whole.

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

/// An error of a connection that did not come about.
type Failed = Box<dyn Error + Send + Sync>;
/// What is under way.
type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Failed>> + Send>>;

/// Makes connections.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Makes those of TCP.
    pub http: HttpConnector<Resolver>,
    /// What may stand between.
    pub proxy: Proxy,
    /// Whether only public addresses are dialled.
    pub guarded: bool,
}

/// A connection, to the target or to a proxy.
#[derive(Debug)]
pub struct ConnectedStream {
    stream: TokioIo<TcpStream>,
    /// Whether a proxy at the other end takes whole URLs.
    to_proxy: bool,
}

/// Turns names into addresses.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// Asks the system.
    pub system: GaiResolver,
    /// Whether a name that leads to an address that is not public leads nowhere.
    pub guarded: bool,
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = Failed;
    type Future = Pending<Self::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.system.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (resolving, guarded) = (self.system.call(name), self.guarded);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = resolving.await?.collect();
            if guarded {
                // One that is not public among others is no accident.
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
    type Error = Failed;
    type Future = Pending<ConnectedStream>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let Some(proxy) = self.proxy.to(&target) else {
            // An address that is written as such is not resolved.
            if self.guarded
                && let Some(address) = literal(&target)
                && let Err(error) = ssrf::check(address)
            {
                return Box::pin(async move { Err(error.into()) });
            }
            return dialled(self.http.call(target), false);
        };
        if target.scheme_str() != Some("https") {
            return dialled(self.http.call(proxy.uri().clone()), true);
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.http.clone());
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        dialled(tunnel.call(target), false)
    }
}

/// A connection that is being made.
fn dialled<F, E>(connecting: F, to_proxy: bool) -> Pending<ConnectedStream>
where
    F: Future<Output = Result<TokioIo<TcpStream>, E>> + Send + 'static,
    E: Into<Failed>,
{
    Box::pin(async move {
        let stream = connecting.await.map_err(Into::into)?;
        Ok(ConnectedStream { stream, to_proxy })
    })
}

/// The address that a URL's host is, if it is one.
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
