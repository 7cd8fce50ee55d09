//! What a user is told of an answer that is none.

use reqwest::Url;
use serde_json::Value;

/// Longest message that is kept, in bytes. A page of HTML says nothing more behind it.
const LONGEST_MESSAGE: usize = 1024;

/// A client's error with its causes, without the address: signed ones hold a secret.
pub(super) fn of_error(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    cut(&text)
}

/// The message in the body of a refusal: JSON of several shapes, the storage's XML, or plain text.
pub(super) fn of_refusal(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let message = match serde_json::from_str::<Value>(&text) {
        Ok(json) => of_json(&json),
        Err(_) => between(&text, "<Message>", "</Message>").map(str::to_owned),
    };
    match cut(message.as_deref().unwrap_or(&text)) {
        empty if empty.is_empty() => "it gives no reason".to_owned(),
        message => message,
    }
}

/// The messages of a JSON body: `errors`, `error`, `message`.
pub(super) fn of_json(json: &Value) -> Option<String> {
    let one = |value: &Value| value.as_str().or_else(|| value["message"].as_str()).map(str::to_owned);
    if let Some(errors) = json["errors"].as_array().filter(|errors| !errors.is_empty()) {
        let texts: Vec<String> =
            errors.iter().map(|error| one(error).unwrap_or_else(|| error.to_string())).collect();
        return Some(cut(&texts.join("; ")));
    }
    one(&json["error"]).or_else(|| one(json)).map(|text| cut(&text))
}

/// What to do about a redirection that is not followed.
pub(super) fn of_redirect(from: &Url, location: &str) -> String {
    match from.join(location) {
        Ok(to) => {
            let to = to.origin().ascii_serialization();
            format!("it sends us on to {to}; if that is the server, set WANDB_BASE_URL to it")
        }
        Err(_) => "it sends us on to an address that is none".to_owned(),
    }
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(from)?;
    Some(rest.split_once(to)?.0)
}

/// One line of at most [`LONGEST_MESSAGE`] bytes.
fn cut(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() <= LONGEST_MESSAGE {
        return line;
    }
    format!("{}…", &line[..line.floor_char_boundary(LONGEST_MESSAGE)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_every_shape_is_found() {
        assert_eq!(of_refusal(br#"{"error": "no"}"#), "no");
        assert_eq!(of_refusal(br#"{"error": {"message": "no"}}"#), "no");
        assert_eq!(of_refusal(br#"{"errors": [{"message": "a"}, "b", {"x": 1}]}"#), r#"a; b; {"x":1}"#);
        assert_eq!(of_refusal(br#"{"message": "no"}"#), "no");
        assert_eq!(
            of_refusal(b"<Error><Code>X</Code><Message>Request has\n expired</Message></Error>"),
            "Request has expired"
        );
        assert_eq!(of_refusal(b"plain\n\ttext "), "plain text");
        assert_eq!(of_refusal(b""), "it gives no reason");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let cut = of_refusal("ä".repeat(5000).as_bytes());
        assert_eq!(cut, format!("{}…", "ä".repeat(LONGEST_MESSAGE / 2)));
    }

    #[test]
    fn a_redirection_names_no_more_than_the_origin() {
        let from = Url::parse("http://a.example/graphql").unwrap();
        let text = of_redirect(&from, "https://b.example/x?secret=1");
        assert!(text.contains("https://b.example;"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
}
