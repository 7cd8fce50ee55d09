//! The pixels of an image, row by row from the top. What is held is one row, or one row of tiles, whatever the height.

use std::io::Read;
use std::sync::Arc;

use super::super::error::RasterError;
use super::super::sample::{self, SampleKind};
use super::codec::{stream, undo};
use super::directory::{Endian, Source};
use super::layout::Layout;

/// Reads some bands of an image from its first row to its last.
pub(in super::super) struct TiffRows {
    source: Source,
    layout: Arc<Layout>,
    endian: Endian,
    /// Bands to give, in the order they are given.
    channels: Vec<usize>,
    /// Planes those lie in, each once.
    planes: Vec<usize>,
    next: usize,
    /// What an absent chunk is full of.
    absent: f32,
    chunks: Vec<Chunk>,
    spare: Vec<u8>,
}

/// A chunk that the next rows lie in.
enum Chunk {
    /// A strip: its rows come as they are asked for.
    Strip { stream: Box<dyn Read + Send>, row: Vec<u8> },
    /// A tile, decoded.
    Tile { bytes: Vec<u8> },
    /// Not in the file, as GDAL leaves out what is empty.
    Absent,
}

impl TiffRows {
    pub(super) fn new(
        source: Source,
        layout: Arc<Layout>,
        endian: Endian,
        channels: Vec<usize>,
        absent: f32,
    ) -> Self {
        let mut planes = if layout.is_planar { channels.clone() } else { vec![0] };
        planes.sort_unstable();
        planes.dedup();
        Self {
            source,
            layout,
            endian,
            channels,
            planes,
            next: 0,
            absent,
            chunks: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Fills `row` with the next row of every band, one band after another.
    pub(in super::super) fn next_row(&mut self, row: &mut [f32]) -> Result<(), RasterError> {
        let layout = Arc::clone(&self.layout);
        let within = self.next % layout.chunk.1;
        if within == 0 {
            self.begin_chunks(self.next / layout.chunk.1)?;
        }
        let (across, _) = layout.grid();
        for number in 0..self.chunks.len() {
            self.advance(number)?;
            let (plane, column) = (self.planes[number / across], number % across);
            let first = column * layout.chunk.0;
            let width = layout.chunk.0.min(layout.width - first);
            for (place, channel) in self.channels.iter().enumerate() {
                let offset = match layout.is_planar {
                    true if *channel != plane => continue,
                    true => 0,
                    false => *channel,
                };
                let from = place * layout.width + first;
                let into = &mut row[from..from + width];
                match &self.chunks[number] {
                    Chunk::Absent => into.fill(self.absent),
                    Chunk::Strip { row, .. } => {
                        sample::to_floats(row, layout.kind, (offset, layout.samples()), into);
                    }
                    Chunk::Tile { bytes } => {
                        let row_bytes = layout.row_bytes();
                        let row = &bytes[within * row_bytes..(within + 1) * row_bytes];
                        sample::to_floats(row, layout.kind, (offset, layout.samples()), into);
                    }
                }
            }
        }
        self.next += 1;
        Ok(())
    }

    /// Opens the strips or decodes the tiles of a row of chunks.
    fn begin_chunks(&mut self, down: usize) -> Result<(), RasterError> {
        let layout = Arc::clone(&self.layout);
        let (across, rows_of_chunks) = layout.grid();
        self.chunks.clear();
        for plane in self.planes.clone() {
            for column in 0..across {
                let number = (plane * rows_of_chunks + down) * across + column;
                let (at, length) = layout.chunks[number];
                if (at, length) == (0, 0) {
                    self.chunks.push(Chunk::Absent);
                    continue;
                }
                let mut stream = stream(&self.source, layout.compression, at, length);
                if !layout.is_tiled {
                    self.chunks.push(Chunk::Strip { stream, row: vec![0; layout.row_bytes()] });
                    continue;
                }
                let mut bytes = vec![0; layout.row_bytes() * layout.chunk.1];
                stream.read_exact(&mut bytes).map_err(|error| self.cut(number, &error))?;
                for row in bytes.chunks_exact_mut(layout.row_bytes()) {
                    let form = (layout.kind.bytes(), layout.samples());
                    undo(row, &mut self.spare, form, layout.predictor, self.endian);
                }
                self.chunks.push(Chunk::Tile { bytes });
            }
        }
        Ok(())
    }

    /// Decodes the next row of a strip.
    fn advance(&mut self, number: usize) -> Result<(), RasterError> {
        let layout = &self.layout;
        let Chunk::Strip { stream, row } = &mut self.chunks[number] else { return Ok(()) };
        if let Err(error) = stream.read_exact(row) {
            return Err(self.cut(number, &error));
        }
        let form = (layout.kind.bytes(), layout.samples());
        undo(row, &mut self.spare, form, layout.predictor, self.endian);
        Ok(())
    }

    fn cut(&self, number: usize, error: &std::io::Error) -> RasterError {
        self.source.damaged(format!("chunk {number} at row {} does not decode: {error}", self.next))
    }
}

impl std::fmt::Debug for TiffRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TiffRows").field("path", &self.source.path).field("next", &self.next).finish()
    }
}

/// What an absent chunk reads as: the value that means "no data", else 0.
pub(super) fn absent_value(nodata: Option<f64>, kind: SampleKind) -> f32 {
    let value = nodata.unwrap_or(0.0) as f32;
    if kind.is_float() || value.is_finite() { value } else { 0.0 }
}
