//! `engine config show`.

use clap::ArgMatches;
use comfy_table::{Table, presets};
use serde_json::json;

use crate::display::Style;
use crate::exit::{Code, Failure};
use crate::print::outln;

pub fn run(matches: &ArgMatches, style: Style) -> Result<Code, Failure> {
    let Some(("show", given)) = matches.subcommand() else { return Ok(Code::Usage) };
    let resolved = super::resolved(given)?;
    if style == Style::Json {
        for option in resolved.options() {
            outln!(
                "{}",
                json!({ "option": option.spec.key, "value": option.shown(), "origin": option.origin.to_string() })
            );
        }
        return Ok(Code::Done);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["option", "value", "set"]);
    for option in resolved.options() {
        table.add_row([option.spec.key.to_owned(), option.shown(), option.origin.to_string()]);
    }
    outln!("{table}");
    Ok(Code::Done)
}
