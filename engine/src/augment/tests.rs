use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::{AugmentError, Augmentation, Pipeline, Symmetry, key};

const SIDE: usize = 6;

fn pipeline(names: &[&str]) -> Pipeline {
    Pipeline::parse(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap()
}

/// Two channels of distinct values that a mask of the same values follows.
fn sample() -> (Vec<f32>, Vec<u8>) {
    let mask: Vec<u8> = (0..36).collect();
    let image = mask.iter().chain(&mask).map(|&value| f32::from(value)).collect();
    (image, mask)
}

fn augmented(pipeline: &Pipeline, key: u64) -> (Vec<f32>, Vec<u8>) {
    let (mut image, mut mask) = sample();
    pipeline.apply(&mut image, &mut mask, (2, SIDE, SIDE), key).unwrap();
    (image, mask)
}

/// How often each outcome of the mask came in 4000 draws.
fn mask_counts(names: &[&str]) -> BTreeMap<Vec<u8>, u32> {
    let pipeline = pipeline(names);
    let mut counts = BTreeMap::new();
    for sample in 0..4000 {
        *counts.entry(augmented(&pipeline, key(42, 0, sample)).1).or_insert(0) += 1;
    }
    counts
}

#[test]
fn image_and_mask_move_together_in_every_channel() {
    for names in [vec!["D4"], vec!["HorizontalFlip", "RandomRotate90"], vec!["VerticalFlip"]] {
        let pipeline = pipeline(&names);
        for number in 0..64 {
            let (image, mask) = augmented(&pipeline, number);
            let labels: Vec<f32> = mask.iter().map(|&value| f32::from(value)).collect();
            assert_eq!(image[..36], labels);
            assert_eq!(image[36..], labels);
        }
    }
}

#[test]
fn geometric_draws_are_uniform() {
    // Standard deviations of 4000 draws: 32, 27 and 21.
    for (names, outcomes, slack) in [
        (vec!["HorizontalFlip"], 2, 160),
        (vec!["VerticalFlip"], 2, 160),
        (vec!["RandomRotate90"], 4, 140),
        (vec!["D4"], 8, 110),
        (vec!["HorizontalFlip", "VerticalFlip"], 4, 140),
    ] {
        let counts = mask_counts(&names);
        assert_eq!(counts.len(), outcomes, "{names:?}");
        let expected = 4000 / u32::try_from(outcomes).unwrap();
        assert!(counts.values().all(|count| count.abs_diff(expected) < slack), "{names:?} {counts:?}");
    }
}

#[test]
fn both_flips_and_the_turns_become_one_draw_of_the_eight_symmetries() {
    let merged = pipeline(&["Blur", "VerticalFlip", "Posterize", "RandomRotate90", "HorizontalFlip"]);
    assert_eq!(merged.steps(), [Augmentation::Blur, Augmentation::D4, Augmentation::Posterize]);
    let two = pipeline(&["VerticalFlip", "RandomRotate90"]);
    assert_eq!(two.steps(), [Augmentation::VerticalFlip, Augmentation::RandomRotate90]);
    let counts = mask_counts(&["HorizontalFlip", "VerticalFlip", "RandomRotate90"]);
    assert_eq!(counts, mask_counts(&["D4"]));
}

#[test]
fn value_changes_leave_the_mask_alone_and_come_half_the_time_but_posterize_always() {
    let (image, mask) = sample();
    for (name, certain) in [
        ("Blur", false),
        ("RandomBrightnessContrast", false),
        ("MultiplicativeNoise", false),
        ("Posterize", true),
    ] {
        let pipeline = pipeline(&[name]);
        let mut changed = 0_u32;
        for number in 0..2000 {
            let (after, labels) = augmented(&pipeline, key(7, 1, number));
            assert_eq!(labels, mask, "{name}");
            changed += u32::from(after != image);
        }
        let expected = if certain { 2000 } else { 1000 };
        let slack = if certain { 1 } else { 110 };
        assert!(changed.abs_diff(expected) < slack, "{name} {changed}");
    }
}

#[test]
fn steps_come_in_the_listed_order() {
    // Noise and then levels: 64 at most. Levels and then noise: as many as pixels.
    let levels = |names: &[&str], number| {
        let pipeline = pipeline(names);
        let mut image: Vec<f32> = (0..400).map(|value: u16| f32::from(value) + 1.0).collect();
        pipeline.apply(&mut image, &mut [0; 400], (1, 20, 20), number).unwrap();
        image.iter().map(|value| value.to_bits()).collect::<HashSet<_>>().len()
    };
    let most = |names: &[&str]| (0..20).map(|number| levels(names, number)).max().unwrap();
    assert!(most(&["MultiplicativeNoise", "Posterize"]) <= 64);
    assert!(most(&["Posterize", "MultiplicativeNoise"]) > 300);
}

#[test]
fn the_same_key_gives_the_same_sample_on_any_thread_and_another_key_another() {
    let pipeline = pipeline(&["D4", "Blur", "RandomBrightnessContrast", "MultiplicativeNoise", "Posterize"]);
    let here: Vec<_> = (0..32).map(|number| augmented(&pipeline, key(42, 3, number))).collect();
    let there = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..32)
            .rev()
            .map(|number| {
                let pipeline = &pipeline;
                scope.spawn(move || augmented(pipeline, key(42, 3, number)))
            })
            .collect();
        threads.into_iter().rev().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(here, there);
    assert_ne!(here[0], augmented(&pipeline, key(42, 4, 0)));
}

