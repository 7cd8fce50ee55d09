//! A request without a library, to ask a fake server what it saw.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// Sends the bytes of a request and reads until the server closes the connection; so it is one of HTTP/1.0, or the one
/// sent has `Connection: close`.
///
/// # Errors
/// A connection that is refused, breaks, or is closed without an answer.
pub fn exchange(base_url: &str, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(base_url.trim_start_matches("http://"))?;
    stream.write_all(request)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}

/// The body of what is at a path.
///
/// # Errors
/// As [`exchange`].
pub fn get(base_url: &str, path: &str) -> io::Result<String> {
    let answer = exchange(base_url, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    Ok(split(&answer)?.1)
}

/// Status and answer of JSON sent to a path.
///
/// # Errors
/// As [`exchange`].
pub fn post(base_url: &str, path: &str, body: &Value) -> io::Result<(u16, Value)> {
    let body = body.to_string();
    let head = format!("POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
    let (status, answer) = split(&exchange(base_url, (head + &body).as_bytes())?)?;
    Ok((status, serde_json::from_str(&answer).unwrap_or_default()))
}

fn split(answer: &[u8]) -> io::Result<(u16, String)> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
}
