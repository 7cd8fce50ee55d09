use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    Division, Fold, FoldError, FoldWarning, SampleTable, Side, divide, divide_without_folds, folds,
    split_test, subsample, warnings,
};
use crate::segmentation::settings::{FoldMethod, SegmentationSettings, TestSplit};

/// A table of one sample per letter of `regions`; capitals are positive.
fn table(regions: &str) -> SampleTable {
    SampleTable {
        sample_id: (0..regions.len()).map(|n| format!("scene-{}", n / 2)).collect(),
        region: regions.chars().map(|letter| letter.to_lowercase().to_string()).collect(),
        empty: regions.chars().map(char::is_lowercase).collect(),
    }
}

fn all(table: &SampleTable) -> Vec<usize> {
    (0..table.len()).collect()
}

fn settings(test_split: Option<TestSplit>, method: FoldMethod, total_folds: u32) -> SegmentationSettings {
    SegmentationSettings {
        train_data_dir: "data".into(),
        test_split,
        fold_method: method,
        total_folds,
        subsample: None,
        in_memory: false,
        max_epochs: 1,
        early_stopping_patience: 0,
        num_workers: 0,
        save_top_k: 1,
        log_every_n_steps: 0,
        accumulate_grad_batches: 1,
        gradient_clip: None,
        precision: crate::nn::Precision::Single,
        check_val_every_n_epoch: 1,
        plot_every_n_val_epochs: 0,
        checkpoint_every_n_steps: None,
        weights_from_checkpoint: None,
        continue_from_checkpoint: None,
        backend: None,
    }
}

fn fold(train: &[usize], val: &[usize]) -> Fold {
    Fold { train: train.to_vec(), val: val.to_vec() }
}

// Expected values of the next three: scikit-learn 1.9.1, pandas 3.1.1, numpy 2.4.6 on the same table.

const REGIONS: &str = "aBBcaAdDcbBaCdDE";

#[test]
fn every_method_gives_scikit_learn_s_folds() {
    let table = table(REGIONS);
    let rows = all(&table);
    let first_two = |method, k| folds(&table, &rows, method, k).unwrap()[..2].to_vec();
    assert_eq!(
        first_two(FoldMethod::Kfold, 3),
        [
            fold(&[6, 7, 8, 9, 10, 11, 12, 13, 14, 15], &[0, 1, 2, 3, 4, 5]),
            fold(&[0, 1, 2, 3, 4, 5, 11, 12, 13, 14, 15], &[6, 7, 8, 9, 10])
        ]
    );
    assert_eq!(
        first_two(FoldMethod::Shuffle, 3),
        [
            fold(&[1, 12, 3, 6, 15, 10, 13, 5, 9, 4, 8, 0, 2, 7], &[11, 14]),
            fold(&[15, 4, 8, 13, 10, 1, 6, 2, 12, 0, 9, 7, 11, 14], &[3, 5])
        ]
    );
    assert_eq!(
        first_two(FoldMethod::Stratified, 3),
        [
            fold(&[1, 2, 3, 6, 7, 9, 10, 11, 13, 15], &[0, 4, 5, 8, 12, 14]),
            fold(&[0, 2, 4, 5, 6, 8, 10, 12, 13, 14, 15], &[1, 3, 7, 9, 11])
        ]
    );
    assert_eq!(
        first_two(FoldMethod::Region, 3),
        [
            fold(&[0, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15], &[1, 2, 9, 10]),
            fold(&[0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 15], &[6, 7, 13, 14])
        ]
    );
    assert_eq!(
        first_two(FoldMethod::RegionStratified, 3),
        [
            fold(&[0, 3, 4, 5, 8, 11, 12, 15], &[1, 2, 6, 7, 9, 10, 13, 14]),
            fold(&[1, 2, 3, 6, 7, 8, 9, 10, 12, 13, 14, 15], &[0, 4, 5, 11])
        ]
    );
}

