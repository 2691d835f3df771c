//! A login with SCRAM-SHA-256 (RFC 5802, RFC 7677), as a driver makes it that does not ask the server first. In come
//! an address and credentials, out goes nothing, or why not.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::addons::secrets::Password;
use crate::dialect::Name;
use crate::dialect::mongodb::bson::{Document, Element, NoBson, Value, Writer};
use crate::dialect::mongodb::message::{self, Family, Header};

/// Logs in to the database `name` as the user `name`, and has the server prove that it knows the password too.
pub(super) async fn log_in(address: SocketAddr, name: &Name, password: &Password) -> Result<(), String> {
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let nonce = nonce()?;
    let bare = format!("n={name},r={nonce}");
    let start = Writer::new().int("saslStart", 1).string("mechanism", "SCRAM-SHA-256");
    let start = start.binary("payload", format!("n,,{bare}").as_bytes());
    // Else the login would end with one more exchange, of nothing.
    let start = start.document("options", Writer::new().bool("skipEmptyExchange", true));
    let challenge = ask(&mut stream, start.string("$db", name.as_str())).await?;

    let proof = answer(&bare, &nonce, &challenge.payload, password)?;
    let proceed = Writer::new().int("saslContinue", 1).int("conversationId", challenge.conversation);
    let proceed = proceed.binary("payload", proof.payload.as_bytes()).string("$db", name.as_str());
    let verdict = ask(&mut stream, proceed).await?;
    if verdict.payload != proof.expected.as_bytes() {
        return Err("the server does not prove that it knows the password".into());
    }
    Ok(())
}

/// The server's part in one step of the login.
struct Step {
    conversation: i32,
    payload: Vec<u8>,
}

/// Sends a command of the login and waits for its answer. `Err` has the server's own words, if it has any.
async fn ask(stream: &mut TcpStream, command: Writer) -> Result<Step, String> {
    let io = |error: std::io::Error| error.to_string();
    stream.write_all(&message::encode(Family::Msg, 0, command)).await.map_err(io)?;
    let mut answer = vec![0; Header::LEN];
    stream.read_exact(&mut answer).await.map_err(io)?;
    let header = Header::parse(&answer).ok().flatten();
    let header = header.filter(|header| header.len <= ANSWER_LEN_MAX).ok_or(STRANGE)?;
    answer.resize(header.len, 0);
    stream.read_exact(&mut answer[Header::LEN..]).await.map_err(io)?;
    let document = message::command(header.family, &answer).map_err(|_| STRANGE)?;
    step(document).map_err(|_| STRANGE)?
}

fn step(answer: Document<'_>) -> Result<Result<Step, String>, NoBson> {
    let (mut conversation, mut payload, mut error) = (1, None, STRANGE.to_owned());
    for element in answer.elements() {
        match element? {
            Element { key: b"conversationId", value: Value::Int(number) } => conversation = number,
            Element { key: b"payload", value: Value::Binary(bytes) } => payload = Some(bytes.to_vec()),
            Element { key: b"errmsg", value: Value::String(text) } => {
                error = String::from_utf8_lossy(text).into_owned();
            }
            _ => {}
        }
    }
    Ok(payload.map(|payload| Step { conversation, payload }).ok_or(error))
}

/// What the client answers to the server's challenge.
struct Proof {
    payload: String,
    /// What the server has to say to that.
    expected: String,
}

/// Answers `r=NONCE,s=SALT,i=ITERATIONS`.
fn answer(bare: &str, nonce: &str, challenge: &[u8], password: &Password) -> Result<Proof, &'static str> {
    let challenge = std::str::from_utf8(challenge).map_err(|_| STRANGE)?;
    let field = |name: &str| challenge.split(',').find_map(|field| field.strip_prefix(name)).ok_or(STRANGE);
    let (whole_nonce, salt) = (field("r=")?, BASE64.decode(field("s=")?).map_err(|_| STRANGE)?);
    let iterations = field("i=")?.parse().map_err(|_| STRANGE)?;
    if !whole_nonce.starts_with(nonce) || !(1..=ITERATIONS_MAX).contains(&iterations) {
        return Err(STRANGE);
    }
    // "biws" is "n,,": no channel binding. Our passwords need no SASLprep.
    let without_proof = format!("c=biws,r={whole_nonce}");
    let transcript = format!("{bare},{challenge},{without_proof}");
    let salted = salted(password.expose().as_bytes(), &salt, iterations);
    let client_key = mac(&salted, &[b"Client Key"]);
    let signature = mac(&Sha256::digest(client_key), &[transcript.as_bytes()]);
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, signature)| key ^ signature).collect();
    let server_signature = mac(&mac(&salted, &[b"Server Key"]), &[transcript.as_bytes()]);
    Ok(Proof {
        payload: format!("{without_proof},p={}", BASE64.encode(proof)),
        expected: format!("v={}", BASE64.encode(server_signature)),
    })
}

/// The RFC's `Hi`, which is PBKDF2 with one block.
fn salted(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let keyed = keyed(password);
    let mut last = finish(keyed.clone(), &[salt, &1u32.to_be_bytes()]);
    let mut sum = last;
    for _ in 1..iterations {
        last = finish(keyed.clone(), &[&last]);
        sum.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    finish(keyed(key), parts)
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("a key of any length")
}

fn finish(mut mac: Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

fn nonce() -> Result<String, String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(BASE64.encode(bytes))
}

const STRANGE: &str = "the answer to a login is none of MongoDB's";
const ANSWER_LEN_MAX: usize = 16 * 1024;
/// The server's default is 15,000. More would keep the control thread busy.
const ITERATIONS_MAX: u32 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677, section 3.
    #[test]
    fn the_rfcs_example() {
        let password = Password::new("pencil".into());
        let challenge =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let bare = "n=user,r=rOprNGfwEbeRWgbNEkqO";
        let proof = answer(bare, "rOprNGfwEbeRWgbNEkqO", challenge.as_bytes(), &password).unwrap();
        assert_eq!(
            proof.payload,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(proof.expected, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_challenge_that_is_none_is_an_error() {
        let password = Password::new("pencil".into());
        for challenge in [
            "",
            "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=noncex,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
            "r=noncex,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=100001",
            "r=noncex,s=!,i=4096",
            "r=noncex,i=4096",
        ] {
            assert!(
                answer("n=user,r=nonce", "nonce", challenge.as_bytes(), &password).is_err(),
                "{challenge}"
            );
        }
    }
}
