//! Where the sockets of a group are bound.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

use super::error::GroupError;
use crate::rank::Rank;

/// Names the interface to use where the route to rank 0 is the wrong one; PyTorch reads the same variable.
const INTERFACE_VARIABLE: &str = "GLOO_SOCKET_IFNAME";

/// What gloo's sockets are bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Binding {
    /// This address of the machine.
    Address(IpAddr),
    /// The first address of the interface.
    Interface(String),
}

impl Binding {
    /// The interface named in the environment; else the address from which rank 0 is reached: loopback where it is on
    /// loopback, so that nothing is opened to the network.
    pub(super) fn for_rank(rank: &Rank) -> Result<Self, GroupError> {
        let named = std::env::var(INTERFACE_VARIABLE).ok();
        // PyTorch reads a list here, and spreads over it; one interface is what an exchange needs.
        let named =
            named.as_deref().and_then(|names| names.split(',').map(str::trim).find(|n| !n.is_empty()));
        match named {
            Some(name) => Ok(Self::Interface(name.to_owned())),
            None => route_to(&rank.master_addr, rank.master_port).map(Self::Address),
        }
    }
}

/// The local address that packets to the host leave from. Nothing is sent.
fn route_to(host: &str, port: u16) -> Result<IpAddr, GroupError> {
    let unreachable = |error: std::io::Error| GroupError::Unreachable {
        master: format!("{host}:{port}"),
        text: error.to_string(),
    };
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(unreachable)?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        if address.ip().is_loopback() {
            return Ok(address.ip());
        }
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let asked = UdpSocket::bind(any).and_then(|socket| {
            socket.connect(address)?;
            socket.local_addr()
        });
        match asked {
            Ok(local) => return Ok(local.ip()),
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_stays_on_loopback() {
        for host in ["127.0.0.1", "localhost"] {
            assert!(route_to(host, 29500).unwrap().is_loopback(), "{host}");
        }
    }

    #[test]
    fn a_host_nobody_knows_is_named() {
        let error = route_to("no-such-host.invalid", 29500).unwrap_err();
        assert!(error.to_string().contains("no-such-host.invalid:29500"), "{error}");
    }
}
