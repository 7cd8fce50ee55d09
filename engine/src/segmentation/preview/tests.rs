use std::io::Cursor;

use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The pixels of a PNG file.
fn decoded(png: &[u8]) -> (u32, u32, Vec<u8>) {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    bytes.truncate(info.buffer_size());
    (info.width, info.height, bytes)
}

fn shown(rows: &[usize], empty: &[bool], bands: &[&str]) -> Shown {
    let ids: Vec<String> = (0..empty.len()).map(|row| format!("s{row}")).collect();
    Shown::among(rows, empty, &ids, &names(bands))
}

/// Two samples of 1 × 5 pixels, the second of them shown.
fn batch() -> Batch {
    let ramp: Vec<f32> = vec![0.0, 1.0, 2.0, 3.0, 4.0];
    let x = [vec![9.0; 15], ramp.clone(), ramp.iter().rev().copied().collect(), vec![7.0; 5]].concat();
    let y = vec![0, 0, 0, 0, 0, 1, 0, 1, 0, 2];
    let target = y.iter().copied().map(i64::from).collect();
    Batch { x, y, target, rows: vec![4, 2], n: 2, c: 3, h: 1, w: 5 }
}

#[test]
fn every_pixel_of_a_tiny_sample_is_as_it_should_be() {
    let shown = shown(&[2], &[false; 5], &["a", "b", "c"]);
    let batch = batch();
    let mut views = shown.views(&batch);
    assert_eq!(views.len(), 1, "row 4 is not shown");
    let probabilities = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.6, 0.5, f32::NAN, 0.8];
    let preview = views.remove(0).with(&probabilities, &batch.y);
    assert_eq!(preview.caption, "s2: 1 px found, 1 false alarms, 1 missed");
    let (width, height, bytes) = decoded(&preview.beside().png().unwrap());
    assert_eq!((width, height), (4 * 5 + 3 * 2, 1));
    let between = [BETWEEN; 2];
    // The third band is the same everywhere.
    let composite: Vec<Colour> =
        [[0, 255], [64, 191], [128, 128], [191, 64], [255, 0]].map(|[up, down]| [up, down, 128]).to_vec();
    let expected = [
        composite.as_slice(),
        &between,
        &[WHITE, BLACK, WHITE, BLACK, IGNORED],
        &between,
        &[[255; 3], [153; 3], [136; 3], [0; 3], [204; 3]],
        &between,
        &[FOUND, FALSE_ALARM, MISSED, BLACK, IGNORED],
    ]
    .concat();
    assert_eq!(bytes, expected.as_flattened());
}

#[test]
fn two_percent_at_either_end_do_not_decide_over_the_rest() {
    let mut band: Vec<f32> = (0..101).map(|value| value as f32).collect();
    band[100] = 1e9;
    band[0] = -1e9;
    assert_eq!(ends(&band), (2.0, 98.0));
    assert_eq!([-1e9, 2.0, 50.0, 98.0, 1e9].map(|value| stretch(value, 2.0, 98.0)), [0, 0, 128, 255, 255]);
    assert_eq!([1.0, 2.0, 3.0].map(|value| stretch(value, 2.0, 2.0)), [0, 128, 255]);
    assert_eq!(ends(&[5.0]), (5.0, 5.0));
}

#[test]
fn large_samples_are_shrunk_by_whole_factors_that_keep_means_and_middles() {
    for (height, width, size, factor) in
        [(256, 256, (256, 256), 1), (257, 100, (129, 50), 2), (1024, 512, (256, 128), 4), (1, 1, (1, 1), 1)]
    {
        let grid = Grid::of(height, width);
        assert_eq!((grid.size(), grid.factor), (size, factor), "{height} × {width}");
        let band: Vec<f32> = (0..height * width).map(|at| at as f32).collect();
        assert_eq!(grid.mean(&band).len(), size.0 * size.1);
        assert_eq!(grid.pick(|_| BLACK).len(), size.0 * size.1);
    }
    let grid = Grid { height: 3, width: 3, factor: 2 };
    let band = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    assert_eq!(grid.mean(&band), [3.0, 4.5, 7.5, 9.0]);
    let picked = grid.pick(|at| [at as u8; 3]);
    assert_eq!(picked, [[4; 3], [5; 3], [7; 3], [8; 3]]);
}

#[test]
fn samples_are_spaced_evenly_positive_ones_first_and_the_same_every_time() {
    // Every third row is without positive pixels; the set begins at row 100.
    let empty: Vec<bool> = (0..400).map(|row| row % 3 == 0).collect();
    let rows: Vec<usize> = (100..400).collect();
    let chosen = shown(&rows, &empty, &["x"]);
    assert_eq!(chosen, shown(&rows, &empty, &["x"]));
    let mut places: Vec<(usize, usize)> =
        chosen.samples.iter().map(|(row, (place, _))| (*place, *row)).collect();
    places.sort_unstable();
    assert_eq!(places.iter().map(|(place, _)| *place).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
    assert!(
        places[..20].iter().all(|(_, row)| !empty[*row]) && places[20..].iter().all(|(_, row)| empty[*row])
    );
    let positive: Vec<usize> = places[..20].iter().map(|(_, row)| *row).collect();
    assert!(positive.windows(2).all(|pair| (13..=17).contains(&(pair[1] - pair[0]))), "{positive:?}");
    // Few are all shown.
    let few = shown(&[5, 6, 7], &empty, &["x"]);
    assert_eq!(few.samples[&5], (0, "s5".into()));
    assert_eq!(few.samples[&6], (2, "s6".into()));
    assert!(shown(&[], &empty, &["x"]).samples.is_empty());
}

#[test]
fn false_colour_is_taken_from_the_names_of_the_bands() {
    assert_eq!(channels(&names(&["blue", "green", "red", "nir", "slope"])), [3, 2, 1]);
    assert_eq!(channels(&names(&["NIR", "Red", "Green"])), [0, 1, 2]);
    assert_eq!(channels(&names(&["a", "b", "red", "nir"])), [0, 1, 2]);
    assert_eq!(channels(&names(&["a", "b"])), [0, 0, 0]);
}

/// Noise in every panel is the worst there is.
#[test]
fn the_picture_of_a_sample_of_128_pixels_takes_less_than_100_kib() {
    const PIXELS: usize = 128 * 128;
    let mut rng = crate::rng::SplitMix64::keyed(1, 2);
    let mut noise = |count: usize| (0..count).map(|_| rng.below(256) as f32).collect::<Vec<f32>>();
    let (x, p) = (noise(3 * PIXELS), noise(PIXELS));
    let probabilities: Vec<f32> = p.iter().map(|value| value / 255.0).collect();
    let y: Vec<u8> = noise(PIXELS).iter().map(|value| (*value as u8) % 3).collect();
    let target = y.iter().copied().map(i64::from).collect();
    let batch = Batch { x, y, target, rows: vec![0], n: 1, c: 3, h: 128, w: 128 };
    let shown = shown(&[0], &[false], &["a", "b", "c"]);
    let preview = shown.views(&batch).remove(0).with(&probabilities, &batch.y);
    let bytes = preview.beside().png().unwrap().len();
    assert!(bytes < 100 * 1024, "{bytes} bytes");
    let written = preview.picture().unwrap().png().unwrap();
    assert_eq!(written, preview.picture().unwrap().png().unwrap());
    assert!(written.len() < 200 * 1024, "{} bytes", written.len());
}
