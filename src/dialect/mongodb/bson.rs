//! As much of BSON (<https://bsonspec.org/spec.html>) as it takes to find a field, and to say a few. Reading borrows
//! from the input, allocates nothing and never recurses: a document inside another one is opened only by whoever wants
//! to look into it, and what nobody looks into is no more than a length.

use bytes::{BufMut, BytesMut};

/// A whole document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Document<'a> {
    /// The elements, without the length in front and the zero byte behind.
    elements: &'a [u8],
}

/// One element of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: Value<'a>,
}

/// A value. Only the types that matter here are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A string, without the zero byte behind; UTF-8 if the client keeps to the specification.
    String(&'a [u8]),
    /// Binary data of any subtype.
    Binary(&'a [u8]),
    /// A document.
    Document(Document<'a>),
    /// A 32-bit integer.
    Int(i32),
    /// Anything else.
    Other,
}

/// The bytes are no BSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoBson;

impl<'a> Document<'a> {
    /// The document at the front of `bytes`, and how long it is.
    pub(crate) fn at_front(bytes: &'a [u8]) -> Result<(Self, usize), NoBson> {
        let mut rest = bytes;
        let document = document(&mut rest)?;
        Ok((document, bytes.len() - rest.len()))
    }

    /// Its elements, in their order. The first error is the last item.
    pub(crate) fn elements(self) -> impl Iterator<Item = Result<Element<'a>, NoBson>> {
        let mut rest = self.elements;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let next = element(&mut rest);
            if next.is_err() {
                rest = &[];
            }
            Some(next)
        })
    }
}

/// Takes one element off the front of `rest`.
fn element<'a>(rest: &mut &'a [u8]) -> Result<Element<'a>, NoBson> {
    let [kind] = *take(rest, 1)? else { return Err(NoBson) };
    let key = cstring(rest)?;
    let value = match kind {
        // Null, undefined, and the smallest and the largest key have no value.
        0x06 | 0x0a | 0xff | 0x7f => Value::Other,
        // A boolean.
        0x08 => skip(rest, 1)?,
        0x10 => Value::Int(int(rest)?),
        // A double, a date, a timestamp, a 64-bit integer.
        0x01 | 0x09 | 0x11 | 0x12 => skip(rest, 8)?,
        // An object id.
        0x07 => skip(rest, 12)?,
        // A decimal.
        0x13 => skip(rest, 16)?,
        0x02 => Value::String(string(rest)?),
        // Code and a symbol are strings of another kind.
        0x0d | 0x0e => {
            string(rest)?;
            Value::Other
        }
        0x03 => Value::Document(document(rest)?),
        // An array is a document.
        0x04 => {
            document(rest)?;
            Value::Other
        }
        0x05 => {
            let len = length(rest)?;
            skip(rest, 1)?;
            Value::Binary(take(rest, len)?)
        }
        // A regular expression: pattern and options.
        0x0b => {
            cstring(rest)?;
            cstring(rest)?;
            Value::Other
        }
        // A pointer: namespace and object id.
        0x0c => {
            string(rest)?;
            skip(rest, 12)?
        }
        // Code with a scope; the length counts itself.
        0x0f => {
            let len = length(rest)?;
            skip(rest, len.checked_sub(4).ok_or(NoBson)?)?
        }
        _ => return Err(NoBson),
    };
    Ok(Element { key, value })
}

/// A length that counts itself, elements, and a zero byte.
fn document<'a>(rest: &mut &'a [u8]) -> Result<Document<'a>, NoBson> {
    let len = length(rest)?.checked_sub(4).ok_or(NoBson)?;
    match take(rest, len)? {
        [elements @ .., 0] => Ok(Document { elements }),
        _ => Err(NoBson),
    }
}

/// A length that counts the bytes behind it, the last of which is zero.
fn string<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], NoBson> {
    let len = length(rest)?;
    match take(rest, len)? {
        [text @ .., 0] => Ok(text),
        _ => Err(NoBson),
    }
}

/// Bytes up to the first zero byte.
pub(crate) fn cstring<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], NoBson> {
    let len = rest.iter().position(|byte| *byte == 0).ok_or(NoBson)?;
    let text = take(rest, len)?;
    take(rest, 1)?;
    Ok(text)
}

/// A length: an integer that is not negative.
pub(crate) fn length(rest: &mut &[u8]) -> Result<usize, NoBson> {
    usize::try_from(int(rest)?).map_err(|_| NoBson)
}

/// A little-endian 32-bit integer.
fn int(rest: &mut &[u8]) -> Result<i32, NoBson> {
    let bytes = take(rest, 4)?.try_into().map_err(|_| NoBson)?;
    Ok(i32::from_le_bytes(bytes))
}

fn skip<'a>(rest: &mut &[u8], len: usize) -> Result<Value<'a>, NoBson> {
    take(rest, len).map(|_| Value::Other)
}

/// Takes `len` bytes off the front.
pub(crate) fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], NoBson> {
    let (front, behind) = rest.split_at_checked(len).ok_or(NoBson)?;
    *rest = behind;
    Ok(front)
}

/// A document that is being written.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    elements: BytesMut,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Writer::default()
    }

    pub(crate) fn double(self, key: &str, value: f64) -> Self {
        self.element(0x01, key, &value.to_le_bytes())
    }

    pub(crate) fn int(self, key: &str, value: i32) -> Self {
        self.element(0x10, key, &value.to_le_bytes())
    }

    pub(crate) fn string(self, key: &str, text: &str) -> Self {
        self.element(0x02, key, &[&len_bytes(text.len() + 1)[..], text.as_bytes(), b"\0"].concat())
    }

    pub(crate) fn binary(self, key: &str, bytes: &[u8]) -> Self {
        self.element(0x05, key, &[&len_bytes(bytes.len())[..], b"\0", bytes].concat())
    }

    pub(crate) fn document(self, key: &str, document: Writer) -> Self {
        self.element(0x03, key, &document.finish())
    }

    pub(crate) fn bool(self, key: &str, value: bool) -> Self {
        self.element(0x08, key, &[value.into()])
    }

    /// The whole document.
    pub(crate) fn finish(self) -> BytesMut {
        let mut document = BytesMut::with_capacity(self.elements.len() + 5);
        document.put_slice(&len_bytes(self.elements.len() + 5));
        document.put_slice(&self.elements);
        document.put_u8(0);
        document
    }

    fn element(mut self, kind: u8, key: &str, value: &[u8]) -> Self {
        self.elements.put_u8(kind);
        self.elements.put_slice(key.as_bytes());
        self.elements.put_u8(0);
        self.elements.put_slice(value);
        self
    }
}

/// What we write ourselves is a few hundred bytes.
fn len_bytes(len: usize) -> [u8; 4] {
    (len as i32).to_le_bytes()
}

#[cfg(test)]
mod tests;
