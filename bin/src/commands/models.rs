//! `engine models`.

use clap::ArgMatches;
use comfy_table::{Cell, CellAlignment, Table, presets};
use engine::backend::{BackendName, ComputeDevice};
use engine::models::{Catalogue, EncoderInfo, InputNeeds};
use engine::segmentation::RunError;
use engine::segmentation::jobs::PlanError;
use serde_json::json;

use crate::display::Style;
use crate::exit::{Code, Failure};
use crate::print::outln;

pub fn run(given: &ArgMatches, style: Style) -> Result<Code, Failure> {
    // clap has a default for it.
    let bands = given.get_one::<u32>("bands").map_or(0, |bands| *bands as usize);
    let catalogue = catalogue(bands).map_err(|error| Failure::from(PlanError::from(error)))?;
    match style {
        Style::Json => outln!("{}", json!(catalogue)),
        Style::Quiet => {
            let names = catalogue.architectures.iter().map(|one| one.name);
            for name in names.chain(catalogue.encoders.iter().map(|one| one.name)) {
                outln!("{name}");
            }
        }
        Style::Lines | Style::Bars => outln!("{}", text(&catalogue)),
    }
    Ok(Code::Done)
}

fn catalogue(bands: usize) -> Result<Catalogue, RunError> {
    let device = BackendName::best(ComputeDevice::Cpu)?.device(ComputeDevice::Cpu)?;
    Ok(Catalogue::of_bands(bands, &device)?)
}

fn text(catalogue: &Catalogue) -> String {
    let mut architectures = plain(["architecture", "features", "deepest", "height and width", "batch"]);
    for one in &catalogue.architectures {
        let deepest = format!("1/{}", one.output_stride);
        let InputNeeds { multiple_of, at_least, batch_at_least, .. } = one.input;
        let size = match (multiple_of, at_least) {
            (1, 1) => "any".to_owned(),
            (multiple, least) if least <= multiple => format!("multiples of {multiple}"),
            (multiple, least) => format!("multiples of {multiple} from {least} on"),
        };
        let batch = format!("{batch_at_least} or more");
        let numbers = [right(one.features), right(deepest), Cell::new(size), right(batch)];
        architectures.add_row(std::iter::once(Cell::new(one.name)).chain(numbers));
    }
    let mut encoders = plain(["encoder", "parameters (M)", "channels of the features at 1/2 to 1/32"]);
    for one in &catalogue.encoders {
        let millions = format!("{:.2}", one.parameters as f64 / 1e6);
        encoders.add_row([Cell::new(one.name), right(millions), Cell::new(channels(one))]);
    }
    let bands = catalogue.bands;
    let plural = if bands == 1 { "band" } else { "bands" };
    format!(
        "{architectures}\n{encoders}\n\
         --model-arch and --model-encoder take these names in upper and lower case. Parameters are counted for images of \
         {bands} {plural}; --bands N counts for others."
    )
}

fn channels(encoder: &EncoderInfo) -> String {
    encoder.channels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn right(value: impl ToString) -> Cell {
    Cell::new(value).set_alignment(CellAlignment::Right)
}

fn plain<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_header(header);
    table
}
