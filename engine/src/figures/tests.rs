use super::*;
use crate::metrics::{ConfusionCounts, RegionCounts, ThresholdCounts};

/// How many pixels have a colour, and how many are not white.
fn count(picture: &Picture, colour: Colour) -> (usize, usize) {
    let (pixels, rest) = picture.rgb.as_chunks::<3>();
    assert!(rest.is_empty() && pixels.len() == picture.width as usize * picture.height as usize);
    let of = |is: &dyn Fn(&Colour) -> bool| pixels.iter().filter(|pixel| is(pixel)).count();
    (of(&|pixel| *pixel == colour), of(&|pixel| *pixel != WHITE))
}

fn line(name: &str, y: &[f64]) -> Line {
    Line { name: name.into(), x: (0..y.len()).map(|at| at as f64).collect(), y: y.to_vec() }
}

#[test]
fn charts_are_of_one_size_and_the_same_bytes_every_time() {
    let (probabilities, targets) = ([0.9, 0.8, 0.3, 0.1, 0.6, 0.2], [1, 1, 1, 0, 0, 0]);
    let counts = ThresholdCounts::of(&probabilities, &targets).unwrap();
    let confusion = ConfusionCounts::of(&probabilities, &targets).unwrap();
    let matrix = Matrix {
        classes: ["no", "yes"],
        counts: confusion.matrix(),
        unit: "pixels",
        has_true_negatives: true,
    };
    let all = || {
        [
            roc("ROC", &counts.roc(), counts.auroc()).unwrap(),
            precision_recall("PR", &counts.precision_recall(), 0.5, Some(0.5)).unwrap(),
            confusion_matrix("Confusion", &matrix).unwrap(),
        ]
    };
    let drawn = all();
    assert_eq!(drawn, all());
    for picture in &drawn {
        assert_eq!((picture.width, picture.height), CHART);
        assert!(count(picture, BLACK).1 > 2_000, "the chart is all but empty");
    }
    assert!(count(&drawn[0], BLUE).0 > 500, "the curve is there");
    // The share of a true class goes with its colour: two thirds are found, one third is not.
    assert!(count(&drawn[2], style::cividis(2.0 / 3.0)).0 > 50_000);
    assert!(count(&drawn[2], style::cividis(1.0 / 3.0)).0 > 50_000);
}

#[test]
fn what_has_no_value_is_drawn_without_it() {
    let nothing = ThresholdCounts::default();
    roc("", &nothing.roc(), f64::NAN).unwrap();
    precision_recall("", &nothing.precision_recall(), f64::NAN, None).unwrap();
    let counts = [[0; 2]; 2];
    confusion_matrix("", &Matrix { classes: ["", ""], counts, unit: "", has_true_negatives: false }).unwrap();
    learning_curves("", &[]).unwrap();
    let empty = LinePanel {
        name: String::new(),
        lines: vec![line("a", &[f64::NAN, f64::INFINITY])],
        is_share: false,
    };
    let single = LinePanel { name: String::new(), lines: vec![line("b", &[0.25])], is_share: true };
    assert!(count(&learning_curves("", &[empty, single]).unwrap(), BLUE).0 > 10, "one epoch is a dot");
    bars("", &[], &[]).unwrap();
    bars("", &[], &[BarGroup { name: String::new(), bars: Vec::new() }]).unwrap();
    strip(&Strip { title: "", notes: "", panels: Vec::new(), keys: &[] }).unwrap();
    grid(&Grid { title: "", notes: "", columns: Vec::new(), rows: Vec::new(), keys: &[] }).unwrap();
}

/// Recall of instances falls and rises again: the curve turns back on itself.
#[test]
fn a_curve_that_turns_back_stays_within_its_axes() {
    let curve = crate::metrics::PrecisionRecallCurve {
        precision: vec![0.02, 0.021, 0.02, 0.5, 1.0],
        recall: vec![0.0, 0.2, 0.001, 0.1, 0.0],
        thresholds: vec![0.0, 0.3, 0.6, 0.9],
    };
    let picture = precision_recall("", &curve, 0.1, None).unwrap();
    let (pixels, _) = picture.rgb.as_chunks::<3>();
    let beside = pixels.chunks(CHART.0 as usize).flat_map(|row| &row[..80]);
    assert_eq!(beside.filter(|pixel| **pixel == BLUE).count(), 0);
    assert!(count(&picture, BLUE).0 > 200);
}

#[test]
fn long_names_and_many_regions_find_their_room() {
    let regions = 40;
    let table = crate::data::SampleTable {
        sample_id: (0..regions).map(|id| id.to_string()).collect(),
        region: (0..regions).map(|id| format!("Ямал 北極 {}", "long ".repeat(id))).collect(),
        empty: vec![false; regions],
    };
    let rows: Vec<usize> = (0..regions).collect();
    let mut counts = RegionCounts::new(&table, &rows);
    for row in rows {
        counts.add(row, ConfusionCounts { true_positives: row as u64, ..ConfusionCounts::default() });
    }
    let picture = region_table(&"a title ".repeat(40), &counts.table()).unwrap();
    assert_eq!((picture.width, picture.height), CHART);
    // Nothing is written over the edges.
    let (pixels, _) = picture.rgb.as_chunks::<3>();
    let columns = CHART.0 as usize;
    assert!(
        pixels
            .chunks(columns)
            .all(|row| row[..8].iter().chain(&row[columns - 8..]).all(|pixel| *pixel == WHITE))
    );
}

#[test]
fn a_bar_is_as_long_as_what_it_stands_for() {
    let segments = |positive, negative| vec![Segment { colour: GREEN, positive, negative }];
    let bar =
        |name: &str, positive, negative| Bars { name: name.into(), segments: segments(positive, negative) };
    let group = BarGroup { name: "g".into(), bars: vec![bar("one", 300, 100), bar("two", 0, 200)] };
    let picture = bars("", &[], &[group]).unwrap();
    let (full, faint) = (count(&picture, GREEN).0 as f64, count(&picture, light(GREEN)).0 as f64);
    assert!((full / faint - 1.0).abs() < 0.02, "{full} {faint}");
}

#[test]
fn panels_keep_their_pixels_as_squares() {
    let panel = Picture::of(2, 2, &[BLUE, SKY, ORANGE, PURPLE]);
    let sheet = strip(&Strip { title: "t", notes: "n", panels: vec![("a", panel)], keys: &[] }).unwrap();
    for colour in [BLUE, SKY, ORANGE, PURPLE] {
        assert_eq!(count(&sheet, colour).0, 120 * 120, "{colour:?}");
    }
    let grey = Picture::of(2, 2, &[WHITE, BLACK, BLACK, WHITE]).shrunk(2);
    assert_eq!(grey, Picture::of(1, 1, &[[128; 3]]));
    let mut under = Picture::new(3, 3, BLACK);
    under.put(&Picture::new(2, 2, WHITE), (2, 2), 2);
    assert_eq!(count(&under, WHITE), (1, 8), "what lies beyond the edge is left out");
    assert!(under.png().unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn text_is_told_apart_from_what_it_stands_on() {
    for step in 0..=20 {
        let colour = style::cividis(f64::from(step) / 20.0);
        let light = |[red, green, blue]: Colour| {
            0.2126 * f64::from(red) + 0.7152 * f64::from(green) + 0.0722 * f64::from(blue)
        };
        assert!((light(colour) - light(style::ink_on(colour))).abs() > 75.0, "{colour:?}");
    }
    assert_eq!((style::cividis(f64::NAN), style::cividis(-1.0)), ([226; 3], [0, 34, 78]));
}