#[test]
fn a_group_that_fits_several_folds_alike_goes_to_the_one_with_fewest_samples() {
    let table = table("BEaCac");
    let made = folds(&table, &all(&table), FoldMethod::RegionStratified, 3).unwrap();
    let val: Vec<&[usize]> = made.iter().map(|fold| fold.val.as_slice()).collect();
    assert_eq!(val, [&[2, 3, 4, 5][..], &[0], &[1]]);
}

#[test]
fn a_lone_class_is_spread_as_numpy_adds_a_lone_column() {
    let table = table("AILECJDKDM");
    let made = folds(&table, &all(&table), FoldMethod::RegionStratified, 8).unwrap();
    let val: Vec<Vec<usize>> = made.into_iter().map(|fold| fold.val).collect();
    assert_eq!(val, [vec![2, 7], vec![4], vec![5], vec![0], vec![9], vec![6, 8], vec![1], vec![3]]);
}

#[test]
fn folds_of_some_rows_work_on_positions_and_answer_with_rows() {
    let table = table(REGIONS);
    let rows = [14, 3, 5, 7, 0, 11, 2, 9, 12];
    let made = folds(&table, &rows, FoldMethod::Stratified, 2).unwrap();
    assert_eq!(made[1], fold(&[14, 3, 7, 11, 2], &[5, 0, 9, 12]));
    let made = folds(&table, &rows, FoldMethod::Region, 2).unwrap();
    assert_eq!(made[1], fold(&[14, 3, 5, 7, 0, 11, 12], &[2, 9]));
    let made = folds(&table, &rows, FoldMethod::RegionStratified, 2).unwrap();
    assert_eq!(made[1], fold(&[14, 3, 7, 2, 9, 12], &[5, 0, 11]));
    let made = folds(&table, &rows, FoldMethod::Kfold, 2).unwrap();
    assert_eq!(made[1], fold(&[14, 3, 5, 7, 0], &[11, 2, 9, 12]));
}

#[test]
fn samples_are_pandas_s_in_drawn_order() {
    assert_eq!(subsample(16, 6).unwrap(), [0, 1, 5, 14, 13, 11]);
    let table = table(REGIONS);
    let (train, test) = split_test(&table, &all(&table), &TestSplit::Random(0.25)).unwrap();
    assert_eq!(train, [0, 1, 5, 14, 13, 11, 8, 9, 2, 15, 4, 7]);
    assert_eq!(test, [3, 6, 10, 12]);
    // 0.5 of 5 rows: half to even, so 2 to train on.
    let five = self::table("ABABA");
    assert_eq!(split_test(&five, &all(&five), &TestSplit::Random(0.5)).unwrap().0, [1, 4]);
}

#[test]
fn a_random_test_set_without_positives_takes_the_next_seed() {
    // One positive among 20: seed 42 leaves it in train.
    let mut regions = "a".repeat(20);
    regions.replace_range(7..8, "A");
    let table = table(&regions);
    let (train, test) = split_test(&table, &all(&table), &TestSplit::Random(0.1)).unwrap();
    assert!(test.contains(&7));
    assert_eq!((train.len(), test.len()), (18, 2));
    let negative = self::table(&"a".repeat(20));
    let error = split_test(&negative, &all(&negative), &TestSplit::Random(0.1)).unwrap_err();
    assert_eq!(error, FoldError::NoPositiveTestSample { fraction: 0.1, first_seed: 42, last_seed: 141 });
}

#[test]
fn named_test_sets_keep_the_order_of_the_rows() {
    let table = table("aBcA");
    let region = split_test(&table, &[3, 2, 1, 0], &TestSplit::Region(vec!["a".into()])).unwrap();
    assert_eq!(region, (vec![2, 1], vec![3, 0]));
    let sample = split_test(&table, &[3, 2, 1, 0], &TestSplit::Sample(vec!["scene-1".into()])).unwrap();
    assert_eq!(sample, (vec![1, 0], vec![3, 2]));
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let mut table = table("aB");
    table.region = vec!["Banks Island".into(), "Herschel".into()];
    let error = split_test(&table, &[0, 1], &TestSplit::Region(vec!["herschell".into()])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "region `herschell` of the test split has no sample in the metadata, did you mean `Herschel`?"
    );
    let error = split_test(&table, &[0, 1], &TestSplit::Sample(vec!["scene-9".into()])).unwrap_err();
    assert!(matches!(error, FoldError::UnknownSampleId { nearest: Some(ref id), .. } if id == "scene-0"));
}

