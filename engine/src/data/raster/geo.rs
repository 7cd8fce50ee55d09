//! Where an image lies on the ground: GeoTIFF's tags, kept as they are and understood as far as is needed.

/// GeoTIFF's own tags, as numbers in a TIFF directory.
///
/// # Sources
/// OGC 19-008r4, GeoTIFF 1.1, sections 7.1 and B.
pub(super) mod tags {
    pub const PIXEL_SCALE: u16 = 33550;
    pub const TIE_POINTS: u16 = 33922;
    pub const TRANSFORMATION: u16 = 34264;
    pub const KEY_DIRECTORY: u16 = 34735;
    pub const DOUBLE_PARAMETERS: u16 = 34736;
    pub const TEXT_PARAMETERS: u16 = 34737;
}

const MODEL_TYPE: u16 = 1024;
const RASTER_TYPE: u16 = 1025;
const GEOGRAPHIC_TYPE: u16 = 2048;
const PROJECTED_TYPE: u16 = 3072;
const MODEL_PROJECTED: u16 = 1;
const MODEL_GEOGRAPHIC: u16 = 2;
const PIXEL_IS_AREA: u16 = 1;
const PIXEL_IS_POINT: u16 = 2;
/// "User-defined" and "undefined" are no codes.
const LARGEST_CODE: u16 = 32766;

/// The tags that georeference an image. What is written has them bit for bit as they were read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Georeference {
    /// Size of a pixel along x, y, z.
    pub(super) pixel_scale: Option<Vec<f64>>,
    /// Six numbers a point: column, row, level, x, y, z.
    pub(super) tie_points: Option<Vec<f64>>,
    /// A 4 x 4 matrix from column, row, level to x, y, z.
    pub(super) transformation: Option<Vec<f64>>,
    /// Four numbers a key: which, where its value lies, how many, the value.
    pub(super) keys: Option<Vec<u16>>,
    /// Numbers that keys point to.
    pub(super) doubles: Option<Vec<f64>>,
    /// Text that keys point to.
    pub(super) texts: Option<Vec<u8>>,
}

/// A reference system by its number in the EPSG register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epsg {
    /// The number.
    pub code: u16,
    /// Whether its coordinates are metres or the like, not degrees.
    pub is_projected: bool,
}

/// From pixels to the ground: `x = ox + column * cx + row * rx`, `y = oy + column * cy + row * ry`, where whole numbers are
/// the corners of pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine {
    /// Where the upper left corner lies.
    pub origin: [f64; 2],
    /// One column to the right.
    pub column: [f64; 2],
    /// One row down.
    pub row: [f64; 2],
}

impl Affine {
    /// The ground below a corner of pixels.
    pub fn at(&self, column: f64, row: f64) -> [f64; 2] {
        let along = |axis: usize| self.origin[axis] + column * self.column[axis] + row * self.row[axis];
        [along(0), along(1)]
    }
}

