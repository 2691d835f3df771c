//! The listening sockets: one per address and core, sharing the port by SO_REUSEPORT.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol as Transport, Socket, TcpKeepalive, Type};

use crate::config::TcpConfig;
use crate::dialect::Speaks;

/// One core's socket for one address.
pub struct Listener {
    /// The socket, non-blocking.
    pub socket: Socket,
    /// What is spoken there.
    pub speaks: Arc<Speaks>,
}

/// Why an address cannot be listened on. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{hint}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
    /// What to do.
    pub hint: &'static str,
}

impl Listener {
    /// Binds and listens. The accepted sockets inherit the TCP settings made here (Linux clones them).
    pub fn bind(
        address: SocketAddr,
        speaks: Arc<Speaks>,
        backlog: u32,
        tcp: &TcpConfig,
    ) -> Result<Self, ListenError> {
        let socket = listen(address, backlog, tcp).map_err(|source| {
            let hint = match source.kind() {
                io::ErrorKind::AddrInUse => {
                    ". Stop what listens there, or choose another port: `listen` in the config, PIERHEAD_PORT_<PROTOCOL>"
                }
                io::ErrorKind::PermissionDenied => {
                    ". Ports below 1024 need CAP_NET_BIND_SERVICE (deploy/pierhead.service gives it)"
                }
                io::ErrorKind::AddrNotAvailable => ". No interface of this host has this address",
                _ => "",
            };
            ListenError { address, source, hint }
        })?;
        Ok(Listener { socket, speaks })
    }
}

/// Whether nobody listens on `address` yet. SO_REUSEPORT would let a second Pierhead share the port silently.
pub fn check_free(address: SocketAddr) -> Result<(), ListenError> {
    let deadline = Instant::now() + FREE_WAIT;
    loop {
        match std::net::TcpListener::bind(address) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(source) => {
                let hint = ". Is another Pierhead running? Choose another port: `listen` in the config, \
                            PIERHEAD_PORT_<PROTOCOL>";
                return Err(ListenError { address, source, hint });
            }
        }
    }
}

/// After SIGKILL the kernel takes a killed process' rings apart in the background, and the listeners that they
/// still hold with them: a restart at once would find its own ports taken.
const FREE_WAIT: Duration = Duration::from_secs(2);

fn listen(address: SocketAddr, backlog: u32, tcp: &TcpConfig) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Transport::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    configure(&socket, tcp)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

/// The TCP settings of both legs: no delay of small segments, and dead peers are noticed.
pub(super) fn configure(socket: &Socket, tcp: &TcpConfig) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(tcp.keepalive_idle.get())
        .with_interval(tcp.keepalive_interval.get())
        .with_retries(tcp.keepalive_count);
    socket.set_tcp_keepalive(&keepalive)?;
    if tcp.user_timeout.get() > Duration::ZERO {
        socket.set_tcp_user_timeout(Some(tcp.user_timeout.get()))?;
    }
    Ok(())
}
