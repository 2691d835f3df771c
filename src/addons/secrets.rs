//! Passwords: made here, kept in one file each, mounted into the container, read for URLs and login checks.
//!
//! In come names; out go files that only root and the engine's user can read. A password is never part of a label,
//! an environment variable or a log line: [`Password`] does not even print itself.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::logins::{Login, Passwords, Role};
pub use super::password::Password;
use crate::dialect::Name;

/// The secrets of all addons: a directory with one directory for each.
#[derive(Clone, Debug)]
pub struct Secrets {
    dir: PathBuf,
}

impl Secrets {
    /// The secrets below `data_dir`. Nothing is made before it is needed.
    pub fn new(data_dir: &Path) -> Self {
        Secrets { dir: data_dir.join("secrets") }
    }

    /// Where they are, whether or not that is there yet.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The password file of an addon.
    pub fn path(&self, name: &Name) -> PathBuf {
        self.dir.join(name.as_str()).join(FILE)
    }

    /// The file that is mounted into the addon's container: the engine's own, where it has one, else the password.
    pub fn mounted(&self, name: &Name) -> io::Result<PathBuf> {
        let own = self.dir.join(name.as_str()).join(ENGINE_FILE);
        Ok(if own.try_exists()? { own } else { self.path(name) })
    }

    /// Whether an addon has a password, and its engine what it needs.
    pub fn exists(&self, name: &Name) -> io::Result<bool> {
        self.path(name).try_exists()
    }

    /// Makes a password, unless there is one, and the file that the engine reads it from where that is another one:
    /// `engine_text` is what that must hold, also after somebody has put another password in its place. Afterwards the
    /// files are on the disk whole, or there is no password, whenever the power fails. `uid` is the engine's user inside
    /// its container, who must be able to read it.
    pub fn ensure(
        &self,
        name: &Name,
        uid: u32,
        engine_text: impl Fn(&Password) -> io::Result<Option<String>>,
    ) -> io::Result<()> {
        let path = self.path(name);
        let dir = self.dir.join(name.as_str());
        for dir in [&self.dir, &dir] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        let known = if path.try_exists()? { Some(self.read(name)?) } else { None };
        let password = known.clone().map_or_else(Password::random, Ok)?;
        let engine_text = engine_text(&password)?;
        if let Some(text) = &engine_text {
            let there = fs::read_to_string(dir.join(ENGINE_FILE)).is_ok_and(|there| there == *text);
            if !there {
                write(&dir, ENGINE_FILE, text, Some(uid))?;
            }
        }
        if known.is_none() {
            // It comes last: if it is there, so is the other. The engine needs but one of them.
            write(&dir, FILE, password.expose(), engine_text.is_none().then_some(uid))?;
            File::open(&self.dir)?.sync_all()?;
        }
        Ok(())
    }

    /// Makes a random key of so many bytes as text (base64 for URLs), in the place of a password, unless there is one.
    pub fn ensure_key(&self, name: &Name, bytes: usize) -> io::Result<()> {
        if self.exists(name)? { Ok(()) } else { self.replace_key(name, bytes) }
    }

    /// Puts another random key in the place of the present one: the file is the old one or the new one, never half of one.
    pub fn replace_key(&self, name: &Name, bytes: usize) -> io::Result<()> {
        self.put(name, &Password::key(bytes)?)
    }

