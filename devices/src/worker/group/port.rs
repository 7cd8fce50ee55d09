//! A port that is kept for rank 0; see the module.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};

/// A port of this machine, on all its addresses, that only a process which names it can listen on.
///
/// # Sources
/// socket(7), `SO_REUSEADDR`: two sockets may share a port while neither listens. That the system gives such a port to
/// nobody who leaves the choice to it, neither for listening nor for connecting, was tried on Linux 6.18 with
/// `IP_LOCAL_PORT_RANGE` narrowed to that one port (ip(7)).
pub struct ReservedPort {
    _held: OwnedFd,
    port: u16,
}

impl ReservedPort {
    /// A port that the system chooses.
    ///
    /// # Errors
    /// The system's, if it has none left.
    pub fn any() -> io::Result<Self> {
        let held = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        // A child that is started at this moment may inherit it; all it could do is keep the port reserved.
        fcntl_setfd(&held, FdFlags::CLOEXEC)?;
        sockopt::set_socket_reuseaddr(&held, true)?;
        bind(&held, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))?;
        let bound = SocketAddr::try_from(getsockname(&held)?)?;
        Ok(Self { _held: held, port: bound.port() })
    }

    /// Its number.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn whoever_names_the_port_can_listen_on_it_and_be_reached() {
        let reserved = ReservedPort::any().unwrap();
        for address in ["127.0.0.1", "0.0.0.0", "::"] {
            // std allows reuse of the address, as TCPStore does.
            let listener = TcpListener::bind((address, reserved.port())).unwrap();
            let client = TcpStream::connect(("127.0.0.1", reserved.port())).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer.port(), client.local_addr().unwrap().port());
        }
    }

    #[test]
    fn a_socket_that_does_not_ask_to_share_is_refused_and_nobody_is_given_it() {
        let reserved = ReservedPort::any().unwrap();
        let other = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        let named = SocketAddrV4::new(Ipv4Addr::LOCALHOST, reserved.port());
        assert_eq!(bind(&other, &named), Err(rustix::io::Errno::ADDRINUSE));
        let others: Vec<ReservedPort> = (0..500).map(|_| ReservedPort::any().unwrap()).collect();
        assert!(others.iter().all(|other| other.port() != reserved.port()));
        drop(reserved);
        assert_eq!(bind(&other, &named), Ok(()));
    }
}
