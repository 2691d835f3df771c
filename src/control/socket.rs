//! The control socket: who may open it may do everything, so it has its mode and group before it has its name.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::config::ControlConfig;

/// The bound control socket. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket that this process has bound.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: u64,
}

/// Why the control socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process answers there.
    #[error("a pierhead answers at {0} already: stop it first, or set another [control] socket")]
    Answered(PathBuf),
    /// Something else is in the way.
    #[error("{0} is there and is no socket: remove it, or set another [control] socket")]
    NoSocket(PathBuf),
    /// The configured group is not known on this host.
    #[error("[control] group {0:?} does not exist on this host: `groupadd --system {0}`, or set another")]
    NoGroup(String),
    /// The system refused.
    #[error("cannot serve {path}: {source}")]
    Io {
        /// The socket's path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ControlSocket {
    /// Binds the socket. The file of a process that is gone is replaced; one that is answered is an error.
    pub fn bind(config: &ControlConfig) -> Result<Self, SocketError> {
        let path = &config.socket;
        let failed = |source| SocketError::Io { path: path.clone(), source };
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(failed)?;
        }
        refuse_if_taken(path)?;
        let gid = config.group.as_deref().map(group_id).transpose()?;
        // Under another name until it is only open to those who may open it; renaming replaces a dead one at once.
        let unfinished = path.with_extension(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&unfinished);
        let listener = UnixListener::bind(&unfinished).map_err(failed)?;
        let finish = || {
            std::os::unix::fs::chown(&unfinished, None, gid)?;
            fs::set_permissions(&unfinished, Permissions::from_mode(config.mode))?;
            listener.set_nonblocking(true)?;
            fs::rename(&unfinished, path)?;
            path.metadata()
        };
        let inode = match finish() {
            Ok(metadata) => metadata.ino(),
            Err(error) => {
                let _ = fs::remove_file(&unfinished);
                return Err(failed(error));
            }
        };
        Ok(ControlSocket { listener, file: SocketFile { path: path.clone(), inode } })
    }

    /// The listening socket, not blocking, and the file that goes when it is dropped.
    pub fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, self.file)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A successor may have put its own there already.
        if self.path.metadata().is_ok_and(|metadata| metadata.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn refuse_if_taken(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketError::NoSocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(SocketError::Answered(path.to_owned())),
        // Nobody has it open: its process is gone.
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Ok(()),
        // Its queue is full, so somebody has it open.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(SocketError::Answered(path.to_owned())),
        Err(error) => Err(failed(error)),
    }
}

/// The number of a group, given as such or by its name in /etc/group.
fn group_id(group: &str) -> Result<u32, SocketError> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let file = fs::read_to_string("/etc/group").unwrap_or_default();
    let found = file.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
        (name == group).then(|| number.parse().ok()).flatten()
    });
    found.ok_or_else(|| SocketError::NoGroup(group.to_owned()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn config(dir: &TempDir) -> ControlConfig {
        ControlConfig { socket: dir.path().join("run/control.sock"), mode: 0o640, ..ControlConfig::default() }
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_refused() {
        let dir = TempDir::new().unwrap();
        let config = config(&dir);
        let live = ControlSocket::bind(&config).unwrap();
        assert_eq!(config.socket.metadata().unwrap().mode() & 0o777, 0o640);
        let error = ControlSocket::bind(&config).unwrap_err();
        assert!(matches!(error, SocketError::Answered(_)), "{error}");

        // As after SIGKILL: the file stays, nobody listens.
        let ControlSocket { listener, file } = live;
        drop(listener);
        std::mem::forget(file);
        let next = ControlSocket::bind(&config).unwrap();
        drop(next);
        assert!(!config.socket.exists());
        assert_eq!(fs::read_dir(config.socket.parent().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let dir = TempDir::new().unwrap();
        let mut config = config(&dir);
        config.socket = dir.path().join("file");
        fs::write(&config.socket, "precious").unwrap();
        assert!(matches!(ControlSocket::bind(&config), Err(SocketError::NoSocket(_))));
        assert_eq!(fs::read(&config.socket).unwrap(), b"precious");
    }

    #[test]
    fn groups_by_number_and_name() {
        assert_eq!(group_id("1234").unwrap(), 1234);
        assert_eq!(group_id("root").unwrap(), 0);
        assert!(group_id("no-such-group").unwrap_err().to_string().contains("groupadd"));
    }

    #[test]
    fn a_successor_keeps_its_socket_when_the_predecessor_goes() {
        let dir = TempDir::new().unwrap();
        let config = config(&dir);
        let ControlSocket { listener, file } = ControlSocket::bind(&config).unwrap();
        drop(listener);
        let _successor = ControlSocket::bind(&config).unwrap();
        drop(file);
        assert!(config.socket.exists());
    }
}