impl Georeference {
    /// That of an upright rectangle that an image of so many columns and rows fills.
    pub fn of_rectangle(
        (min, max): ([f64; 2], [f64; 2]),
        (height, width): (usize, usize),
        epsg: Option<Epsg>,
    ) -> Self {
        let scale = [(max[0] - min[0]) / width as f64, (max[1] - min[1]) / height as f64, 0.0];
        let keys = epsg.map(|Epsg { code, is_projected }| {
            let (model, key) = if is_projected {
                (MODEL_PROJECTED, PROJECTED_TYPE)
            } else {
                (MODEL_GEOGRAPHIC, GEOGRAPHIC_TYPE)
            };
            let entries = [
                [1, 1, 0, 3],
                [MODEL_TYPE, 0, 1, model],
                [RASTER_TYPE, 0, 1, PIXEL_IS_AREA],
                [key, 0, 1, code],
            ];
            entries.concat()
        });
        Self {
            pixel_scale: Some(scale.to_vec()),
            tie_points: Some(vec![0.0, 0.0, 0.0, min[0], max[1], 0.0]),
            keys,
            ..Self::default()
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// From pixels to the ground; `None` where control points alone say it, or nothing does.
    ///
    /// # Sources
    /// OGC 19-008r4, GeoTIFF 1.1, sections 7.2 (PixelIsPoint is half a pixel off) and B.6.
    pub fn affine(&self) -> Option<Affine> {
        let affine = match (&self.transformation, &self.pixel_scale, &self.tie_points) {
            (Some(m), _, _) if m.len() == 16 => {
                Affine { origin: [m[3], m[7]], column: [m[0], m[4]], row: [m[1], m[5]] }
            }
            (_, Some(scale), Some(point)) if scale.len() >= 2 && point.len() == 6 => {
                let origin = [point[3] - point[0] * scale[0], point[4] + point[1] * scale[1]];
                Affine { origin, column: [scale[0], 0.0], row: [0.0, -scale[1]] }
            }
            _ => return None,
        };
        let affine = match self.key(RASTER_TYPE) {
            Some(PIXEL_IS_POINT) => Affine { origin: affine.at(-0.5, -0.5), ..affine },
            _ => affine,
        };
        let numbers = [affine.origin, affine.column, affine.row];
        numbers.as_flattened().iter().all(|number| number.is_finite()).then_some(affine)
    }

    /// The reference system, where it goes by a number.
    pub fn epsg(&self) -> Option<Epsg> {
        let projected = self.key(PROJECTED_TYPE).map(|code| Epsg { code, is_projected: true });
        let geographic = || self.key(GEOGRAPHIC_TYPE).map(|code| Epsg { code, is_projected: false });
        projected.or_else(geographic).filter(|epsg| (1024..=LARGEST_CODE).contains(&epsg.code))
    }

    /// Whether coordinates of the two mean the same.
    pub fn has_system_of(&self, other: &Self) -> bool {
        match (self.epsg(), other.epsg()) {
            (Some(one), Some(other)) => one == other,
            _ => (&self.keys, &self.doubles, &self.texts) == (&other.keys, &other.doubles, &other.texts),
        }
    }

    /// The value of a key that holds it in place.
    fn key(&self, wanted: u16) -> Option<u16> {
        let entries = self.keys.as_deref()?.get(4..)?;
        let mut entries = entries.as_chunks::<4>().0.iter();
        entries.find(|[key, place, ..]| *key == wanted && *place == 0).map(|[.., value]| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rectangle_is_found_again_from_its_tags() {
        let epsg = Epsg { code: 32633, is_projected: true };
        let reference = Georeference::of_rectangle(([100.0, 200.0], [180.0, 240.0]), (4, 8), Some(epsg));
        assert_eq!(reference.epsg(), Some(epsg));
        let affine = reference.affine().unwrap();
        assert_eq!(affine.at(0.0, 0.0), [100.0, 240.0]);
        assert_eq!(affine.at(8.0, 4.0), [180.0, 200.0]);
        let degrees = Epsg { code: 4326, is_projected: false };
        let other = Georeference::of_rectangle(([0.0, 0.0], [1.0, 1.0]), (1, 1), Some(degrees));
        assert_eq!(other.epsg(), Some(degrees));
        assert!(!other.has_system_of(&reference) && other.has_system_of(&other.clone()));
    }

    #[test]
    fn a_point_in_the_middle_of_a_pixel_is_half_a_pixel_off_its_corner() {
        let of_points = Georeference {
            pixel_scale: Some(vec![10.0, 10.0, 0.0]),
            tie_points: Some(vec![0.0, 0.0, 0.0, 5.0, 95.0, 0.0]),
            keys: Some(vec![1, 1, 0, 1, RASTER_TYPE, 0, 1, PIXEL_IS_POINT]),
            ..Georeference::default()
        };
        assert_eq!(of_points.affine().unwrap().at(0.0, 0.0), [0.0, 100.0]);
    }

    #[test]
    fn a_matrix_may_turn_and_control_points_alone_are_no_matrix() {
        let mut matrix = vec![0.0; 16];
        (matrix[0], matrix[1], matrix[3]) = (0.0, 2.0, 7.0);
        (matrix[4], matrix[5], matrix[7]) = (3.0, 0.0, 9.0);
        let turned = Georeference { transformation: Some(matrix), ..Georeference::default() };
        assert_eq!(turned.affine().unwrap().at(1.0, 2.0), [11.0, 12.0]);
        let points = Georeference { tie_points: Some(vec![0.0; 24]), ..Georeference::default() };
        assert_eq!(points.affine(), None);
        assert!(Georeference::default().is_empty() && !points.is_empty());
        let infinite = Georeference { transformation: Some(vec![f64::NAN; 16]), ..Georeference::default() };
        assert_eq!(infinite.affine(), None);
    }

    #[test]
    fn keys_that_end_early_are_no_panic() {
        for length in 0..9 {
            let keys = Some(vec![1; length]);
            assert_eq!(Georeference { keys, ..Georeference::default() }.epsg(), None);
        }
    }
}
