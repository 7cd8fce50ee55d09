//! `engine export`.

use std::path::PathBuf;

use clap::ArgMatches;
use engine::export::{Framework, export};
use serde_json::json;

use crate::display::Style;
use crate::exit::{Code, Failure};
use crate::print::outln;

pub fn run(given: &ArgMatches, style: Style) -> Result<Code, Failure> {
    let path = |name: &str| given.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    let framework = given.get_one::<String>("framework").and_then(|name| Framework::named(name));
    let exported = export(&path("from"), &path("to"), framework.unwrap_or_default())?;
    let model = &exported.model;
    match style {
        Style::Json => outln!(
            "{}",
            json!({
                "event": "exported", "checkpoint": exported.checkpoint, "files": exported.files,
                "arch": model.arch, "encoder": model.encoder, "bands": model.bands,
            })
        ),
        Style::Quiet => {}
        Style::Lines | Style::Bars => {
            let (arch, encoder, bands) = (&model.arch, &model.encoder, model.bands.join(", "));
            outln!("{arch} over {encoder}, bands {bands}, from {}", exported.checkpoint.display());
        }
    }
    if style != Style::Json {
        exported.files.iter().for_each(|file| outln!("{}", file.display()));
    }
    Ok(Code::Done)
}
