//! The documentation as text: its sections, the blocks in them, and its links.

use std::collections::BTreeSet;

/// A section of a page, from its heading to the next of its rank or a higher one.
///
/// # Panics
/// If there is no such heading.
pub fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let rank = heading.bytes().take_while(|byte| *byte == b'#').count();
    let mut at = 0;
    let mut begun = None;
    let mut in_block = false;
    for line in page.split_inclusive('\n') {
        in_block ^= line.starts_with("```");
        let depth = line.bytes().take_while(|byte| *byte == b'#').count();
        let is_heading = !in_block && depth > 0 && line[depth..].starts_with(' ');
        match begun {
            None if is_heading && line.trim_end() == heading => begun = Some(at),
            Some(start) if is_heading && depth <= rank => return &page[start..at],
            _ => {}
        }
        at += line.len();
    }
    &page[begun.unwrap_or_else(|| missing(heading))..]
}

#[expect(clippy::panic, reason = "the test's failure")]
fn missing(heading: &str) -> ! {
    panic!("no heading {heading:?}")
}

/// The fenced blocks of a language, as they stand.
pub fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Option<(bool, String)> = None;
    for line in page.split_inclusive('\n') {
        match (line.strip_prefix("```"), open.take()) {
            (Some(_), Some((wanted, block))) => found.extend(wanted.then_some(block)),
            (Some(named), None) => open = Some((named.trim() == language, String::new())),
            (None, Some((wanted, mut block))) => {
                block.push_str(line);
                open = Some((wanted, block));
            }
            (None, None) => {}
        }
    }
    found
}

/// The lines of a page that are in no fenced block.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    page.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        in_block ^= is_fence;
        !in_block && !is_fence
    })
}

/// Where the links of a page lead, in their order: `b.md#c` of `[a](b.md#c)`.
pub fn links(page: &str) -> Vec<String> {
    let behind = prose(page).flat_map(|line| line.split("](").skip(1));
    behind.filter_map(|rest| rest.split_once(')')).map(|(to, _)| to.to_owned()).collect()
}

/// The anchors of a page's headings, as GitHub makes them: in lower case, without punctuation, hyphens for spaces.
pub fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
    };
    headings.map(anchor).collect()
}
