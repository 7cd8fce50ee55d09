//! The eight symmetries of the square, on planes of pixels.

/// A symmetry of the square: a transposition or none, then a flip of rows or none, then of columns or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Symmetry {
    /// Whether rows become columns first.
    pub(super) transpose: bool,
    /// Whether the rows are then taken from below.
    pub(super) flip_rows: bool,
    /// Whether the columns are then taken from the right.
    pub(super) flip_columns: bool,
}

impl Symmetry {
    /// Nothing moves.
    pub(crate) const IDENTITY: Self = Self { transpose: false, flip_rows: false, flip_columns: false };
    /// Left and right swapped.
    pub(super) const HORIZONTAL_FLIP: Self = Self { transpose: false, flip_rows: false, flip_columns: true };
    /// Top and bottom swapped.
    pub(super) const VERTICAL_FLIP: Self = Self { transpose: false, flip_rows: true, flip_columns: false };
    /// Turns by 0, 90, 180 and 270 degrees, counter-clockwise.
    pub(super) const ROTATIONS: [Self; 4] = [
        Self { transpose: false, flip_rows: false, flip_columns: false },
        Self { transpose: true, flip_rows: true, flip_columns: false },
        Self { transpose: false, flip_rows: true, flip_columns: true },
        Self { transpose: true, flip_rows: false, flip_columns: true },
    ];

    /// The symmetry with this number, from 0 to 7; 0 changes nothing.
    pub(super) fn of(number: u8) -> Self {
        Self { transpose: number & 4 != 0, flip_rows: number & 2 != 0, flip_columns: number & 1 != 0 }
    }

    /// This one, and then another, as one.
    pub(super) fn then(self, next: Self) -> Self {
        // A transposition after a flip is a flip of the other axis after the transposition.
        let (rows, columns) = if next.transpose {
            (self.flip_columns, self.flip_rows)
        } else {
            (self.flip_rows, self.flip_columns)
        };
        Self {
            transpose: self.transpose != next.transpose,
            flip_rows: rows != next.flip_rows,
            flip_columns: columns != next.flip_columns,
        }
    }

    /// Appends what it makes of one plane, each pixel converted: one pass where a copy and [`Symmetry::apply`] take three.
    /// A transposition needs a square plane.
    pub(crate) fn append<S: Copy, T>(
        self,
        plane: &[S],
        height: usize,
        width: usize,
        onto: &mut Vec<T>,
        convert: impl Fn(S) -> T + Copy,
    ) {
        debug_assert!(!self.transpose || height == width, "only squares are transposed");
        debug_assert_eq!(plane.len(), height * width, "one plane");
        if self == Self::IDENTITY {
            onto.extend(plane.iter().map(|pixel| convert(*pixel)));
            return;
        }
        for row in 0..height {
            let row = if self.flip_rows { height - 1 - row } else { row };
            if self.transpose {
                let column = |number: usize| convert(plane[number * width + row]);
                if self.flip_columns {
                    onto.extend((0..height).rev().map(column));
                } else {
                    onto.extend((0..height).map(column));
                }
            } else {
                let pixels = plane[row * width..(row + 1) * width].iter().copied().map(convert);
                if self.flip_columns {
                    onto.extend(pixels.rev());
                } else {
                    onto.extend(pixels);
                }
            }
        }
    }

    /// Applies it to each plane of `height` by `width` pixels. A transposition needs square planes.
    pub(super) fn apply<T: Copy>(self, pixels: &mut [T], height: usize, width: usize) {
        debug_assert!(!self.transpose || height == width, "only squares are transposed");
        if height * width == 0 {
            return;
        }
        for plane in pixels.chunks_exact_mut(height * width) {
            if self.transpose {
                for row in 0..height {
                    for column in row + 1..width {
                        plane.swap(row * width + column, column * width + row);
                    }
                }
            }
            if self.flip_rows {
                for row in 0..height / 2 {
                    let (above, below) = plane.split_at_mut((height - 1 - row) * width);
                    above[row * width..(row + 1) * width].swap_with_slice(&mut below[..width]);
                }
            }
            if self.flip_columns {
                plane.chunks_exact_mut(width).for_each(<[T]>::reverse);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Symmetry;

    /// A square without any symmetry of its own.
    const SQUARE: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

    fn image_of(symmetry: Symmetry, mut square: [u8; 9]) -> [u8; 9] {
        symmetry.apply(&mut square, 3, 3);
        square
    }

    #[test]
    fn the_eight_are_different_and_closed_under_composition_with_inverses() {
        let all: HashSet<[u8; 9]> = (0..8).map(|n| image_of(Symmetry::of(n), SQUARE)).collect();
        assert_eq!(all.len(), 8);
        for first in 0..8 {
            let once = image_of(Symmetry::of(first), SQUARE);
            let twice: HashSet<[u8; 9]> = (0..8).map(|n| image_of(Symmetry::of(n), once)).collect();
            // A row of the group's table: every element once, the identity among them.
            assert_eq!(twice, all);
        }
    }

    #[test]
    fn rotations_turn_counter_clockwise_and_add_up() {
        // numpy.rot90 of [[1, 2, 3], [4, 5, 6], [7, 8, 9]].
        assert_eq!(image_of(Symmetry::ROTATIONS[1], SQUARE), [3, 6, 9, 2, 5, 8, 1, 4, 7]);
        let mut turned = SQUARE;
        for rotation in Symmetry::ROTATIONS {
            assert_eq!(turned, image_of(rotation, SQUARE));
            turned = image_of(Symmetry::ROTATIONS[1], turned);
        }
        assert_eq!(turned, SQUARE);
    }

    #[test]
    fn two_in_turn_are_one() {
        for (first, second) in (0..8).flat_map(|first| (0..8).map(move |second| (first, second))) {
            let (first, second) = (Symmetry::of(first), Symmetry::of(second));
            let in_turn = image_of(second, image_of(first, SQUARE));
            assert_eq!(image_of(first.then(second), SQUARE), in_turn, "{first:?} then {second:?}");
        }
        assert_eq!(Symmetry::of(0), Symmetry::IDENTITY);
    }

    #[test]
    fn what_is_appended_is_what_is_applied() {
        let appended = |symmetry: Symmetry, pixels: &[u8], height, width| {
            let mut onto = vec![7_u16];
            symmetry.append(pixels, height, width, &mut onto, u16::from);
            onto
        };
        for symmetry in (0..8).map(Symmetry::of) {
            let applied = image_of(symmetry, SQUARE).map(u16::from);
            assert_eq!(appended(symmetry, &SQUARE, 3, 3), [&[7][..], &applied].concat(), "{symmetry:?}");
            if !symmetry.transpose {
                let mut oblong: Vec<u8> = (0..6).collect();
                let onto = appended(symmetry, &oblong, 2, 3);
                symmetry.apply(&mut oblong, 2, 3);
                assert_eq!(onto[1..], oblong.iter().map(|pixel| u16::from(*pixel)).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn every_plane_moves_and_flips_need_no_square() {
        let mut pixels: Vec<u8> = (0..12).collect();
        Symmetry::HORIZONTAL_FLIP.apply(&mut pixels, 2, 3);
        assert_eq!(pixels, [2, 1, 0, 5, 4, 3, 8, 7, 6, 11, 10, 9]);
        Symmetry::VERTICAL_FLIP.apply(&mut pixels, 2, 3);
        assert_eq!(pixels, [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6]);
    }
}
