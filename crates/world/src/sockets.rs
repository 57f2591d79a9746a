//! The host's TCP sockets at a port. The kernel is asked for those in one state; its tables in
//! `/proc` hold every connection and cost a walk over all of them for each look, so they are read
//! only where the kernel does not answer.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use guanka_parse::procnet::{self, State};
use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// What the kernel may take for one answer; it is there at once.
const LIMIT: Duration = Duration::from_secs(5);
/// The kernel puts at most this into one message of a dump.
const PIECE: usize = 64 << 10;
/// More messages than a million sockets need.
const PIECES_MAX: usize = 1 << 17;

/// Returns the inodes of the sockets that listen on a port, whatever the address.
pub(crate) fn listening(port: u16) -> BTreeSet<u64> {
    let asked = asked(StateFlags::LISTEN, port);
    asked.unwrap_or_else(|_| read(State::Listen, port)).into_iter().collect()
}

/// Returns how many connections of clients are established to a local port.
pub(crate) fn connected(port: u16) -> usize {
    asked(StateFlags::ESTABLISHED, port).unwrap_or_else(|_| read(State::Established, port)).len()
}

/// Reads the tables.
fn read(state: State, port: u16) -> Vec<u64> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| procnet::read(&table))
        .filter(|socket| socket.state == state && socket.port == port)
        .map(|socket| socket.inode)
        .collect()
}

/// Asks the kernel, once for each family.
fn asked(states: StateFlags, port: u16) -> io::Result<Vec<u64>> {
    let kind = (SocketType::DGRAM, SocketFlags::CLOEXEC);
    let line = socket_with(AddressFamily::NETLINK, kind.0, kind.1, Some(netlink::SOCK_DIAG))?;
    set_socket_timeout(&line, Timeout::Recv, Some(LIMIT))?;
    let mut found = Vec::new();
    for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        let request = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: states.clone(),
            socket_id,
        };
        dump(&line, request, port, &mut found)?;
    }
    Ok(found)
}

fn dump(line: &OwnedFd, request: InetRequest, port: u16, found: &mut Vec<u64>) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = SockDiagMessage::InetRequest(request);
    let mut message = NetlinkMessage::new(header, request.into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    send(line, &bytes, SendFlags::empty())?;
    let mut piece = vec![MaybeUninit::uninit(); PIECE];
    for _ in 0..PIECES_MAX {
        let (mut rest, _) = match recv(line, piece.as_mut_slice(), RecvFlags::empty()) {
            Err(rustix::io::Errno::INTR) => continue,
            read => read?.0,
        };
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(socket)) => {
                    let socket = &socket.header;
                    if socket.socket_id.source_port == port {
                        found.push(u64::from(socket.inode));
                    }
                }
                NetlinkPayload::Done(_) => return Ok(()),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
            let length = (message.header.length as usize).next_multiple_of(4).max(4);
            rest = rest.get_mut(length..).unwrap_or_default();
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer has no end"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{TcpListener, TcpStream};

    use guanka_parse::procnet::State;
    use netlink_packet_sock_diag::inet::StateFlags;

    use super::{asked, connected, listening, read};

    #[test]
    fn the_kernel_says_what_its_tables_say() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let address = listener.local_addr().expect("an address");
            let port = address.port();
            let clients: Vec<TcpStream> =
                (0..3).map(|_| TcpStream::connect(address).expect("connected")).collect();
            let served: Vec<_> = (0..3).map(|_| listener.accept().expect("accepted")).collect();
            let told = asked(StateFlags::LISTEN, port).expect("asked");
            assert_eq!((told.len(), &told), (1, &read(State::Listen, port)));
            assert_eq!(listening(port), told.into_iter().collect());
            let mut told = asked(StateFlags::ESTABLISHED, port).expect("asked");
            let mut table = read(State::Established, port);
            told.sort_unstable();
            table.sort_unstable();
            assert_eq!((told.len(), connected(port), told), (3, 3, table));
            drop((served, clients, listener));
            assert_eq!((listening(port), connected(port)), (BTreeSet::new(), 0));
        }
    }
}
