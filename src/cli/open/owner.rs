//! Owner of the other end of a connection on this machine, as the kernel says in `/proc/net/tcp`.

use std::net::SocketAddrV4;

/// State of an established connection in the kernel's table. The owner of other states may be
/// unknown, which looks like root.
const ESTABLISHED: &str = "01";

/// Returns the id of the user whose socket at `client` is connected to `server`. `table`: the text of
/// `/proc/net/tcp`.
pub fn owner(table: &str, client: SocketAddrV4, server: SocketAddrV4) -> Option<u32> {
    let (client, server) = (written(client), written(server));
    table.lines().skip(1).find_map(|line| {
        // sl, local_address, rem_address, st, queues, timer, retrnsmt, uid.
        let mut fields = line.split_ascii_whitespace().skip(1);
        let is_it = fields.next() == Some(&client)
            && fields.next() == Some(&server)
            && fields.next() == Some(ESTABLISHED);
        is_it.then(|| fields.nth(3)?.parse().ok()).flatten()
    })
}

/// An address as the table has it: the bytes in memory as one number of this machine, and the port.
fn written(address: SocketAddrV4) -> String {
    let bytes = u32::from_ne_bytes(address.ip().octets());
    format!("{bytes:08X}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn v4(address: std::io::Result<std::net::SocketAddr>) -> SocketAddrV4 {
        match address.unwrap() {
            std::net::SocketAddr::V4(address) => address,
            std::net::SocketAddr::V6(address) => panic!("{address}"),
        }
    }

    #[test]
    fn the_kernel_says_whose_connection_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let table = || std::fs::read_to_string("/proc/net/tcp").unwrap();
        let (at, to) = (v4(client.local_addr()), v4(server.local_addr()));
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(owner(&table(), at, to), Some(own));
        let other = SocketAddrV4::new(*at.ip(), at.port().wrapping_add(1));
        assert_eq!(owner(&table(), other, to), None);
        assert_eq!(owner("", at, to), None);
        // After its end, the kernel no longer knows.
        drop(client);
        assert_eq!(owner(&table(), at, to), None);
    }
}
