//! Capability flags: what a client and a server agree on in their first messages. In the greeting and in the response
//! they are 32 bits; MariaDB has another 32, which are valid only if [`CLIENT_MYSQL`] is not set.

/// "I am MySQL", and so know nothing of MariaDB's further flags. (Once: the client hashes passwords the long way.)
pub(super) const CLIENT_MYSQL: u32 = 1;
pub(super) const CONNECT_WITH_DB: u32 = 1 << 3;
const COMPRESS: u32 = 1 << 5;
pub(super) const PROTOCOL_41: u32 = 1 << 9;
pub(super) const SSL: u32 = 1 << 11;
pub(super) const SECURE_CONNECTION: u32 = 1 << 15;
pub(super) const PLUGIN_AUTH: u32 = 1 << 19;
pub(super) const CONNECT_ATTRS: u32 = 1 << 20;
/// The length of the authentication response is a length-encoded integer.
pub(super) const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
const SESSION_TRACK: u32 = 1 << 23;
const DEPRECATE_EOF: u32 = 1 << 24;

/// What every supported server has: bits 0 to 24, but not TLS, which a port has to be told to offer. Servers differ in
/// the higher ones, and a client cannot be told later that its server lacks what the edge has offered.
pub(super) const COMMON: u32 = 0x01ff_ffff & !SSL;
/// What came with MySQL 5.7 and MariaDB 10.2.
pub(super) const FROM_MYSQL_5_7: u32 = SESSION_TRACK | DEPRECATE_EOF;

/// MariaDB's further flags: reports of progress and bulk statements; then metadata of types; then metadata sent once.
pub(super) const MARIADB_10_2: u32 = 0b00101;
pub(super) const MARIADB_10_5: u32 = 0b01101;
pub(super) const MARIADB_10_6: u32 = 0b11101;

/// The names of the flags in `set`, as in the servers' sources.
pub(super) fn names(set: u32) -> String {
    let known = [
        (COMPRESS, "COMPRESS"),
        (PLUGIN_AUTH, "PLUGIN_AUTH"),
        (CONNECT_ATTRS, "CONNECT_ATTRS"),
        (SESSION_TRACK, "SESSION_TRACK"),
        (DEPRECATE_EOF, "DEPRECATE_EOF"),
    ];
    let mut names: Vec<String> =
        known.iter().filter(|(flag, _)| set & flag != 0).map(|(_, name)| (*name).to_owned()).collect();
    let rest = known.iter().fold(set, |rest, (flag, _)| rest & !flag);
    if rest != 0 {
        names.push(format!("0x{rest:x}"));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_named_as_far_as_they_have_a_name_here() {
        assert_eq!(names(DEPRECATE_EOF), "DEPRECATE_EOF");
        assert_eq!(names(SESSION_TRACK | 1 << 16 | 1 << 4), "SESSION_TRACK, 0x10010");
    }
}
