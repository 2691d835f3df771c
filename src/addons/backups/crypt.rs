//! Encryption to age recipients. The crate's readers and writers block, so each file has a thread of its own meanwhile.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use bytes::Bytes;
use tokio::sync::mpsc;

/// A file, encrypted to these recipients, chunk by chunk. The last item is an error if it is not whole.
pub fn encrypt(path: PathBuf, recipients: Vec<age::x25519::Recipient>) -> mpsc::Receiver<io::Result<Bytes>> {
    in_thread(move |to| {
        let recipients = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
        let mut to = encryptor.wrap_output(to)?;
        io::copy(&mut File::open(path)?, &mut to)?;
        to.finish()?.flush()
    })
}

/// A file, decrypted with the identity in another.
pub fn decrypt(path: PathBuf, identity_file: PathBuf) -> mpsc::Receiver<io::Result<Bytes>> {
    in_thread(move |mut to| {
        let cannot = |error: io::Error| {
            io::Error::other(format!("the identity in {} cannot be read: {error}", identity_file.display()))
        };
        let text = std::fs::read(&identity_file).map_err(cannot)?;
        let identities = age::IdentityFile::from_buffer(&text[..]).map_err(cannot)?;
        let identities = identities.into_identities().map_err(|error| cannot(io::Error::other(error)))?;
        let decryptor =
            age::Decryptor::new_buffered(io::BufReader::new(File::open(path)?)).map_err(io::Error::other)?;
        let identities = identities.iter().map(|identity| &**identity as &dyn age::Identity);
        let mut from = decryptor.decrypt(identities).map_err(io::Error::other)?;
        let mut buffer = vec![0; CHUNK_LEN];
        loop {
            match from.read(&mut buffer)? {
                0 => return to.flush(),
                len => to.write_all(&buffer[..len])?,
            }
        }
    })
}

fn in_thread(
    work: impl FnOnce(Chunks) -> io::Result<()> + Send + 'static,
) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let to = Chunks { sender: sender.clone(), buffer: Vec::with_capacity(CHUNK_LEN) };
    tokio::task::spawn_blocking(move || {
        if let Err(error) = work(to) {
            // Nobody is listening any more: then nobody needs to know.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// Collects what is written into chunks.
struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK_LEN {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::take(&mut self.buffer);
        if chunk.is_empty() {
            return Ok(());
        }
        self.sender.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

const CHUNK_LEN: usize = 64 * 1024;
const CHUNKS: usize = 4;

#[cfg(test)]
mod tests {
    use age::secrecy::ExposeSecret;
    use tempfile::TempDir;

    use super::*;

    async fn all(mut chunks: mpsc::Receiver<io::Result<Bytes>>) -> io::Result<Vec<u8>> {
        let mut bytes = vec![];
        while let Some(chunk) = chunks.recv().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes)
    }

    #[tokio::test]
    async fn what_is_encrypted_comes_back_with_the_identity_and_with_no_other() {
        let dir = TempDir::new().unwrap();
        let path = |name: &str| dir.path().join(name);
        let plain: Vec<u8> = (0..300_000u32).map(|n| (n * 7) as u8).collect();
        std::fs::write(path("plain"), &plain).unwrap();
        let (right, wrong) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
        for (name, identity) in [("right", &right), ("wrong", &wrong)] {
            std::fs::write(path(name), identity.to_string().expose_secret()).unwrap();
        }
        let encrypted = all(encrypt(path("plain"), vec![right.to_public()])).await.unwrap();
        assert!(encrypted.starts_with(b"age-encryption.org/v1"));
        std::fs::write(path("age"), &encrypted).unwrap();
        assert_eq!(all(decrypt(path("age"), path("right"))).await.unwrap(), plain);
        assert!(all(decrypt(path("age"), path("wrong"))).await.is_err());
        std::fs::write(path("cut"), &encrypted[..encrypted.len() - 20]).unwrap();
        assert!(all(decrypt(path("cut"), path("right"))).await.is_err());
        let error = all(decrypt(path("age"), path("none"))).await.unwrap_err();
        assert!(error.to_string().contains("none"), "{error}");
    }
}
