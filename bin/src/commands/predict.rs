//! `engine predict`.

use std::path::PathBuf;

use clap::ArgMatches;
use engine::config::{DeviceConfig, OptionValue};
use engine::segmentation::predict::{
    Flips, PredictProgress, PredictReport, PredictRequest, ProbabilityFormat, predict,
};
use serde_json::json;

use super::numbers;
use crate::display::Style;
use crate::exit::{Code, Failure};
use crate::fresh_start::compute_as_a_worker;
use crate::print::{errln, outln};

/// Images and samples that are listed; `--json` has them all.
const LISTED: usize = 10;

pub fn run(given: &ArgMatches, style: Style) -> Result<Code, Failure> {
    compute_as_a_worker();
    let resolved = super::resolved(given)?;
    let backend = match resolved.get("backend").map(|option| &option.value) {
        Some(OptionValue::Text(name)) => Some(name.clone()),
        _ => None,
    };
    let path = |name: &str| given.get_one::<PathBuf>(name).cloned().unwrap_or_default();
    let count = |name: &str| given.get_one::<u32>(name).copied().unwrap_or_default() as usize;
    let request = PredictRequest {
        inputs: given.get_many("inputs").into_iter().flatten().cloned().collect(),
        from: path("from"),
        to: path("to"),
        tile_size: count("tile-size"),
        overlap: count("overlap"),
        batch_size: count("batch-size"),
        flips: if given.get_flag("flips") { Flips::D4 } else { Flips::Off },
        threshold: given.get_one::<f32>("threshold").copied().unwrap_or_default(),
        format: match given.get_one::<String>("format").map(String::as_str) {
            Some("uint8") => ProbabilityFormat::Scaled,
            _ => ProbabilityFormat::Float,
        },
        bands: given.get_many("bands").map(|names| names.cloned().collect()),
        scale: numbers(given, "scale"),
        offset: numbers(given, "offset"),
        device: DeviceConfig::new(&resolved)?,
        backend,
    };
    let mut tenths = Tenths { told: 0, input: PathBuf::new() };
    let report = predict(&request, &mut |progress| {
        if matches!(style, Style::Lines | Style::Bars) {
            tenths.tell(progress);
        }
    })?;
    match style {
        Style::Json => outln!("{}", json!(report)),
        Style::Quiet => {}
        Style::Lines | Style::Bars => outln!("{}", text(&report)),
    }
    for note in report.notes.iter().filter(|_| style != Style::Json) {
        errln!("note: {note}");
    }
    Ok(Code::Done)
}

/// A line for every tenth of an input.
struct Tenths {
    told: usize,
    input: PathBuf,
}

impl Tenths {
    fn tell(&mut self, PredictProgress { input, done, of, .. }: PredictProgress<'_>) {
        if self.input != input {
            (self.told, self.input) = (0, input.to_owned());
        }
        let tenths = done * 10 / of.max(1);
        if tenths > self.told {
            self.told = tenths;
            errln!("{}: {} % predicted", input.display(), tenths * 10);
        }
    }
}

fn text(report: &PredictReport) -> String {
    let mut text = format!("{} model(s) on {}", report.checkpoints.len(), report.device);
    for prediction in report.predictions.iter().take(LISTED) {
        let pixels = (prediction.height * prediction.width) as u64;
        let counted = (pixels - prediction.ignored).max(1);
        text.push_str(&format!(
            "\n{}: {} x {} pixels, {:.2} % positive, {} without data",
            prediction.mask.display(),
            prediction.height,
            prediction.width,
            100.0 * prediction.positive as f64 / counted as f64,
            prediction.ignored
        ));
    }
    let more = report.predictions.len().saturating_sub(LISTED);
    if more > 0 {
        text.push_str(&format!("\n… and {more} more"));
    }
    text
}
