//! As much of HTTP/1.1 as clients speak to a fake server: requests one after another on a connection.

use std::io::{self, BufRead, Write};

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// `POST`
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// Headers, names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// JSON.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }
}

impl Request {
    /// The first header of the name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The next request of a connection; `None` once it is closed.
    ///
    /// # Errors
    /// A connection that breaks, or speaks something else.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(first) = line(from)? else { return Ok(None) };
        let mut words = first.split(' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Err(no_http(&first)) };
        let mut headers = Vec::new();
        loop {
            let header = line(from)?.ok_or_else(|| no_http("a head that breaks off"))?;
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').ok_or_else(|| no_http(&header))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Self { method: method.into(), target: target.into(), headers, body: Vec::new() };
        request.body = match (request.header("transfer-encoding"), request.header("content-length")) {
            (Some("chunked"), _) => chunks(from)?,
            (_, Some(length)) => {
                let length = length.parse().map_err(|_| no_http(length))?;
                let mut body = vec![0; length];
                from.read_exact(&mut body)?;
                body
            }
            _ => Vec::new(),
        };
        Ok(Some(request))
    }
}

impl Answer {
    /// Sends it; the connection stays open.
    ///
    /// # Errors
    /// A connection that breaks.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let mut head = format!("HTTP/1.1 {} Status\r\nContent-Length: {}\r\n", self.status, self.body.len());
        head.push_str("Content-Type: application/json\r\n");
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        to.write_all(&[head.as_bytes(), &self.body].concat())?;
        to.flush()
    }
}

fn no_http(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no HTTP: {what}"))
}

/// A line without its end; `None` at the end of the stream.
fn line(from: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut text = String::new();
    let read = from.read_line(&mut text)?;
    Ok((read > 0).then(|| text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn chunks(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(from)?.ok_or_else(|| no_http("a chunk that breaks off"))?;
        let size = usize::from_str_radix(&size, 16).map_err(|_| no_http(&size))?;
        let start = body.len();
        body.resize(start + size, 0);
        from.read_exact(&mut body[start..])?;
        line(from)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_one_connection_are_read_one_after_another() {
        let mut sent: &[u8] =
            b"PUT /a?b=c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
                                POST /d HTTP/1.1\r\nContent-Length: 2\r\nX: y: z\r\n\r\nefGET";
        let first = Request::read(&mut sent).unwrap().unwrap();
        assert_eq!((first.target.as_str(), first.body.as_slice()), ("/a?b=c", b"abc".as_slice()));
        let second = Request::read(&mut sent).unwrap().unwrap();
        assert_eq!((second.header("x"), second.body.as_slice()), (Some("y: z"), b"ef".as_slice()));
        assert!(Request::read(&mut sent).is_err(), "half a request is told apart from none");
        assert_eq!(Request::read(&mut io::empty()).unwrap(), None);
    }
}
