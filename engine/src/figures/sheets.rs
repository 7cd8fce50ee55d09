//! Pictures of samples with what they show written beside them.

use super::canvas::{Align, Canvas, Failed, draw};
use super::style::{FAINT, INK, SMALL, TEXT};
use super::{Colour, FigureError, Picture};

/// Pixels a panel is wide at the least; the pixels of smaller ones become squares.
const LEAST_PANEL: u32 = 240;
/// Pixels to each edge.
const MARGIN: u32 = 12;
/// Pixels between cells.
const GAP: u32 = 8;

/// What a colour means.
pub type Key<'a> = (&'a str, Colour);

/// Panels of one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Strip<'a> {
    /// What the sample is.
    pub title: &'a str,
    /// What is to be known of it.
    pub notes: &'a str,
    /// Each panel with what it shows; all of one size.
    pub panels: Vec<(&'a str, Picture)>,
    /// What the colours of the panels mean.
    pub keys: &'a [Key<'a>],
}

/// Panels side by side, named, below their title.
///
/// # Errors
/// [`FigureError`] if they can not be drawn.
pub fn strip(strip: &Strip<'_>) -> Result<Picture, FigureError> {
    let (width, height) = strip.panels.first().map_or((1, 1), |(_, panel)| (panel.width, panel.height));
    let factor = LEAST_PANEL.div_ceil(width.max(1)).max(1);
    let (width, height) = (width * factor, height * factor);
    let count = strip.panels.len() as u32;
    let size = (2 * MARGIN + count * width + count.saturating_sub(1) * GAP, 58 + height + 34);
    let left = |number: u32| MARGIN + number * (width + GAP);
    let mut picture = draw(size, |canvas| {
        let room = f64::from(size.0 - 2 * MARGIN);
        let notes = f64::from(canvas.width(strip.notes, SMALL));
        let title = canvas.fitted(strip.title, TEXT, room - notes - 16.0);
        canvas.text(&title, (f64::from(MARGIN), 18.0), Align::Left, TEXT, INK)?;
        canvas.text(strip.notes, (f64::from(size.0 - MARGIN), 18.0), Align::Right, SMALL, FAINT)?;
        for (number, (name, _)) in (0..).zip(&strip.panels) {
            let name = canvas.fitted(name, SMALL, f64::from(width));
            canvas.text(&name, (f64::from(left(number)), 44.0), Align::Left, SMALL, INK)?;
        }
        canvas.legend(strip.keys, (f64::from(MARGIN), f64::from(58 + height) + 18.0)).map(drop)
    })?;
    for (number, (_, panel)) in (0..).zip(&strip.panels) {
        picture.put(panel, (left(number), 58), factor);
    }
    Ok(picture)
}

/// Samples below each other, what was done to them side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid<'a> {
    /// What is shown.
    pub title: &'a str,
    /// What is to be known of it.
    pub notes: &'a str,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Rows of pictures of one size, one a column, and their names.
    pub rows: Vec<(String, Vec<Picture>)>,
    /// What the colours mean.
    pub keys: &'a [Key<'a>],
}

/// A table of pictures.
///
/// # Errors
/// [`FigureError`] if it can not be drawn.
pub fn grid(grid: &Grid<'_>) -> Result<Picture, FigureError> {
    let cell = grid.rows.first().and_then(|(_, cells)| cells.first());
    let (width, height) = cell.map_or((1, 1), |cell| (cell.width, cell.height));
    let factor = 128_u32.div_ceil(width.max(1)).max(1);
    let (width, height) = (width * factor, height * factor);
    let (top, below) = (86, 22);
    let (columns, rows) = (grid.columns.len() as u32, grid.rows.len() as u32);
    let least = if grid.keys.is_empty() { 0 } else { 640 };
    let wide = (2 * MARGIN + columns * width + columns.saturating_sub(1) * GAP).max(least);
    let size = (wide, top + rows * (height + below + GAP) + 30);
    let place = |row: u32, column: u32| (MARGIN + column * (width + GAP), top + row * (height + below + GAP));
    let mut picture = draw(size, |canvas| {
        let room = f64::from(size.0 - 2 * MARGIN);
        canvas.text(
            &canvas.fitted(grid.title, TEXT, room),
            (f64::from(MARGIN), 18.0),
            Align::Left,
            TEXT,
            INK,
        )?;
        canvas.text(
            &canvas.fitted(grid.notes, SMALL, room),
            (f64::from(MARGIN), 38.0),
            Align::Left,
            SMALL,
            FAINT,
        )?;
        for (column, name) in (0..).zip(&grid.columns) {
            column_name(canvas, name, f64::from(place(0, column).0), f64::from(width))?;
        }
        for (row, (name, _)) in (0..).zip(&grid.rows) {
            let y = f64::from(place(row, 0).1 + height) + 11.0;
            canvas.text(
                &canvas.fitted(name, SMALL, room),
                (f64::from(MARGIN), y),
                Align::Left,
                SMALL,
                FAINT,
            )?;
        }
        canvas.legend(grid.keys, (f64::from(MARGIN), f64::from(size.1) - 18.0)).map(drop)
    })?;
    for (row, (_, cells)) in (0..).zip(&grid.rows) {
        for (column, cell) in (0..).zip(cells) {
            picture.put(cell, place(row, column), factor);
        }
    }
    Ok(picture)
}

/// A name above its column, in two lines where one is too short for it.
fn column_name(canvas: &Canvas<'_>, name: &str, x: f64, width: f64) -> Result<(), Failed> {
    let mut lines = [String::new(), String::new()];
    for word in words(name) {
        let with = format!("{}{word}", lines[0]);
        let fits = lines[1].is_empty() && f64::from(canvas.width(&with, SMALL)) <= width;
        lines[usize::from(!fits)].push_str(word);
    }
    for (line, y) in lines.iter().zip([60.0, 76.0]) {
        canvas.text(&canvas.fitted(line.trim(), SMALL, width), (x, y), Align::Left, SMALL, INK)?;
    }
    Ok(())
}

/// The words of a name that is written together, each with what follows it up to the next.
fn words(name: &str) -> Vec<&str> {
    let mut begins: Vec<usize> = Vec::new();
    let mut before = None;
    for (at, letter) in name.char_indices() {
        let is_new = before
            .is_none_or(|before: char| (before.is_lowercase() && letter.is_uppercase()) || before == ' ');
        if is_new {
            begins.push(at);
        }
        before = Some(letter);
    }
    begins.push(name.len());
    begins.windows(2).map(|pair| &name[pair[0]..pair[1]]).collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn names_are_parted_where_a_word_begins() {
        assert_eq!(words("RandomBrightnessContrast"), ["Random", "Brightness", "Contrast"]);
        assert_eq!(words("D4"), ["D4"]);
        assert_eq!(words("all of them"), ["all ", "of ", "them"]);
        assert!(words("").is_empty());
    }
}
