//! A socket in the lobby: non-blocking system calls first, and the tokio-uring runtime's ring when they would
//! have to wait. Waiting is a one-shot poll, so a client that says nothing costs no buffer.

use std::future::Future;
use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use bytes::BytesMut;
use io_uring::types::Fd;
use io_uring::{cqueue, opcode};
use socket2::{Domain, Protocol as Transport, Socket, Type};
use tokio::time::Instant;
use tokio_uring::{OneshotOutputTransform, UnsubmittedOneshot};

use crate::config::TcpConfig;
use crate::edge::listener::configure;
use crate::routes::Upstream;
use crate::sys::NetNamespace;

/// A client's or a backend's socket. Dropping it ends the connection in both directions first: a poll that is
/// still armed would hold the file, and close(2) alone would then send no FIN (RELAY §0.9).
pub struct Leg(Option<Socket>);

/// How many bytes of a refused client are read before it is closed anyway.
pub const LINGER_BYTES_MAX: usize = 64 * 1024;

/// How much is read at once while looking for a name. Start-up messages are smaller.
const READ_SIZE: usize = 2048;

impl Leg {
    /// Wraps a non-blocking socket.
    pub fn new(socket: Socket) -> Self {
        Leg(Some(socket))
    }

    /// Begins to connect. The connection is made when the leg first takes bytes.
    pub fn connect(upstream: &Upstream, tcp: &TcpConfig) -> io::Result<Self> {
        match upstream {
            Upstream::Tcp(address) => {
                let kind = Type::STREAM.nonblocking().cloexec();
                let socket = Socket::new(Domain::for_address(*address), kind, Some(Transport::TCP))?;
                begin_to_connect(socket, *address, tcp)
            }
            Upstream::Namespace(address, namespace) => connect_inside(namespace, *address, tcp),
        }
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        self.0.as_ref().expect("taken only by into_socket, which consumes the leg")
    }

    /// Gives the socket away, as it is.
    pub fn into_socket(mut self) -> Socket {
        self.0.take().expect("taken only here, which consumes the leg")
    }

    /// Whether the peer has ended its stream and nothing before that is left to be read.
    pub fn has_ended(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        matches!(self.socket().peek(&mut byte), Ok(0))
    }

    /// Waits until the connection is made.
    pub async fn connected(&self, deadline: Instant) -> io::Result<()> {
        self.ready(libc::POLLOUT, deadline).await?;
        self.socket().take_error()?.map_or(Ok(()), Err)
    }

    /// Appends what has arrived to `input`, waiting for it until `deadline`. 0 is the end of the stream.
    pub async fn read(&self, input: &mut BytesMut, deadline: Instant) -> io::Result<usize> {
        loop {
            let before = input.len();
            input.resize(before + READ_SIZE, 0);
            let result = self.socket().read(&mut input[before..]);
            input.truncate(before + result.as_ref().map_or(0, |count| *count));
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready(libc::POLLIN | libc::POLLRDHUP, deadline).await?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Writes all of `bytes`, waiting until `deadline` for the peer to take them.
    pub async fn write_all(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.socket().send_with_flags(bytes, libc::MSG_NOSIGNAL) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.ready(libc::POLLOUT, deadline).await?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says good-bye: ends our stream, then reads and drops what still comes, at most `linger` long and 64 KiB,
    /// until the client has closed. Closing at once would send RST, and the client's kernel would throw away
    /// what it was told.
    pub async fn linger(self, linger: Duration) {
        let deadline = Instant::now() + linger;
        if self.socket().shutdown(Shutdown::Write).is_err() {
            return;
        }
        let mut dropped = BytesMut::new();
        let mut total = 0;
        while let Ok(count @ 1..) = self.read(&mut dropped, deadline).await {
            total += count;
            dropped.clear();
            if total > LINGER_BYTES_MAX {
                return;
            }
        }
    }

    async fn ready(&self, events: i16, deadline: Instant) -> io::Result<()> {
        let poll = opcode::PollAdd::new(Fd(self.socket().as_raw_fd()), events as u32).build();
        let ready = UnsubmittedOneshot::new((), Ready, poll).submit();
        timed(ready, deadline).await?
    }
}

/// Connects from inside a container. Its few local ports, 28,000, are used up within seconds by clients that come and go:
/// the end that closes first keeps its port for a minute (TIME_WAIT), and the kernel then looks through all of them
/// for each connection. A port that was bound may be taken over from such a connection at once, as its timestamps
/// tell the two apart (tcp_twsk_unique, net/ipv4/tcp_ipv4.c). One that is in use is not to be had; the next one is tried.
fn connect_inside(namespace: &NetNamespace, address: SocketAddr, tcp: &TcpConfig) -> io::Result<Leg> {
    let domain = Domain::for_address(address);
    let any: IpAddr =
        if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    for _ in 0..PORT_TRIES {
        let socket = namespace.tcp_socket(domain)?;
        socket.set_reuse_address(true)?;
        let bound = socket.bind(&SocketAddr::new(any, namespace.next_local_port()).into());
        match bound.and_then(|()| begin_to_connect(socket, address, tcp)) {
            Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) => {}
            result => return result,
        }
    }
    begin_to_connect(namespace.tcp_socket(domain)?, address, tcp)
}

fn begin_to_connect(socket: Socket, address: SocketAddr, tcp: &TcpConfig) -> io::Result<Leg> {
    configure(&socket, tcp)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(Leg::new(socket)),
    }
}

/// How many local ports are tried before the kernel is left to find one.
const PORT_TRIES: u32 = 8;

impl Drop for Leg {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            // Fails only where there is no connection any more.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

async fn timed<T>(future: impl Future<Output = T>, deadline: Instant) -> io::Result<T> {
    tokio::time::timeout_at(deadline, future).await.map_err(|_| io::ErrorKind::TimedOut.into())
}

/// The result of a poll is only that it is over: the system call that follows finds out the rest.
struct Ready;

impl OneshotOutputTransform for Ready {
    type Output = io::Result<()>;
    type StoredData = ();

    fn transform_oneshot_output(self, (): (), completion: cqueue::Entry) -> io::Result<()> {
        match completion.result() {
            error @ ..0 => Err(io::Error::from_raw_os_error(-error)),
            _ => Ok(()),
        }
    }
}