#[test]
fn what_cannot_be_divided_is_refused_by_name() {
    let table = table("aAbB");
    let rows = all(&table);
    let refused = |method, k| folds(&table, &rows, method, k).unwrap_err();
    assert!(matches!(refused(FoldMethod::Kfold, 1), FoldError::TooFewFolds { least: 2, .. }));
    assert!(matches!(refused(FoldMethod::Shuffle, 0), FoldError::TooFewFolds { least: 1, .. }));
    assert!(matches!(refused(FoldMethod::Kfold, 5), FoldError::TooManyFolds { available: 4, .. }));
    assert!(matches!(refused(FoldMethod::Stratified, 3), FoldError::TooManyFolds { available: 2, .. }));
    assert!(matches!(
        refused(FoldMethod::Shuffle, 2),
        FoldError::TooFewSamples { side: "validate", samples: 1, classes: 2, least: 10 }
    ));
    let groups = self::table("aAaAbBbB");
    let error = folds(&groups, &all(&groups), FoldMethod::RegionStratified, 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "fold method region-stratified cannot make 3 folds of 2 regions: lower total-folds to 2 at most"
    );
    let lonely = self::table(&("a".repeat(19) + "A"));
    let error = folds(&lonely, &all(&lonely), FoldMethod::Shuffle, 2).unwrap_err();
    assert_eq!(error, FoldError::LonelySample { class: "positive" });
    let one = self::table("aAaA");
    let error = folds(&one, &all(&one), FoldMethod::Region, 2).unwrap_err();
    assert!(matches!(error, FoldError::EmptyTrain { .. }));
    assert!(matches!(
        folds(&table, &[9], FoldMethod::Kfold, 2),
        Err(FoldError::NoSuchRow { row: 9, rows: 4 })
    ));
    assert!(matches!(folds(&table, &[], FoldMethod::None, 1), Err(FoldError::EmptyTrain { .. })));
}

#[test]
fn fractions_and_subsamples_out_of_range_are_refused() {
    let table = table("aAbB");
    for fraction in [0.0, 1.0, -0.2, 20.0, f64::NAN] {
        let error = split_test(&table, &all(&table), &TestSplit::Random(fraction)).unwrap_err();
        assert!(matches!(error, FoldError::FractionOutOfRange { .. }));
    }
    let split = |fraction| split_test(&table, &all(&table), &TestSplit::Random(fraction)).unwrap_err();
    assert_eq!(split(0.01), FoldError::EmptyTest { samples: 4 });
    assert!(matches!(split(0.99), FoldError::EmptyTrain { .. }));
    assert_eq!(subsample(4, 5), Err(FoldError::SubsampleOutOfRange { wanted: 5, rows: 4 }));
    assert_eq!(subsample(4, 0), Err(FoldError::SubsampleOutOfRange { wanted: 0, rows: 4 }));
}

#[test]
fn a_division_is_subsample_then_test_split_then_fold() {
    let table = table(REGIONS);
    let split = TestSplit::Random(0.25);
    let mut settings = settings(Some(split.clone()), FoldMethod::Stratified, 2);
    settings.subsample = Some(12);
    let rows = subsample(16, 12).unwrap();
    let (rest, test) = split_test(&table, &rows, &split).unwrap();
    let fold = folds(&table, &rest, FoldMethod::Stratified, 2).unwrap().remove(1);
    let division = divide(&table, &settings, 1).unwrap();
    assert_eq!(division, Division { train: fold.train, val: fold.val, test: test.clone() });
    let whole = divide_without_folds(&table, &settings).unwrap();
    assert_eq!(whole, Division { train: rest, val: Vec::new(), test });
}

