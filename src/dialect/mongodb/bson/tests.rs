use super::*;

/// A document with these bytes for elements.
fn wrapped(elements: &[u8]) -> Vec<u8> {
    [&(elements.len() as i32 + 5).to_le_bytes()[..], elements, b"\0"].concat()
}

fn values(elements: &[u8]) -> Result<Vec<String>, NoBson> {
    let bytes = wrapped(elements);
    let (document, len) = Document::at_front(&bytes)?;
    assert_eq!(len, bytes.len());
    document.elements().map(|element| element.map(|element| format!("{:?}", element.value))).collect()
}

#[test]
fn every_type_is_as_long_as_it_is() {
    let inner = wrapped(b"\x0aa\0");
    let of_type = |kind: u8, value: &[u8]| [&[kind, b'k', 0][..], value].concat();
    let types = [
        (0x01, vec![0; 8]),
        (0x02, b"\x03\0\0\0ab\0".to_vec()),
        (0x03, inner.clone()),
        (0x04, inner.clone()),
        (0x05, b"\x02\0\0\0\x80ab".to_vec()),
        (0x06, vec![]),
        (0x07, vec![0; 12]),
        (0x08, vec![1]),
        (0x09, vec![0; 8]),
        (0x0a, vec![]),
        (0x0b, b"a.*\0i\0".to_vec()),
        (0x0c, [&b"\x02\0\0\0a\0"[..], &[0; 12]].concat()),
        (0x0d, b"\x02\0\0\0a\0".to_vec()),
        (0x0e, b"\x01\0\0\0\0".to_vec()),
        (0x0f, [&b"\x12\0\0\0\x02\0\0\0a\0"[..], &inner].concat()),
        (0x10, vec![0; 4]),
        (0x11, vec![0; 8]),
        (0x12, vec![0; 8]),
        (0x13, vec![0; 16]),
        (0x7f, vec![]),
        (0xff, vec![]),
    ];
    let behind = b"\x02z\0\x02\0\0\0!\0";
    let all: Vec<u8> = types.iter().flat_map(|(kind, value)| of_type(*kind, value)).collect();
    assert_eq!(values(&[&all[..], behind].concat()).unwrap().len(), types.len() + 1);
    for (kind, value) in &types {
        let seen = values(&[&of_type(*kind, value)[..], behind].concat()).unwrap();
        assert_eq!(seen[1], format!("{:?}", Value::String(b"!")), "{kind:#x}");
        // One byte less is an error, wherever it is missing from the end.
        let short = of_type(*kind, value.get(..value.len().wrapping_sub(1)).unwrap_or_default());
        assert!(value.is_empty() || values(&short).is_err(), "{kind:#x}");
    }
    assert_eq!(values(b"\x05k\0\x02\0\0\0\x80ab").unwrap(), [format!("{:?}", Value::Binary(b"ab"))]);
}

#[test]
fn what_is_no_bson_is_an_error() {
    for bytes in [
        &b""[..],
        b"\x05\0\0",
        b"\x04\0\0\0",
        b"\0\0\0\0\0",
        b"\xff\xff\xff\xff\0",
        b"\x06\0\0\0\0",
        b"\x05\0\0\0\x01",
    ] {
        assert_eq!(Document::at_front(bytes), Err(NoBson), "{bytes:?}");
    }
    for elements in [
        &b"\x0a"[..],
        b"\x0ak",
        b"\x14k\0",
        b"\0k\0",
        b"\x02k\0\0\0\0\0",
        b"\x02k\0\xff\xff\xff\xff\0",
        b"\x02k\0\x02\0\0\0ab",
        b"\x03k\0\x04\0\0\0\0",
        b"\x05k\0\xff\xff\xff\x7f\0",
        b"\x0fk\0\x03\0\0\0",
    ] {
        assert!(values(elements).is_err(), "{elements:?}");
    }
}

#[test]
fn what_is_written_can_be_read() {
    let inner = Writer::new().int("n", -7);
    let written = Writer::new().string("s", "text").binary("b", b"\0\x01").document("d", inner);
    let bytes = written.double("ok", 1.0).bool("t", true).finish();
    let (document, len) = Document::at_front(&bytes).unwrap();
    assert_eq!(len, bytes.len());
    let elements: Vec<_> = document.elements().map(Result::unwrap).collect();
    assert_eq!(elements[0], Element { key: b"s", value: Value::String(b"text") });
    assert_eq!(elements[1], Element { key: b"b", value: Value::Binary(b"\0\x01") });
    let Value::Document(inner) = elements[2].value else { panic!("{:?}", elements[2]) };
    assert_eq!(inner.elements().next(), Some(Ok(Element { key: b"n", value: Value::Int(-7) })));
    assert_eq!(elements[3..].iter().map(|element| element.key).collect::<Vec<_>>(), [&b"ok"[..], b"t"]);
}

#[test]
fn what_nobody_looks_into_is_not_looked_into() {
    let deep = (0..1000).fold(vec![0xee; 3], |inner, _| [b"\x03k\0", &wrapped(&inner)[..]].concat());
    assert_eq!(values(&deep).unwrap().len(), 1);
    let bytes = [wrapped(b""), b"more".to_vec()].concat();
    assert_eq!(Document::at_front(&bytes).unwrap().1, 5);
}
