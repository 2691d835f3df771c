//! The data of Redis and Valkey as an RDB file. No running server can be made to read one, so the file is laid out on the
//! volume as what the next start reads, looked at by the engine's own check, and changed for the present files when the
//! server ends. These stay beside it until a login succeeds.

use super::archive::{Archive, Ends, Swap};

/// How the data of one of the two are written out and read in, by its client and its check program.
pub(super) fn archive(client: &'static str, check: &'static str) -> Archive {
    let run = |text: &str| {
        let script = format!("{COMMON}\n{text}");
        ["sh", "-c", &script, "archive", Archive::LOGIN, client, check].map(str::to_owned).to_vec()
    };
    Archive {
        format: "RDB file",
        extension: "rdb",
        export: run(EXPORT),
        import: run(LAY_OUT),
        import_prefix: String::new(),
        atomic: true,
        swap: Some(Swap { swap: run(SWAP), undo: run(UNDO), forget: run(FORGET) }),
        edit: None,
        password_variable: "REDISCLI_AUTH",
        check: is_whole,
    }
}

/// An RDB file ends with an end mark and a checksum of eight bytes.
fn is_whole(ends: Ends<'_>) -> Result<(), &'static str> {
    let begins = ends.head.starts_with(b"REDIS0") || ends.head.starts_with(b"VALKEY");
    let mark = ends.tail.len().checked_sub(CHECKSUM_LEN + 1).and_then(|at| ends.tail.get(at));
    match (begins, mark) {
        (false, _) => Err("it does not begin as an RDB file does"),
        (true, Some(0xff)) => Ok(()),
        (true, _) => Err("its end is missing"),
    }
}

const CHECKSUM_LEN: usize = 8;

/// `$1` logs in, `$2` is the client, `$3` the check. `item` is what a start reads: the directory of a multi-part
/// append-only file (from 7 on), the one file that it was before, or the RDB file where there is no append-only file.
const COMMON: &str = r#"set -eu
cli() { "$client" -h 127.0.0.1 --user "$login" "$@"; }
setting() { cli CONFIG GET "$1" | sed -n 2p; }
login=$1 client=$2 check=$3 place=pierhead-import"#;

/// A copy of one moment. A failure of the client is an answer that is none of the expected ones.
const EXPORT: &str = r#"info() { cli INFO persistence | tr -d '\r' | sed -n "s/^$1://p"; }
until answer=$(cli BGSAVE) && [ "$answer" = "Background saving started" ]; do
    case $answer in
        *"already in progress"* | *"child process is active"*) sleep 0.2 ;;
        *) echo "$answer" >&2; exit 1 ;;
    esac
done
while [ "$(info rdb_bgsave_in_progress)" = 1 ]; do sleep 0.1; done
[ "$(info rdb_last_bgsave_status)" = ok ] || { echo "the server could not write its data down; its log says why" >&2; exit 1; }
cd "$(setting dir)"
exec cat "$(setting dbfilename)""#;

/// Nothing that a start would read is touched.
const LAY_OUT: &str = r#"cd "$(setting dir)"
rm -rf "$place"
trap 'rm -rf "$place"' EXIT
mkdir -m 700 "$place" "$place/new"
cat >"$place/rdb"
"$check" "$place/rdb" >"$place/said" 2>&1 || { grep -A1 -e 'ERROR' -e "Can't" "$place/said" || tail -n 3 "$place/said"; exit 1; }
if [ "$(setting appendonly)" != yes ]; then
    item=$(setting dbfilename)
    mv "$place/rdb" "$place/new/$item"
elif item=$(setting appenddirname) && [ -n "$item" ]; then
    name=$(setting appendfilename)
    mkdir -m 700 "$place/new/$item"
    mv "$place/rdb" "$place/new/$item/$name.1.base.rdb"
    echo "file $name.1.base.rdb seq 1 type b" >"$place/new/$item/$name.manifest"
else
    item=$(setting appendfilename)
    mv "$place/rdb" "$place/new/$item"
fi
echo "$item" >"$place/item"
chown -R "$(stat -c %u:%g .)" "$place"
sync
trap - EXIT"#;

/// Ends the server, whose container is started again. It must not write its data down under the names of the new ones.
const SWAP: &str = r#"cd "$(setting dir)"
item=$(cat "$place/item")
cli CONFIG SET save '' auto-aof-rewrite-percentage 0 >/dev/null
mkdir "$place/before"
[ ! -e "$item" ] || mv -T "$item" "$place/before/$item"
mv -T "$place/new/$item" "$item"
sync
answer=$(cli SHUTDOWN NOSAVE) || true
[ -z "$answer" ] || { echo "$answer"; exit 1; }"#;

/// Run in a container of its own, whose directory is the volume's: the server does not come up. Can be repeated.
const UNDO: &str = r#"[ -d "$place/before" ] || { rm -rf "$place"; exit 0; }
item=$(cat "$place/item")
if [ -e "$place/before/$item" ]; then
    until rm -rf "$item" && mv -T "$place/before/$item" "$item"; do sleep 0.1; done
elif [ ! -e "$place/new/$item" ]; then
    rm -rf "$item"
fi
rm -rf "$place"
sync"#;

const FORGET: &str = r#"cd "$(setting dir)"
rm -rf "$place""#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_whole() {
        let rdb = b"REDIS0010\xfa\x09redis-ver\x067.0.15\xff12345678";
        let ends = |bytes: &'static [u8]| Ends { head: bytes, tail: bytes };
        assert_eq!(is_whole(ends(rdb)), Ok(()));
        assert!(is_whole(ends(&rdb[..rdb.len() - 1])).is_err());
        assert!(is_whole(ends(b"REDIS0010")).is_err() && is_whole(ends(b"")).is_err());
        assert!(is_whole(ends(b"PGDMP\xff12345678")).is_err());
    }
}