    /// Keeps a password that somebody else has made up.
    pub fn put(&self, name: &Name, password: &Password) -> io::Result<()> {
        let dir = self.dir.join(name.as_str());
        for dir in [&self.dir, &dir] {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        write(&dir, FILE, password.expose(), None)?;
        File::open(&self.dir)?.sync_all()
    }

    /// Where the password of Pierhead's own user of the engine is.
    pub fn superuser_path(&self, name: &Name) -> PathBuf {
        self.dir.join(name.as_str()).join(SUPERUSER_FILE)
    }

    /// The password of Pierhead's own user of the engine, if there is one.
    pub fn superuser(&self, name: &Name) -> io::Result<Option<Password>> {
        read_if_there(&self.superuser_path(name))
    }

    /// Makes that password, unless there is one: `at_any_time`, or only for an addon that has no password itself yet.
    pub fn ensure_superuser(&self, name: &Name, uid: u32, at_any_time: bool) -> io::Result<()> {
        if self.superuser_path(name).try_exists()? || (!at_any_time && self.exists(name)?) {
            return Ok(());
        }
        let dir = self.dir.join(name.as_str());
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        write(&dir, SUPERUSER_FILE, Password::random()?.expose(), Some(uid))
    }

    /// The passwords of a login, as far as there are any.
    pub fn passwords(&self, login: &Login) -> io::Result<Passwords> {
        let (present, next) = self.files(login);
        // In this order: the next one takes the place of the present one before it is removed.
        let next = read_if_there(&next)?;
        Ok(Passwords { present: read_if_there(&present)?, next })
    }

    /// Makes the first password of a login, unless there is one.
    pub fn make_first(&self, login: &Login) -> io::Result<()> {
        self.make(&self.files(login).0)
    }

    /// Makes the next password of a login, unless there is one.
    pub fn make_next(&self, login: &Login) -> io::Result<()> {
        self.make(&self.files(login).1)
    }

    /// Puts the next password in the place of the present one. `uid` is the engine's user, who must be able to read the
    /// application's.
    pub fn replace(&self, login: &Login, uid: u32) -> io::Result<()> {
        let (present, next) = self.files(login);
        let Some(password) = read_if_there(&next)? else { return Ok(()) };
        let dir = self.dir.join(login.addon.as_str());
        let is_mounted = login.role == Role::Application && !dir.join(ENGINE_FILE).try_exists()?;
        write_as(&dir, &present, password.expose(), is_mounted.then_some(uid))?;
        remove_if_there(&next)?;
        File::open(&dir)?.sync_all()
    }

    /// Removes the passwords of a further login.
    pub fn remove_login(&self, login: &Login) -> io::Result<()> {
        let (present, next) = self.files(login);
        remove_if_there(&next)?;
        remove_if_there(&present)
    }

    fn make(&self, path: &Path) -> io::Result<()> {
        if path.try_exists()? {
            return Ok(());
        }
        let dir = path.parent().unwrap_or(&self.dir);
        write_as(dir, path, Password::random()?.expose(), None)
    }

    fn files(&self, login: &Login) -> (PathBuf, PathBuf) {
        let dir = self.dir.join(login.addon.as_str());
        let name = match &login.role {
            Role::Application => FILE.to_owned(),
            Role::Bound(role) => format!("role.{role}"),
        };
        let next = dir.join(format!("{name}.next"));
        (dir.join(name), next)
    }

    /// Reads the password of an addon.
    pub fn read(&self, name: &Name) -> io::Result<Password> {
        fs::read_to_string(self.path(name)).map(Password::new)
    }

    /// Removes the password of an addon, if there is one, and everything beside it.
    pub fn remove(&self, name: &Name) -> io::Result<()> {
        match fs::remove_dir_all(self.dir.join(name.as_str())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => File::open(&self.dir)?.sync_all(),
        }
    }
}

/// Makes a file, or makes it anew, as a whole. With a `uid`, that one may read it.
fn write(dir: &Path, file_name: &str, text: &str, uid: Option<u32>) -> io::Result<()> {
    let unfinished = dir.join(UNFINISHED);
    remove_if_there(&unfinished)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(text.as_bytes())?;
    if let Some(uid) = uid {
        make_readable_for(&file, uid)?;
    }
    file.sync_all()?;
    fs::rename(&unfinished, dir.join(file_name))?;
    File::open(dir)?.sync_all()
}

fn write_as(dir: &Path, path: &Path, text: &str, uid: Option<u32>) -> io::Result<()> {
    let file_name = path.file_name().and_then(|name| name.to_str());
    write(dir, file_name.ok_or(io::ErrorKind::InvalidInput)?, text, uid)
}

fn read_if_there(path: &Path) -> io::Result<Option<Password>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(Password::new(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Lets the engine inside the container, which runs as `uid`, read the password. Giving a file away needs
/// CAP_CHOWN. Without it everybody may read the file, as far as they can reach it: on this host the directory above
/// is closed to all but Pierhead, and in the container it is the only file that is mounted.
fn make_readable_for(file: &File, uid: u32) -> io::Result<()> {
    match std::os::unix::fs::fchown(file, Some(uid), None) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            file.set_permissions(Permissions::from_mode(0o444))
        }
        result => result,
    }
}

const FILE: &str = "password";
const ENGINE_FILE: &str = "engine";
const SUPERUSER_FILE: &str = "superuser";
const UNFINISHED: &str = ".password.new";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_password_is_made_once_and_for_the_engine_only() {
        let dir = TempDir::new().unwrap();
        let (secrets, name) = (Secrets::new(dir.path()), Name::parse("blog").unwrap());
        assert!(!secrets.exists(&name).unwrap());
        let me = dir.path().metadata().unwrap().uid();
        secrets.ensure(&name, me, |_| Ok(None)).unwrap();
        let password = secrets.read(&name).unwrap();
        secrets.ensure(&name, me, |_| Ok(None)).unwrap();
        assert_eq!(secrets.read(&name).unwrap(), password);

        let text = password.expose();
        assert!(text.len() >= 32 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        assert!(!format!("{password:?}").contains(text));
        assert_eq!(secrets.mounted(&name).unwrap(), secrets.path(&name));
        let file = secrets.path(&name).metadata().unwrap();
        assert_eq!((file.mode() & 0o777, file.uid()), (0o600, me));
        assert_eq!(secrets.path(&name).parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);

        let other = Name::parse("shop").unwrap();
        secrets.ensure(&other, me, |_| Ok(None)).unwrap();
        assert_ne!(secrets.read(&other).unwrap(), password);
        secrets.remove(&name).unwrap();
        secrets.remove(&name).unwrap();
        assert!(!secrets.exists(&name).unwrap() && secrets.exists(&other).unwrap());
    }

    #[test]
    fn a_half_written_password_is_none() {
        let dir = TempDir::new().unwrap();
        let (secrets, name) = (Secrets::new(dir.path()), Name::parse("blog").unwrap());
        fs::create_dir_all(dir.path().join("secrets/blog")).unwrap();
        fs::write(dir.path().join("secrets/blog").join(UNFINISHED), "half").unwrap();
        assert!(!secrets.exists(&name).unwrap());
        secrets.ensure(&name, dir.path().metadata().unwrap().uid(), |_| Ok(None)).unwrap();
        assert_eq!(secrets.read(&name).unwrap().expose().len(), 40);
        assert!(!dir.path().join("secrets/blog").join(UNFINISHED).exists());
    }

    #[test]
    fn an_engine_that_reads_another_file_gets_that_one_only() {
        let dir = TempDir::new().unwrap();
        let (secrets, name) = (Secrets::new(dir.path()), Name::parse("blog").unwrap());
        let me = dir.path().metadata().unwrap().uid();
        // A crash between the two files: neither counts.
        fs::create_dir_all(dir.path().join("secrets/blog")).unwrap();
        fs::write(dir.path().join("secrets/blog").join(ENGINE_FILE), "old").unwrap();
        assert!(!secrets.exists(&name).unwrap());
        secrets.ensure(&name, me, |password| Ok(Some(format!("user blog >{}", password.expose())))).unwrap();
        let password = secrets.read(&name).unwrap();
        let mounted = secrets.mounted(&name).unwrap();
        assert_ne!(mounted, secrets.path(&name));
        assert_eq!(fs::read_to_string(&mounted).unwrap(), format!("user blog >{}", password.expose()));
        for file in [&mounted, &secrets.path(&name)] {
            assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        }

        // Another password that somebody has put there is what both hold from then on.
        fs::write(secrets.path(&name), "sesame").unwrap();
        secrets.ensure(&name, me, |password| Ok(Some(format!("user blog >{}", password.expose())))).unwrap();
        assert_eq!(fs::read_to_string(&mounted).unwrap(), "user blog >sesame");
        assert_eq!(secrets.read(&name).unwrap().expose(), "sesame");
    }
}
