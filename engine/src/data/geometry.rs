//! Where on the ground a sample lies: footprints read from well-known binary, and which of them meet.

/// Relative to a footprint's size, how near two footprints may lie and still count as touching: coordinates
/// of neighbouring patches differ by rounding when they were projected.
const TOUCH_TOLERANCE: f64 = 1e-6;

/// The outer rings of one sample's geometry, in the unit of its reference system.
///
/// Holes are left out: a patch inside another's hole counts as meeting it.
#[derive(Debug, Clone, PartialEq)]
pub struct Footprint {
    rings: Vec<Vec<[f64; 2]>>,
    min: [f64; 2],
    max: [f64; 2],
}

impl Footprint {
    /// Reads a polygon or multipolygon; `None` for an empty or another kind of geometry.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    ///
    /// # Sources
    /// OGC 06-103r4, Simple feature access, section 8.2; PostGIS's EWKB flags for Z, M and SRID.
    pub(super) fn from_wkb(bytes: &[u8]) -> Result<Option<Self>, &'static str> {
        let mut reader = Reader { bytes };
        let mut rings = Vec::new();
        if !reader.geometry(&mut rings, Nested::No)? || rings.is_empty() {
            return Ok(None);
        }
        let mut min = [f64::INFINITY; 2];
        let mut max = [f64::NEG_INFINITY; 2];
        for point in rings.iter().flatten() {
            for axis in 0..2 {
                min[axis] = min[axis].min(point[axis]);
                max[axis] = max[axis].max(point[axis]);
            }
        }
        Ok(Some(Self { rings, min, max }))
    }

    /// Smallest and largest coordinates.
    pub fn bounds(&self) -> ([f64; 2], [f64; 2]) {
        (self.min, self.max)
    }

    /// Whether it is a rectangle along the axes: every corner at an end of both.
    pub fn is_upright(&self) -> bool {
        let [ring] = self.rings.as_slice() else { return false };
        let reach = self.reach();
        let at_end = |point: &[f64; 2]| {
            (0..2).all(|axis| (point[axis] - self.min[axis]).min(self.max[axis] - point[axis]).abs() <= reach)
        };
        ring.len() == 5 && ring.iter().all(at_end) && (0..2).all(|axis| self.min[axis] < self.max[axis])
    }

    /// Whether the two overlap or touch.
    pub fn meets(&self, other: &Self) -> bool {
        let reach = self.reach().max(other.reach());
        (0..2).all(|axis| {
            self.min[axis] <= other.max[axis] + reach && other.min[axis] <= self.max[axis] + reach
        }) && self.rings.iter().any(|a| other.rings.iter().any(|b| rings_meet(a, b, reach)))
    }

    fn reach(&self) -> f64 {
        TOUCH_TOLERANCE * (self.max[0] - self.min[0]).max(self.max[1] - self.min[1])
    }
}

/// Pairs of one footprint of `left` and one of `right` that overlap or touch, by their positions.
///
/// Sweeps along the first axis: cost grows with the pairs whose extents meet there.
pub(super) fn meeting_pairs(left: &[&Footprint], right: &[&Footprint]) -> Vec<(usize, usize)> {
    let mut by_start: Vec<usize> = (0..right.len()).collect();
    by_start.sort_by(|a, b| right[*a].min[0].total_cmp(&right[*b].min[0]));
    let widest = right.iter().map(|print| print.max[0] - print.min[0] + print.reach()).fold(0.0, f64::max);
    let mut pairs = Vec::new();
    for (i, print) in left.iter().enumerate() {
        let slack = print.reach();
        let first = by_start.partition_point(|j| right[*j].min[0] < print.min[0] - widest - slack);
        for &j in &by_start[first..] {
            if right[j].min[0] > print.max[0] + slack + right[j].reach() {
                break;
            }
            if print.meets(right[j]) {
                pairs.push((i, j));
            }
        }
    }
    pairs
}

fn rings_meet(a: &[[f64; 2]], b: &[[f64; 2]], reach: f64) -> bool {
    let near = edges(a).any(|(p, q)| edges(b).any(|(r, s)| segments_meet(p, q, r, s, reach)));
    near || b.first().is_some_and(|point| contains(a, *point))
        || a.first().is_some_and(|point| contains(b, *point))
}

fn edges(ring: &[[f64; 2]]) -> impl Iterator<Item = ([f64; 2], [f64; 2])> {
    ring.windows(2).map(|pair| (pair[0], pair[1]))
}

/// Even-odd rule; a point on the border may fall on either side.
fn contains(ring: &[[f64; 2]], [x, y]: [f64; 2]) -> bool {
    let crossings = edges(ring)
        .filter(|(p, q)| (p[1] > y) != (q[1] > y) && x < p[0] + (y - p[1]) * (q[0] - p[0]) / (q[1] - p[1]));
    crossings.count() % 2 == 1
}

