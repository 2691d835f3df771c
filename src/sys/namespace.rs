//! Sockets inside a container's network namespace (setns(2), network_namespaces(7)).
//!
//! A socket belongs for life to the namespace that its thread was in when it was made. So the thread goes in for
//! one socket(2) and comes back: everything else, connect(2) too, works from outside.

use std::io;
use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use socket2::{Domain, Protocol, Socket, Type};

/// A network namespace that can be entered. Holding it keeps the namespace alive, not what runs in it.
#[derive(Debug)]
pub struct NetNamespace {
    file: OwnedFd,
    /// Device and inode: the same for two handles of the same namespace.
    id: (u64, u64),
    /// Counts through the local ports.
    port: AtomicU32,
}

/// The kernel's default of `net.ipv4.ip_local_port_range`.
const LOCAL_PORTS: RangeInclusive<u16> = 32_768..=60_999;

impl NetNamespace {
    /// Opens a namespace by a file that stands for it, such as `/proc/PID/ns/net`. Fails if the file is something
    /// else.
    pub fn open(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;

        let file = std::fs::File::open(path)?;
        let metadata = file.metadata()?;
        let file = OwnedFd::from(file);
        // SAFETY: this ioctl takes no argument (ioctl_ns(2)).
        let kind = unsafe { libc::ioctl(file.as_raw_fd(), NS_GET_NSTYPE) };
        if kind != libc::CLONE_NEWNET {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // Another Pierhead on this host begins elsewhere.
        let port = AtomicU32::new(std::process::id().wrapping_mul(7919));
        Ok(NetNamespace { file, id: (metadata.dev(), metadata.ino()), port })
    }

    /// Whether this process may enter network namespaces at all: it needs CAP_SYS_ADMIN, and a seccomp profile that
    /// lets setns(2) through.
    pub fn may_enter() -> io::Result<()> {
        enter(home()?)
    }

    /// A non-blocking, close-on-exec TCP socket inside the namespace.
    ///
    /// # Panics
    /// When the thread cannot come back: everything it did from then on would happen inside a container.
    pub fn tcp_socket(&self, domain: Domain) -> io::Result<Socket> {
        let home = home()?;
        enter(&self.file)?;
        let socket = Socket::new(domain, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP));
        if let Err(error) = enter(home) {
            panic!("the thread is stuck in a container's network namespace: {error}");
        }
        socket
    }

    /// A local port to bind to, each time the next one; after the last one the first.
    pub fn next_local_port(&self) -> u16 {
        let count = LOCAL_PORTS.len() as u32;
        LOCAL_PORTS.start() + (self.port.fetch_add(1, Relaxed) % count) as u16
    }
}

impl PartialEq for NetNamespace {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for NetNamespace {}

/// The namespace that this process was started in.
fn home() -> io::Result<&'static OwnedFd> {
    static HOME: OnceLock<OwnedFd> = OnceLock::new();
    if let Some(home) = HOME.get() {
        return Ok(home);
    }
    let file = std::fs::File::open("/proc/self/ns/net")?;
    Ok(HOME.get_or_init(|| file.into()))
}

fn enter(namespace: &OwnedFd) -> io::Result<()> {
    // SAFETY: setns takes no pointer; it changes the calling thread alone, as CLONE_NEWNET needs no other.
    let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `_IO(0xb7, 0x3)` (linux/nsfs.h): which kind of namespace a file stands for.
const NS_GET_NSTYPE: libc::c_ulong = 0xb703;
