//! `engine devices`.

use clap::ArgMatches;
use engine::segmentation::devices::survey;
use engine::segmentation::jobs::PlanError;
use serde_json::json;

use crate::display::Style;
use crate::exit::{Code, Failure};
use crate::print::{errln, outln};
use crate::tables;

pub fn run(given: &ArgMatches, style: Style) -> Result<Code, Failure> {
    let survey = survey(&super::resolved(given)?)?;
    let report = &survey.report;
    match style {
        Style::Json => outln!("{}", json!(report)),
        Style::Quiet | Style::Lines | Style::Bars => {
            if !report.devices.is_empty() {
                outln!("{}", tables::device_table(&report.devices));
            }
        }
    }
    // A refusal says again why there is no GPU.
    let refused = survey.refused.as_ref().map(ToString::to_string).unwrap_or_default();
    for note in report.notes.iter().filter(|note| style != Style::Json && !refused.contains(*note)) {
        errln!("note: {note}");
    }
    match survey.refused {
        Some(error) => Err(PlanError::from(error).into()),
        None => Ok(Code::Done),
    }
}