#[test]
fn turns_refuse_unequal_sides_and_change_nothing() {
    for names in [vec!["D4"], vec!["Posterize", "RandomRotate90"]] {
        let (mut image, mut mask) = (vec![0.0, 1.0, 2.0, 3.3, 4.0, 5.0], vec![0, 1, 2, 0, 1, 2]);
        let error = pipeline(&names).apply(&mut image, &mut mask, (1, 2, 3), 1).unwrap_err();
        assert!(matches!(error, AugmentError::NotSquare { height: 2, width: 3, .. }));
        assert_eq!((image[3], mask[3]), (3.3, 0));
    }
    pipeline(&["HorizontalFlip", "Blur"]).check_size(2, 3).unwrap();
}

#[test]
fn buffers_that_do_not_hold_the_shape_are_refused() {
    let error = Pipeline::default().apply(&mut [0.0; 8], &mut [0; 4], (2, 2, 3), 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "image of 8 values and mask of 4 do not hold a sample of 2 x 2 x 3: \
         give the shape of the decoded sample"
    );
}

#[test]
fn an_unknown_name_is_answered_with_the_nearest() {
    let error = Pipeline::parse(&["D4".into(), "RandomRotate9O".into()]).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("augmentation `RandomRotate9O` is not one of HorizontalFlip, "), "{text}");
    assert!(text.ends_with("Posterize, did you mean `RandomRotate90`?"), "{text}");
    let error = Pipeline::parse(&["Solarize".into()]).unwrap_err();
    assert!(matches!(error, AugmentError::Unknown { nearest: None, .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is listed, and in whatever order: labels move, all as one of the eight symmetries moves them, and none is changed,
    /// dropped or blended with its neighbour; the same key does the same again.
    #[test]
    fn no_augmentation_makes_a_label_another(
        names in prop::collection::vec(prop::sample::select(Augmentation::ALL.to_vec()), 0..7),
        number in any::<u64>(),
        labels in prop::collection::vec(0..3_u8, SIDE * SIDE),
    ) {
        let names: Vec<&str> = names.into_iter().map(Augmentation::name).collect();
        let pipeline = pipeline(&names);
        let augmented = || {
            let mut image: Vec<f32> = labels.iter().chain(&labels).map(|&label| f32::from(label)).collect();
            let mut mask = labels.clone();
            pipeline.apply(&mut image, &mut mask, (2, SIDE, SIDE), number).unwrap();
            (image.into_iter().map(f32::to_bits).collect::<Vec<_>>(), mask)
        };
        let (image, mask) = augmented();
        prop_assert_eq!((image, mask.clone()), augmented());
        let moved = (0..8).any(|symmetry| {
            let mut mask = labels.clone();
            Symmetry::of(symmetry).apply(&mut mask, SIDE, SIDE);
            mask == augmented().1
        });
        prop_assert!(moved, "{names:?} made {mask:?} of {labels:?}");
    }
}
