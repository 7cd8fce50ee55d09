//! `engine data validate` and `engine data synth`; `engine data build` is in a file of its own.

use std::path::PathBuf;

use clap::ArgMatches;
use comfy_table::{Table, presets};
use engine::config::Command as Level;
use engine::data::{DataFolder, PartReport, Report, SynthConfig, SynthReport, synthesise, validate};
use serde_json::json;

use crate::display::Style;
use crate::exit::{Code, Failure};
use crate::print::{errln, outln};

pub fn run(matches: &ArgMatches, style: Style) -> Result<Code, Failure> {
    match matches.subcommand() {
        Some(("validate", given)) => check(given, style),
        Some(("synth", given)) => synth(given, style),
        Some(("build", given)) => super::build::run(given, style),
        _ => Ok(Code::Usage),
    }
}

fn check(given: &ArgMatches, style: Style) -> Result<Code, Failure> {
    let config = super::configured(given, Level::DataValidate)?;
    let folder = DataFolder::open(&config.settings.train_data_dir, config.hyperparameters.bands.as_deref())?;
    let report = validate(&folder, &config.settings)?;
    match style {
        Style::Json => outln!("{}", json!(report)),
        Style::Quiet => {}
        Style::Lines | Style::Bars => outln!("{}", text(&report)),
    }
    for warning in report.warnings.iter().filter(|_| style != Style::Json) {
        errln!("warning: {}", warning.message);
    }
    Ok(Code::Done)
}

fn text(report: &Report) -> String {
    let values = &report.values;
    let counted = (values.negative + values.positive).max(1);
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(["part", "samples", "positive", "negative", "regions (positive/samples)", "sample ids"]);
    add(&mut table, "all", &report.all);
    if let Some(test) = &report.test {
        add(&mut table, "test", test);
    }
    for fold in &report.folds {
        add(&mut table, &format!("fold {} train", fold.fold), &fold.train);
        add(&mut table, &format!("fold {} val", fold.fold), &fold.val);
    }
    format!(
        "{}: {} samples of {} x {} pixels, bands {}\npixels that count: {counted}, {:.2} % of them positive; {} ignored\n{table}",
        report.path.display(),
        report.all.samples,
        report.patch.0,
        report.patch.1,
        report.bands.join(", "),
        100.0 * values.positive as f64 / counted as f64,
        values.ignored,
    )
}

fn add(table: &mut Table, name: &str, part: &PartReport) {
    let regions: Vec<String> = part
        .regions
        .iter()
        .map(|region| format!("{} {}/{}", region.region, region.positive, region.samples))
        .collect();
    table.add_row([
        name.to_owned(),
        part.samples.to_string(),
        part.positive.to_string(),
        part.negative.to_string(),
        regions.join("\n"),
        shortened(&part.sample_ids),
    ]);
}

/// The first few ids and how many there are; `--json` has them all.
fn shortened(ids: &[String]) -> String {
    const SHOWN: usize = 3;
    match ids.len().checked_sub(SHOWN) {
        None | Some(0) => ids.join("\n"),
        Some(more) => format!("{}\n… and {more} more", ids[..SHOWN].join("\n")),
    }
}

fn synth(given: &ArgMatches, style: Style) -> Result<Code, Failure> {
    let count = |name: &str| given.get_one::<u32>(name).copied().unwrap_or_default() as usize;
    let share = |name: &str| given.get_one::<f64>(name).copied().unwrap_or_default();
    let folder = given.get_one::<PathBuf>("folder").cloned().unwrap_or_default();
    let config = SynthConfig {
        samples: count("samples"),
        patch_size: count("patch-size"),
        regions: count("regions"),
        positive_fraction: share("positive-fraction"),
        empty_fraction: share("empty-fraction"),
        ignored_fraction: share("ignored-fraction"),
        seed: given.get_one::<u64>("seed").copied().unwrap_or_default(),
        ..SynthConfig::new(folder)
    };
    let report = synthesise(&config)?;
    match style {
        Style::Json => outln!("{}", json!(report)),
        Style::Quiet => {}
        Style::Lines | Style::Bars => outln!("{}", synth_text(&report)),
    }
    Ok(Code::Done)
}

fn synth_text(report: &SynthReport) -> String {
    let pixels = (report.positive_pixels + report.negative_pixels).max(1);
    format!(
        "{}: {} samples ({} without a positive pixel) in {} regions; {:.1} % of the pixels are positive, {} are ignored",
        report.path.display(),
        report.samples,
        report.empty_samples,
        report.regions.len(),
        100.0 * report.positive_pixels as f64 / pixels as f64,
        report.ignored_pixels
    )
}
