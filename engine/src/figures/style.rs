//! Colours, sizes and the font: the one place that says how figures look.

use std::sync::OnceLock;

use plotters::style::{FontStyle, RGBColor, register_font};

use super::{Colour, FigureError};

/// Black.
pub const BLACK: Colour = [0, 0, 0];
/// White.
pub const WHITE: Colour = [255, 255, 255];
/// Grey, of what does not count.
pub const GREY: Colour = [128, 128, 128];
/// Orange of Okabe and Ito 2008, as the colours that follow.
pub const ORANGE: Colour = [230, 159, 0];
/// Sky blue.
pub const SKY: Colour = [86, 180, 233];
/// Bluish green.
pub const GREEN: Colour = [0, 158, 115];
/// Blue.
pub const BLUE: Colour = [0, 114, 178];
/// Vermilion.
pub const VERMILION: Colour = [213, 94, 0];
/// Reddish purple.
pub const PURPLE: Colour = [204, 121, 167];

/// Text and axes.
pub(super) const INK: Colour = [34, 34, 34];
/// Text that explains.
pub(super) const FAINT: Colour = [96, 96, 96];
/// Lines to read values by.
pub(super) const LINE: Colour = [226, 226, 226];

/// Height of the text of titles.
pub(super) const TITLE: u32 = 21;
/// Height of the text of axes, legends and cells.
pub(super) const TEXT: u32 = 16;
/// Height of the text that explains.
pub(super) const SMALL: u32 = 14;

/// Pixels drawn for each that is shown, in either direction: edges and letters are smooth.
pub(super) const OVERSAMPLING: u32 = 2;

/// Name of the font among those of the process: no other's.
pub(super) const FONT: &str = "engine-figures";
static FONT_FILE: &[u8] = include_bytes!("../../assets/Roboto-Regular.ttf");

/// Makes the font known to the drawing, once a process.
pub(super) fn load_font() -> Result<(), FigureError> {
    static IS_KNOWN: OnceLock<bool> = OnceLock::new();
    let is_known = IS_KNOWN.get_or_init(|| register_font(FONT, FontStyle::Normal, FONT_FILE).is_ok());
    if *is_known { Ok(()) } else { Err(FigureError::Font) }
}

/// A colour two thirds of the way to white.
pub fn light(colour: Colour) -> Colour {
    colour.map(|part| (u16::from(part) + 2 * (255 - u16::from(part)) / 3) as u8)
}

pub(super) fn paint([red, green, blue]: Colour) -> RGBColor {
    RGBColor(red, green, blue)
}

/// Cividis at a share of its length; what is no number is light grey.
///
/// # Sources
/// Nuñez, Anderton and Renslow 2018, Optimizing colormaps with consideration for color vision deficiency; every eighth
/// of matplotlib's table.
pub(super) fn cividis(share: f64) -> Colour {
    const STEPS: [Colour; 9] = [
        [0, 34, 78],
        [18, 53, 112],
        [59, 73, 108],
        [87, 93, 109],
        [112, 113, 115],
        [138, 134, 120],
        [165, 156, 116],
        [195, 179, 105],
        [254, 232, 56],
    ];
    if !share.is_finite() {
        return LINE;
    }
    let place = share.clamp(0.0, 1.0) * (STEPS.len() - 1) as f64;
    let first = (place as usize).min(STEPS.len() - 2);
    let part = place - first as f64;
    std::array::from_fn(|channel| {
        let [from, to] = [STEPS[first][channel], STEPS[first + 1][channel]].map(f64::from);
        (from + (to - from) * part).round() as u8
    })
}

/// Black or white, whichever is read more easily on a colour.
///
/// # Sources
/// Weights of ITU-R BT.601.
pub(super) fn ink_on([red, green, blue]: Colour) -> Colour {
    let light = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    if light > 130_000 { INK } else { WHITE }
}
