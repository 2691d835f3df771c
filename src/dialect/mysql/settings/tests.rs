use super::super::packet::Reader;
use super::*;

fn settings(flavour: Flavour, version: &str) -> Settings {
    let version = Version::try_from(version.to_owned()).unwrap();
    let random = Random(|bytes| {
        bytes.iter_mut().enumerate().for_each(|(n, byte)| *byte = (n * 13) as u8);
        Ok(())
    });
    Settings::new(Some(flavour), Some(version), random)
}

/// The version, the flags and the plugin of a greeting, checked for being one.
fn parts(settings: &Settings) -> (String, u32, u32, String) {
    let greeting = settings.greeting().unwrap();
    let mut reader = Reader(&greeting);
    assert_eq!(reader.u32().unwrap() as usize, greeting.len() - 4, "sequence number 0");
    assert_eq!(reader.u8(), Some(10));
    let version = String::from_utf8(reader.string().unwrap().to_vec()).unwrap();
    assert!((0x7fff_ff00..=0x7fff_ffff).contains(&reader.u32().unwrap()));
    let mut nonce = reader.bytes(8).unwrap().to_vec();
    assert_eq!(reader.u8(), Some(0));
    let low = u32::from(reader.u16().unwrap());
    assert_eq!(reader.u8(), Some(settings.collation));
    assert_eq!(reader.u16(), Some(2));
    let flags = low | u32::from(reader.u16().unwrap()) << 16;
    assert_eq!(reader.u8(), Some(21));
    assert_eq!(reader.bytes(6), Some(&[0; 6][..]));
    let mariadb = reader.u32().unwrap();
    nonce.extend(reader.string().unwrap());
    assert!(nonce.len() == 20 && nonce.iter().all(|byte| matches!(byte, b' '..=b'~')), "{nonce:?}");
    let plugin = String::from_utf8(reader.string().unwrap().to_vec()).unwrap();
    assert!(reader.0.is_empty());
    (version, flags, mariadb, plugin)
}

#[test]
fn the_greeting_is_that_of_the_flavour_and_version() {
    let (native, sha2) = ("mysql_native_password".to_owned(), "caching_sha2_password".to_owned());
    let cases = [
        (Flavour::Mariadb, "10.11.6", "5.5.5-10.11.6-MariaDB", 0x01ff_f7fe, 0x1d, &native),
        (Flavour::Mariadb, "10.5.2-log", "5.5.5-10.5.2-log-MariaDB", 0x01ff_f7fe, 0x0d, &native),
        (Flavour::Mariadb, "10.5.1", "5.5.5-10.5.1-MariaDB", 0x01ff_f7fe, 0x05, &native),
        (Flavour::Mariadb, "10.1.48", "5.5.5-10.1.48-MariaDB", 0x007f_f7fe, 0, &native),
        (Flavour::Mariadb, "11.8.3-MariaDB-ubu2404", "11.8.3-MariaDB-ubu2404", 0x01ff_f7fe, 0x1d, &native),
        (Flavour::Mysql, "9.7.4", "9.7.4", 0x01ff_f7ff, 0, &sha2),
        (Flavour::Mysql, "5.7.44", "5.7.44", 0x01ff_f7ff, 0, &native),
        (Flavour::Mysql, "5.6.51", "5.6.51", 0x007f_f7ff, 0, &native),
    ];
    for (flavour, version, shown, flags, mariadb, plugin) in cases {
        let expected = (shown.to_owned(), flags, mariadb, plugin.clone());
        assert_eq!(parts(&settings(flavour, version)), expected);
    }
    let default = Settings::new(None, None, Random(|_| Ok(())));
    assert_eq!(parts(&default).0, "5.5.5-10.11.0-MariaDB");
    assert_eq!(parts(&Settings::new(Some(Flavour::Mysql), None, default.random)).0, "8.4.0");
}

#[test]
fn where_tls_is_offered_a_plugin_is_named_that_wrong_hashes_do_no_harm_to() {
    let with_tls = |flavour| settings(flavour, "10.11.6").offering(StartTls::Passthrough(None));
    for (flavour, flags) in [(Flavour::Mariadb, 0x01ff_fffe), (Flavour::Mysql, 0x01ff_ffff)] {
        let (_, offered, _, plugin) = parts(&with_tls(flavour));
        assert_eq!((offered, &*plugin), (flags, "caching_sha2_password"));
    }
    let without = settings(Flavour::Mariadb, "10.11.6");
    assert_eq!(parts(&without.clone().offering(StartTls::Off)), parts(&without));
}

#[test]
fn no_randomness_no_greeting() {
    let broken = Random(|_| Err(io::ErrorKind::Unsupported.into()));
    assert!(Settings::new(None, None, broken).greeting().is_err());
}

#[test]
fn a_version_is_three_numbers() {
    for bad in ["", "10", "10.11", "10.11.x", "10.11.6.1", "+1.2.3", "1.2.70000", "1.2.3 x", "1.2.3-\u{e4}"] {
        assert!(Version::try_from(bad.to_owned()).unwrap_err().contains("expected one such as"), "{bad}");
    }
    assert!(Version::try_from(format!("1.2.3-{}", "x".repeat(55))).is_err());
}