#[test]
fn a_division_refuses_folds_that_are_not_there_or_empty() {
    let table = table("aAbB");
    let error = divide(&table, &settings(None, FoldMethod::Kfold, 2), 2).unwrap_err();
    assert_eq!(error, FoldError::NoSuchFold { fold: 2, method: "kfold", total_folds: 2 });
    let everything = divide(&table, &settings(None, FoldMethod::None, 5), 0).unwrap();
    assert_eq!((&everything.train, &everything.val), (&all(&table), &all(&table)));
    let error = divide(&table, &settings(None, FoldMethod::None, 5), 1).unwrap_err();
    assert_eq!(error, FoldError::NoSuchFold { fold: 1, method: "none", total_folds: 1 });
    let mut ragged = table.clone();
    ragged.region.pop();
    let error = divide(&ragged, &settings(None, FoldMethod::None, 1), 0).unwrap_err();
    assert_eq!(error, FoldError::RaggedTable { sample_id: 4, region: 3, empty: 4 });
}

#[test]
fn sides_without_positives_and_shared_names_are_warned_of() {
    let table = table("aAbBcc");
    let division = Division { train: vec![0, 1, 2], val: vec![3, 4], test: vec![5] };
    let found = warnings(&table, &division);
    let shared =
        |a, b, region: &str| FoldWarning::SharedRegions { sides: (a, b), regions: vec![region.into()] };
    assert_eq!(found[0], FoldWarning::NoPositives { side: Side::Test, samples: 1 });
    assert_eq!(found[1], shared(Side::Train, Side::Val, "b"));
    assert_eq!(found[2].to_string(), "1 sample id is in both train and validation: scene-1");
    assert_eq!(found[3], shared(Side::Val, Side::Test, "c"));
    assert_eq!(found.len(), 5);
    let apart = Division { train: vec![0, 1], val: vec![2, 3], test: Vec::new() };
    assert!(warnings(&table, &apart).is_empty());
    let same = divide(&table, &settings(None, FoldMethod::None, 1), 0).unwrap();
    assert!(warnings(&table, &same).is_empty());
}

fn tables() -> impl Strategy<Value = SampleTable> {
    prop::collection::vec((any::<bool>(), 0..6_u8), 1..60).prop_map(|samples| SampleTable {
        sample_id: (0..samples.len()).map(|n| n.to_string()).collect(),
        region: samples.iter().map(|(_, region)| region.to_string()).collect(),
        empty: samples.iter().map(|&(empty, _)| empty).collect(),
    })
}

fn methods() -> impl Strategy<Value = FoldMethod> {
    prop::sample::select(vec![
        FoldMethod::Kfold,
        FoldMethod::Shuffle,
        FoldMethod::Stratified,
        FoldMethod::Region,
        FoldMethod::RegionStratified,
    ])
}

proptest! {
    /// F-1: a fold's sides are disjoint and together every row; partitions validate each row once.
    #[test]
    fn f1_sides_are_disjoint_and_complete(table in tables(), method in methods(), k in 1..8_u32) {
        let rows = all(&table);
        let Ok(made) = folds(&table, &rows, method, k) else { return Ok(()) };
        prop_assert_eq!(made.len(), k as usize);
        for fold in &made {
            let both: BTreeSet<usize> = fold.train.iter().chain(&fold.val).copied().collect();
            prop_assert_eq!(both.len(), fold.train.len() + fold.val.len());
            prop_assert_eq!(both.into_iter().collect::<Vec<_>>(), rows.clone());
        }
        if !matches!(method, FoldMethod::Shuffle | FoldMethod::Region) {
            let mut validated: Vec<usize> = made.iter().flat_map(|fold| fold.val.clone()).collect();
            validated.sort_unstable();
            prop_assert_eq!(validated, rows);
        }
    }

    /// F-2: the methods by region never put one region on both sides.
    #[test]
    fn f2_regions_stay_whole(table in tables(), k in 1..6_u32) {
        for method in [FoldMethod::Region, FoldMethod::RegionStratified] {
            for Fold { train, val } in folds(&table, &all(&table), method, k).unwrap_or_default() {
                let division = Division { train, val, test: Vec::new() };
                let crosses = warnings(&table, &division)
                    .iter()
                    .any(|found| matches!(found, FoldWarning::SharedRegions { .. }));
                prop_assert!(!crosses);
            }
        }
    }
}
