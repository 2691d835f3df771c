//! Certificates for containers, made with openssl(1).

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// The zone of all host names here. Nobody resolves them: clients are told the address.
pub const ZONE: &str = "db.test";

/// A directory with a key and a certificate for one name, to be mounted at [`MOUNTED`].
pub struct Certificate {
    dir: TempDir,
}

/// Where a container finds its certificate.
pub const MOUNTED: &str = "/tls";

impl Certificate {
    /// For the host `name` of the zone. It is signed by itself, so it is its own authority too.
    pub fn new(name: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let path = |file: &str| dir.path().join(file);
        let mut command = Command::new("openssl");
        command.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '));
        command.arg("-subj").arg(format!("/CN={name}"));
        command.arg("-addext").arg(format!("subjectAltName=DNS:{name}.{ZONE}"));
        command.arg("-keyout").arg(path("server.key")).arg("-out").arg(path("server.crt"));
        let made = command.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // As the image's postgres, who must own it; openssl has made it readable for its owner only.
        std::os::unix::fs::chown(path("server.key"), Some(999), Some(999)).unwrap();
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Certificate { dir }
    }

    /// What clients must trust.
    pub fn authority(&self) -> String {
        self.path("server.crt").to_str().unwrap().to_owned()
    }

    /// A file in the container's directory.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// The argument of `docker run -v`.
    pub fn volume(&self) -> String {
        format!("{}:{MOUNTED}:ro", self.dir.path().display())
    }
}
