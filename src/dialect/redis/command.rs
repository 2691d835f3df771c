//! One command off the front of a client's bytes, as the server reads it before a login
//! (`processMultibulkBuffer`, `processInlineBuffer` in `networking.c`, `sdssplitargs` in `sds.c`).

use std::borrow::Cow;

use super::fault::Fault;
use crate::dialect::words::LineEnd;

/// A whole command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Command<'a> {
    /// Its name and arguments. Empty for an empty line and for `*0`, which the server skips without a word.
    pub(super) args: Vec<Cow<'a, [u8]>>,
    /// How many bytes it takes up in the input.
    pub(super) len: usize,
}

/// Reads the command that `input` begins with: `None` if it is not there as a whole yet. `line_end` is kept between the
/// calls for one input.
pub(super) fn parse<'a>(input: &'a [u8], line_end: &mut LineEnd) -> Result<Option<Command<'a>>, Fault> {
    match input.first() {
        None => Ok(None),
        Some(b'*') => parse_array(input),
        Some(_) => parse_line(input, line_end),
    }
}

/// `*N\r\n` and then N times `$LEN\r\n`, LEN bytes, `\r\n`. The server looks at none of the `\n`, nor at the two
/// bytes behind an argument.
fn parse_array(input: &[u8]) -> Result<Option<Command<'_>>, Fault> {
    let Some((count, mut at)) = number(input, 1).ok_or(Fault::ArrayLength)? else { return Ok(None) };
    if count > i64::from(i32::MAX) {
        return Err(Fault::ArrayLength);
    }
    if count > ARGS_MAX {
        return Err(Fault::TooManyArguments);
    }
    let mut args = Vec::with_capacity(count.max(0) as usize);
    for _ in 0..count {
        match input.get(at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(&byte) => return Err(Fault::NoBulk(byte)),
        }
        let Some((len, start)) = number(input, at + 1).ok_or(Fault::BulkLength)? else { return Ok(None) };
        if !(0..=BULK_LEN_MAX).contains(&len) {
            return Err(Fault::BulkLength);
        }
        if len > ARG_LEN_MAX {
            return Err(Fault::TooLongArgument);
        }
        let end = start + len as usize;
        if input.len() < end + 2 {
            return Ok(None);
        }
        args.push(input[start..end].into());
        at = end + 2;
    }
    Ok(Some(Command { args, len: at }))
}

/// The number at `at`, and where the line behind it begins. `Some(None)`: its line is not there yet; `None`: no
/// number. As strict as the server's `string2ll`: no sign but `-`, no leading zero, no space.
fn number(input: &[u8], at: usize) -> Option<Option<(i64, usize)>> {
    let rest = input.get(at..).unwrap_or_default();
    let Some(len) = rest.iter().take(NUMBER_LEN_MAX + 1).position(|&byte| byte == b'\r') else {
        return (rest.len() <= NUMBER_LEN_MAX).then_some(None);
    };
    let digits = &rest[..len];
    let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
    let strict = match unsigned {
        b"0" => unsigned.len() == digits.len(),
        [b'1'..=b'9', ..] => unsigned.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let number = std::str::from_utf8(digits).ok().filter(|_| strict)?.parse().ok()?;
    let next = at + len + 2;
    Some((input.len() >= next).then_some((number, next)))
}

/// A line of words, as a person would type it.
fn parse_line<'a>(input: &'a [u8], line_end: &mut LineEnd) -> Result<Option<Command<'a>>, Fault> {
    let Some(end) = line_end.find(input) else { return Ok(None) };
    let line = input[..end].strip_suffix(b"\r").unwrap_or(&input[..end]);
    // The server never finds the end of such a line.
    if line.contains(&0) {
        return Err(Fault::NulByte);
    }
    let mut args = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.iter().position(|byte| !is_space(*byte)) {
        rest = &rest[start..];
        args.push(word(&mut rest).ok_or(Fault::Quotes)?);
    }
    Ok(Some(Command { args, len: end + 1 }))
}

/// Takes one word off the front of `rest`. Quotes may begin anywhere in it, but end it. `None` if they do not end,
/// or not there.
fn word<'a>(rest: &mut &'a [u8]) -> Option<Cow<'a, [u8]>> {
    let line = *rest;
    let is_end = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let plain = line.iter().position(|byte| is_end(byte) || matches!(byte, b'"' | b'\''));
    let plain = plain.unwrap_or(line.len());
    let (word, behind) = line.split_at(plain);
    *rest = behind;
    match behind.first() {
        Some(quote @ (b'"' | b'\'')) => {
            let mut word = word.to_vec();
            *rest = unquote(*quote, &behind[1..], &mut word)?;
            rest.first().is_none_or(|byte| is_space(*byte)).then_some(word.into())
        }
        _ => Some(word.into()),
    }
}