fn segments_meet(p: [f64; 2], q: [f64; 2], r: [f64; 2], s: [f64; 2], reach: f64) -> bool {
    let side =
        |a: [f64; 2], b: [f64; 2], c: [f64; 2]| (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    let cross = side(p, q, r) * side(p, q, s) < 0.0 && side(r, s, p) * side(r, s, q) < 0.0;
    cross
        || [(p, r, s), (q, r, s), (r, p, q), (s, p, q)]
            .into_iter()
            .any(|(point, from, to)| distance_squared(point, from, to) <= reach * reach)
}

/// Squared distance of a point from a segment.
fn distance_squared(point: [f64; 2], from: [f64; 2], to: [f64; 2]) -> f64 {
    let along = [to[0] - from[0], to[1] - from[1]];
    let offset = [point[0] - from[0], point[1] - from[1]];
    let length = along[0] * along[0] + along[1] * along[1];
    let share = if length > 0.0 {
        ((offset[0] * along[0] + offset[1] * along[1]) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    let gap = [offset[0] - share * along[0], offset[1] - share * along[1]];
    gap[0] * gap[0] + gap[1] * gap[1]
}

/// Whether a geometry stands by itself or is a member of a multipolygon.
#[derive(PartialEq)]
enum Nested {
    No,
    Yes,
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    /// Appends the outer rings; `false` if it is no polygon.
    fn geometry(&mut self, rings: &mut Vec<Vec<[f64; 2]>>, nested: Nested) -> Result<bool, &'static str> {
        let little = match self.take::<1>()?[0] {
            0 => false,
            1 => true,
            _ => return Err("byte order mark is neither 0 nor 1"),
        };
        let code = self.count(little)?;
        if code & 0x2000_0000 != 0 {
            self.count(little)?; // reference system
        }
        let iso = (code & 0x0fff_ffff) / 1000;
        let extra = usize::from(code & 0x8000_0000 != 0 || iso == 1 || iso == 3)
            + usize::from(code & 0x4000_0000 != 0 || iso == 2 || iso == 3);
        match ((code & 0x0fff_ffff) % 1000, nested) {
            (3, _) => self.polygon(rings, little, 2 + extra).map(|()| true),
            (6, Nested::No) => {
                for _ in 0..self.count(little)? {
                    if !self.geometry(rings, Nested::Yes)? {
                        return Err("a member of a multipolygon is no polygon");
                    }
                }
                Ok(true)
            }
            (1..=17, _) => Ok(false),
            _ => Err("unknown geometry type"),
        }
    }

    fn polygon(
        &mut self,
        rings: &mut Vec<Vec<[f64; 2]>>,
        little: bool,
        dims: usize,
    ) -> Result<(), &'static str> {
        for number in 0..self.count(little)? {
            let mut ring = Vec::new();
            for _ in 0..self.count(little)? {
                let point = [self.coordinate(little)?, self.coordinate(little)?];
                for _ in 2..dims {
                    self.coordinate(little)?; // height or measure
                }
                if !point.iter().all(|value| value.is_finite()) {
                    return Err("a coordinate is not finite");
                }
                ring.push(point);
            }
            if number == 0 && !ring.is_empty() {
                rings.push(ring);
            }
        }
        Ok(())
    }

    fn coordinate(&mut self, little: bool) -> Result<f64, &'static str> {
        let bytes = self.take::<8>()?;
        Ok(if little { f64::from_le_bytes(bytes) } else { f64::from_be_bytes(bytes) })
    }

    fn count(&mut self, little: bool) -> Result<u32, &'static str> {
        let bytes = self.take::<4>()?;
        Ok(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (head, tail) = self.bytes.split_first_chunk::<N>().ok_or("it ends too early")?;
        self.bytes = tail;
        Ok(*head)
    }
}

/// The axis-parallel rectangle between two corners as well-known binary.
pub(super) fn rectangle_wkb(min: [f64; 2], max: [f64; 2]) -> Vec<u8> {
    quadrilateral_wkb([min, [max[0], min[1]], max, [min[0], max[1]]])
}

