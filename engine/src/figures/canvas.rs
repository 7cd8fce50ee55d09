//! What figures are drawn on: places and sizes are those of the picture, whatever is drawn for each of its pixels.

use plotters::backend::{BitMapBackend, DrawingBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, FontTransform, ShapeStyle, TextStyle};

use super::style::{FONT, INK, OVERSAMPLING, SMALL, load_font, paint};
use super::{Colour, FigureError, Picture};

/// An area that is drawn on.
type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
/// What a drawing says that fails.
pub(super) type Failed = DrawingAreaErrorKind<<BitMapBackend<'static> as DrawingBackend>::ErrorType>;

/// Where a text lies beside its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// It begins there.
    Left,
    /// Its middle is there.
    Middle,
    /// It ends there.
    Right,
}

/// A rectangle of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Frame {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A white sheet under way.
pub(super) struct Canvas<'a> {
    area: Area<'a>,
}

/// Draws a picture on white.
pub(super) fn draw(
    (width, height): (u32, u32),
    paint_on: impl FnOnce(&Canvas<'_>) -> Result<(), Failed>,
) -> Result<Picture, FigureError> {
    load_font()?;
    let mut picture = Picture::new(width * OVERSAMPLING, height * OVERSAMPLING, super::WHITE);
    let size = (picture.width, picture.height);
    let canvas = Canvas { area: BitMapBackend::with_buffer(&mut picture.rgb, size).into_drawing_area() };
    let drawn = paint_on(&canvas).and_then(|()| canvas.area.present());
    drop(canvas);
    drawn.map_err(|error| FigureError::Draw(error.into()))?;
    Ok(picture.shrunk(OVERSAMPLING))
}

/// A length of the picture as one of what is drawn.
fn scaled(length: f64) -> i32 {
    (length * f64::from(OVERSAMPLING)).round() as i32
}

/// Text of so many pixels' height.
fn style(size: u32, colour: Colour, pos: Pos) -> TextStyle<'static> {
    let font = FontDesc::new(FontFamily::Name(FONT), f64::from(size * OVERSAMPLING), FontStyle::Normal);
    TextStyle { font, color: paint(colour).to_backend_color(), pos }
}

/// A line or border of so many pixels.
fn stroke(width: f64, colour: Colour) -> ShapeStyle {
    paint(colour).stroke_width(scaled(width).max(1) as u32)
}

impl Canvas<'_> {
    /// A filled rectangle; one without area is none.
    pub(super) fn fill(&self, frame: Frame, colour: Colour) -> Result<(), Failed> {
        let [left, top] = [frame.x, frame.y].map(scaled);
        let [right, bottom] = [frame.x + frame.width, frame.y + frame.height].map(scaled);
        if right <= left || bottom <= top {
            return Ok(());
        }
        self.area.draw(&Rectangle::new([(left, top), (right, bottom)], paint(colour).filled()))
    }

    /// A line from point to point, its corners round: drawn as one, a sharp turn would reach far beyond its point.
    pub(super) fn line(&self, points: &[(f64, f64)], width: f64, colour: Colour) -> Result<(), Failed> {
        let points: Vec<(i32, i32)> = points.iter().map(|(x, y)| (scaled(*x), scaled(*y))).collect();
        for pair in points.windows(2).filter(|pair| pair[0] != pair[1]) {
            self.area.draw(&PathElement::new(pair.to_vec(), stroke(width, colour)))?;
        }
        let corners = points.get(1..points.len().saturating_sub(1)).unwrap_or_default();
        corners.iter().try_for_each(|corner| {
            self.area.draw(&Circle::new(*corner, scaled(width / 2.0), paint(colour).filled()))
        })
    }

    /// A disc.
    pub(super) fn dot(&self, (x, y): (f64, f64), radius: f64, colour: Colour) -> Result<(), Failed> {
        self.area.draw(&Circle::new((scaled(x), scaled(y)), scaled(radius), paint(colour).filled()))
    }

    /// Text whose middle has the height `y`.
    pub(super) fn text(
        &self,
        text: &str,
        (x, y): (f64, f64),
        align: Align,
        size: u32,
        colour: Colour,
    ) -> Result<(), Failed> {
        let width = f64::from(self.width(text, size));
        let left = match align {
            Align::Left => x,
            Align::Middle => x - width / 2.0,
            Align::Right => x - width,
        };
        let style = style(size, colour, Pos::new(HPos::Left, VPos::Center));
        // The middle of a line of text is above that of its letters.
        let middle = y + 0.1 * f64::from(size);
        self.area.draw(&Text::new(text.to_owned(), (scaled(left), scaled(middle)), style))
    }

    /// Text that is read from below, whose middle is at a place.
    pub(super) fn upright(
        &self,
        text: &str,
        (x, y): (f64, f64),
        size: u32,
        colour: Colour,
    ) -> Result<(), Failed> {
        let style =
            style(size, colour, Pos::new(HPos::Center, VPos::Center)).transform(FontTransform::Rotate270);
        self.area.draw(&Text::new(text.to_owned(), (scaled(x), scaled(y)), style))
    }

    /// Pixels a text is wide.
    pub(super) fn width(&self, text: &str, size: u32) -> u32 {
        let (width, _) =
            self.area.estimate_text_size(text, &style(size, INK, Pos::default())).unwrap_or_default();
        width.div_ceil(OVERSAMPLING)
    }

    /// The text, its end cut where it is wider than this.
    pub(super) fn fitted(&self, text: &str, size: u32, most: f64) -> String {
        if f64::from(self.width(text, size)) <= most {
            return text.to_owned();
        }
        let mut cut: Vec<char> = text.chars().collect();
        loop {
            cut.pop();
            let shown: String = cut.iter().collect::<String>().trim_end().to_owned() + "…";
            if cut.is_empty() || f64::from(self.width(&shown, size)) <= most {
                return shown;
            }
        }
    }

    /// Squares of colour and what they stand for, in a row from a place on; gives where it ends.
    pub(super) fn legend(&self, keys: &[(&str, Colour)], (x, y): (f64, f64)) -> Result<f64, Failed> {
        let mut left = x;
        for (name, colour) in keys {
            self.fill(Frame { x: left, y: y - 6.0, width: 12.0, height: 12.0 }, INK)?;
            self.fill(Frame { x: left + 0.5, y: y - 5.5, width: 11.0, height: 11.0 }, *colour)?;
            self.text(name, (left + 18.0, y), Align::Left, SMALL, INK)?;
            left += 18.0 + f64::from(self.width(name, SMALL)) + 18.0;
        }
        Ok(left)
    }
}