/// Appends what stands before the closing quote to `word`, and returns what stands behind it.
fn unquote<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, behind) = match (quote, rest) {
            (_, []) => return None,
            (_, [byte, behind @ ..]) if *byte == quote => return Some(behind),
            (b'"', [b'\\', b'x', high, low, behind @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex_digit(*high) << 4 | hex_digit(*low), behind)
            }
            (b'"', [b'\\', escaped, behind @ ..]) => (unescape(*escaped), behind),
            (b'\'', [b'\\', b'\'', behind @ ..]) => (b'\'', behind),
            (_, [byte, behind @ ..]) => (*byte, behind),
        };
        word.push(byte);
        rest = behind;
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

/// The value of a character that is a hexadecimal digit.
fn hex_digit(digit: u8) -> u8 {
    char::from(digit).to_digit(16).unwrap_or_default() as u8
}

/// The C library's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The server's limits for clients that have not logged in (CVE-2021-32675).
const ARGS_MAX: i64 = 10;
const ARG_LEN_MAX: i64 = 16384;

/// The default of the server's `proto-max-bulk-len`: beyond it the same length is wrong in another way.
const BULK_LEN_MAX: i64 = 512 << 20;

/// The most digits, with a sign, that a number can have.
const NUMBER_LEN_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn args(input: &[u8]) -> Result<Option<Vec<String>>, String> {
        let text = |arg: &Cow<'_, [u8]>| String::from_utf8_lossy(arg).into_owned();
        match parse(input, &mut LineEnd::default()) {
            Ok(None) => Ok(None),
            Ok(Some(command)) => {
                assert!(command.len <= input.len());
                Ok(Some(command.args.iter().map(text).collect()))
            }
            Err(fault) => Err(fault.to_string()),
        }
    }

    #[track_caller]
    fn expect(input: &[u8], words: &[&str]) {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        assert_eq!(args(input), Ok(Some(words)), "{:?}", String::from_utf8_lossy(input));
    }

    /// What redis-server 7.0 made of the same bytes.
    #[test]
    fn arrays() {
        expect(b"*1\r\n$4\r\nPING\r\n", &["PING"]);
        expect(b"*2\r\n$4\r\nAUTH\r\n$0\r\n\r\n*1\r\n", &["AUTH", ""]);
        expect(b"*1\r\n$4\r\nPINGxxPING\r\n", &["PING"]);
        expect(b"*1\rX$4\rXPINGxx", &["PING"]);
        expect(b"*0\r\n", &[]);
        expect(b"*-1\r\n", &[]);
        expect(&[&b"*1\r\n$16384\r\n"[..], &[b'p'; 16386]].concat(), &[&"p".repeat(16384)]);
        for (input, error) in [
            (&b"*x\r\n"[..], "invalid multibulk length"),
            (b"*01\r\n", "invalid multibulk length"),
            (b"*-0\r\n", "invalid multibulk length"),
            (b"*+1\r\n", "invalid multibulk length"),
            (b"*\r\n", "invalid multibulk length"),
            (b"*\0\r\n", "invalid multibulk length"),
            (b"*2147483648\r\n", "invalid multibulk length"),
            (b"*111111111111111111111", "invalid multibulk length"),
            (b"*11\r\n", "unauthenticated multibulk length"),
            (b"*1\r\n$16385\r\n", "unauthenticated bulk length"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$600000000\r\n", "invalid bulk length"),
            (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
            (b"*1\r\n\r\n", "expected '$', got ' '"),
        ] {
            assert_eq!(args(input), Err(format!("Protocol error: {error}")));
        }
    }

    #[test]
    fn lines() {
        expect(b"PING\r\n", &["PING"]);
        expect(b"ping\n", &["ping"]);
        expect(b"\r\n", &[]);
        expect(b" \t \n", &[]);
        expect(b"  auth  blog\tpw \r\n", &["auth", "blog", "pw"]);
        expect(b"au\"th\" blog pw\r\n", &["auth", "blog", "pw"]);
        expect(b"\"\" '' \r\n", &["", ""]);
        expect(
            b"AUTH \"bl\\x6fg\" 'it\\'s \\n' \"\\n\\r\\t\\b\\a\\w\\xfz\"\n",
            &["AUTH", "blog", "it's \\n", "\n\r\t\x08\x07wxfz"],
        );
        expect(b"AUTH\x0bblog \x0b\x0cpw\r\n", &["AUTH\x0bblog", "pw"]);
        expect(b"a\rb\r\r\n", &["a", "b"]);
        for line in
            [&b"\"PING\r\n"[..], b"'PING\r\n", b"\"PI\"NG\r\n", b"'a\\'\n", b"\"a\\\"\n", b"\"a\"'b'\n"]
        {
            assert_eq!(args(line), Err("Protocol error: unbalanced quotes in request".into()), "{line:?}");
        }
        assert!(args(b"AUTH blog p\0w\r\n").is_err());
    }

    #[test]
    fn what_is_not_there_yet_is_waited_for() {
        for whole in [&b"*2\r\n$4\r\nAUTH\r\n$12\r\n0123456789ab\r\n"[..], b"AUTH 'a b'\r\n", b"*-1\r\n"] {
            for cut in 0..whole.len() {
                assert_eq!(args(&whole[..cut]), Ok(None), "{cut}");
            }
            assert_eq!(parse(whole, &mut LineEnd::default()).unwrap().unwrap().len, whole.len());
        }
    }
}