/// Four corners, one after another around it, as well-known binary.
pub(super) fn quadrilateral_wkb(corners: [[f64; 2]; 4]) -> Vec<u8> {
    let mut wkb = vec![1u8];
    for count in [3u32, 1, 5] {
        wkb.extend(count.to_le_bytes());
    }
    let ring = corners.iter().chain(corners.first());
    wkb.extend(ring.flatten().flat_map(|value| value.to_le_bytes()));
    wkb
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: f64, y: f64, size: f64) -> Footprint {
        Footprint::from_wkb(&rectangle_wkb([x, y], [x + size, y + size])).unwrap().unwrap()
    }

    #[test]
    fn squares_that_overlap_touch_or_contain_meet() {
        let a = square(0.0, 0.0, 10.0);
        assert!(a.meets(&square(5.0, 5.0, 10.0)), "overlap");
        assert!(a.meets(&square(10.0, 0.0, 10.0)), "common edge");
        assert!(a.meets(&square(10.0, 10.0, 10.0)), "common corner");
        assert!(a.meets(&square(10.000_001, 0.0, 10.0)), "apart by rounding");
        assert!(a.meets(&square(2.0, 2.0, 1.0)) && square(2.0, 2.0, 1.0).meets(&a), "contained");
        assert!(!a.meets(&square(10.1, 0.0, 10.0)), "apart");
        assert!(!a.meets(&square(10.1, 10.1, 10.0)), "apart at the corner");
    }

    #[test]
    fn a_rectangle_along_the_axes_is_told_from_a_turned_one() {
        assert!(square(3.0, 4.0, 10.0).is_upright());
        let of = |corners| Footprint::from_wkb(&quadrilateral_wkb(corners)).unwrap().unwrap();
        assert!(of([[0.0, 0.0], [0.0, 2.0], [5.0, 2.0], [5.0, 0.0]]).is_upright());
        assert!(!of([[0.0, 1.0], [1.0, 2.0], [2.0, 1.0], [1.0, 0.0]]).is_upright());
        assert!(!of([[0.0, 0.0], [0.1, 2.0], [5.1, 2.0], [5.0, 0.0]]).is_upright());
    }

    #[test]
    fn bounding_boxes_alone_do_not_meet() {
        // Two diamonds side by side: the boxes overlap, the diamonds do not.
        let diamond = |x: f64, y: f64| {
            let mut wkb = vec![1u8];
            for count in [3u32, 1, 5] {
                wkb.extend(count.to_le_bytes());
            }
            for [dx, dy] in [[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0], [0.0, 1.0]] {
                wkb.extend((x + dx).to_le_bytes());
                wkb.extend((y + dy).to_le_bytes());
            }
            Footprint::from_wkb(&wkb).unwrap().unwrap()
        };
        assert!(!diamond(0.0, 0.0).meets(&diamond(1.5, 1.5)));
        assert!(diamond(0.0, 0.0).meets(&diamond(1.0, 0.5)));
    }

    #[test]
    fn the_sweep_finds_what_comparing_all_finds() {
        let mut generator = crate::rng::SplitMix64::new(3);
        let mut draw = |n: usize| -> Vec<Footprint> {
            (0..n)
                .map(|_| {
                    let mut unit = || f64::from(generator.unit_single());
                    square(unit() * 40.0, unit() * 40.0, 0.5 + unit() * 6.0)
                })
                .collect()
        };
        let (left, right) = (draw(60), draw(50));
        let (left, right): (Vec<_>, Vec<_>) = (left.iter().collect(), right.iter().collect());
        let mut expected = Vec::new();
        for (i, a) in left.iter().enumerate() {
            expected.extend(right.iter().enumerate().filter(|(_, b)| a.meets(b)).map(|(j, _)| (i, j)));
        }
        let mut found = meeting_pairs(&left, &right);
        found.sort_unstable();
        assert!(expected.len() > 50);
        assert_eq!(found, expected);
    }

    #[test]
    fn big_endian_multipolygons_with_height_are_read() {
        let mut wkb = vec![0u8];
        wkb.extend(1006u32.to_be_bytes());
        wkb.extend(2u32.to_be_bytes());
        for shift in [0.0f64, 10.0] {
            wkb.push(0);
            for count in [1003u32, 1, 4] {
                wkb.extend(count.to_be_bytes());
            }
            for [x, y] in [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0f64]] {
                for value in [x + shift, y, 99.0] {
                    wkb.extend(value.to_be_bytes());
                }
            }
        }
        let print = Footprint::from_wkb(&wkb).unwrap().unwrap();
        assert_eq!(print.bounds(), ([0.0, 0.0], [11.0, 1.0]));
        assert!(print.meets(&square(10.2, 0.2, 0.1)));
        assert!(!print.meets(&square(4.0, 0.2, 0.1)));
    }

    #[test]
    fn points_have_no_footprint_and_cut_bytes_are_an_error() {
        let mut point = vec![1u8];
        point.extend(1u32.to_le_bytes());
        point.extend([0u8; 16]);
        assert_eq!(Footprint::from_wkb(&point), Ok(None));
        let whole = rectangle_wkb([0.0, 0.0], [1.0, 1.0]);
        for cut in 0..whole.len() {
            assert!(Footprint::from_wkb(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }
}
