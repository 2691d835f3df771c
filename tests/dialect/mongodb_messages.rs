//! Messages of MongoDB clients, put together byte by byte.

/// An element of a document.
pub fn element(kind: u8, key: &str, value: &[u8]) -> Vec<u8> {
    [&[kind], key.as_bytes(), b"\0", value].concat()
}

pub fn string(key: &str, text: &[u8]) -> Vec<u8> {
    element(0x02, key, &[&(text.len() as i32 + 1).to_le_bytes()[..], text, b"\0"].concat())
}

pub fn binary(key: &str, bytes: &[u8]) -> Vec<u8> {
    element(0x05, key, &[&(bytes.len() as i32).to_le_bytes()[..], b"\0", bytes].concat())
}

pub fn document(elements: &[Vec<u8>]) -> Vec<u8> {
    let elements = elements.concat();
    [&(elements.len() as i32 + 5).to_le_bytes()[..], &elements, b"\0"].concat()
}

pub fn embedded(key: &str, elements: &[Vec<u8>]) -> Vec<u8> {
    element(0x03, key, &document(elements))
}

pub fn one(key: &str) -> Vec<u8> {
    element(0x10, key, &1i32.to_le_bytes())
}

pub fn message(opcode: i32, body: &[u8]) -> Vec<u8> {
    let words = [body.len() as i32 + 16, 4711, 0, opcode];
    [&words.map(i32::to_le_bytes).concat(), body].concat()
}

pub fn op_msg(elements: &[Vec<u8>]) -> Vec<u8> {
    message(2013, &[b"\0\0\0\0\0", &document(elements)[..]].concat())
}

pub fn op_query(elements: &[Vec<u8>]) -> Vec<u8> {
    let head = b"\0\0\0\0admin.$cmd\0\0\0\0\0\xff\xff\xff\xff";
    message(2004, &[head, &document(elements)[..]].concat())
}

pub fn app_name(name: &[u8]) -> Vec<u8> {
    embedded(
        "client",
        &[embedded("driver", &[string("name", b"x")]), embedded("application", &[string("name", name)])],
    )
}

pub fn sasl_start(mechanism: &str, payload: &[u8]) -> Vec<Vec<u8>> {
    vec![
        one("saslStart"),
        string("mechanism", mechanism.as_bytes()),
        binary("payload", payload),
        string("db", b"x"),
    ]
}

pub fn speculative(user: &[u8]) -> Vec<u8> {
    let payload = [b"n,,n=", user, b",r=0123456789"].concat();
    embedded("speculativeAuthenticate", &sasl_start("SCRAM-SHA-256", &payload))
}
