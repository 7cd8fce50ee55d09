//! `engine data build`.

use std::path::PathBuf;

use clap::ArgMatches;
use engine::data::{BuildReport, BuildRequest, build};
use serde_json::json;

use super::numbers;
use crate::display::Style;
use crate::exit::{Code, Failure};
use crate::print::{errln, outln};

pub fn run(given: &ArgMatches, style: Style) -> Result<Code, Failure> {
    let path = |name: &str| given.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    let text = |name: &str| given.get_one::<String>(name).cloned().unwrap_or_default();
    let count = |name: &str| given.get_one::<u32>(name).copied().unwrap_or_default() as usize;
    let request = BuildRequest {
        images: path("images"),
        masks: path("masks"),
        image_suffix: text("image-suffix"),
        mask_suffix: text("mask-suffix"),
        regions: given.get_one("regions").cloned(),
        region_column: text("region-column"),
        to: path("to"),
        bands: given.get_many("bands").map(|names| names.cloned().collect()),
        patch_size: count("patch-size"),
        overlap: count("overlap"),
        positive: numbers(given, "positive"),
        negative: numbers(given, "negative"),
        ignored: numbers(given, "ignored"),
        scale: numbers(given, "scale"),
        offset: numbers(given, "offset"),
    };
    let mut told = 0;
    let report = build(&request, &mut |progress| {
        let tenths = progress.done * 10 / progress.of.max(1);
        if tenths > told && matches!(style, Style::Lines | Style::Bars) {
            errln!("{} of {} images", progress.done, progress.of);
        }
        told = tenths;
    })?;
    match style {
        Style::Json => outln!("{}", json!(report)),
        Style::Quiet => {}
        Style::Lines | Style::Bars => outln!("{}", summary(&report)),
    }
    for note in report.notes.iter().filter(|_| style != Style::Json) {
        errln!("note: {note}");
    }
    Ok(Code::Done)
}

fn summary(report: &BuildReport) -> String {
    let counted = (report.positive_pixels + report.negative_pixels).max(1);
    format!(
        "{}: {} samples ({} without a positive pixel) of {} images, bands {}, regions {}\n\
         pixels that count: {counted}, {:.2} % of them positive; {} ignored; {} patches without a pixel that counts are left out",
        report.path.display(),
        report.samples,
        report.empty_samples,
        report.images,
        report.bands.join(", "),
        report.regions.join(", "),
        100.0 * report.positive_pixels as f64 / counted as f64,
        report.ignored_pixels,
        report.left_out
    )
}
