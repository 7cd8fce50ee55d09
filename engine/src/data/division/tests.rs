use super::{
    DivisionError, FoldWarning, SampleTable, Side, divide, divide_without_folds, split_test, warnings,
};
use crate::folds::{Division, FoldError, FoldMethod, subsample};
use crate::segmentation::settings::{SegmentationSettings, TestSplit};

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

const REGIONS: &str = "aBBcaAdDcbBaCdDE";

#[test]
fn random_test_sets_are_pandas_s_in_drawn_order() {
    // Expected values: pandas 3.1.1 on the same table.
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
    assert_eq!(error, DivisionError::NoPositiveTestSample { fraction: 0.1, first_seed: 42, last_seed: 141 });
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
    assert!(matches!(error, DivisionError::UnknownSampleId { nearest: Some(ref id), .. } if id == "scene-0"));
}

#[test]
fn fractions_out_of_range_are_refused() {
    let table = table("aAbB");
    for fraction in [0.0, 1.0, -0.2, 20.0, f64::NAN] {
        let error = split_test(&table, &all(&table), &TestSplit::Random(fraction)).unwrap_err();
        assert!(matches!(error, DivisionError::FractionOutOfRange { .. }));
    }
    let split = |fraction| split_test(&table, &all(&table), &TestSplit::Random(fraction)).unwrap_err();
    assert_eq!(split(0.01), DivisionError::EmptyTest { samples: 4 });
    assert!(matches!(split(0.99), DivisionError::Folds(FoldError::EmptyTrain { .. })));
}

#[test]
fn a_division_is_subsample_then_test_split_then_fold() {
    let table = table(REGIONS);
    let split = TestSplit::Random(0.25);
    let mut settings = settings(Some(split.clone()), FoldMethod::Stratified, 2);
    settings.subsample = Some(12);
    let rows = subsample(16, 12).unwrap();
    let (rest, test) = split_test(&table, &rows, &split).unwrap();
    let fold = table.by_region().folds_of(&rest, FoldMethod::Stratified, 2).unwrap().remove(1);
    let division = divide(&table, &settings, 1).unwrap();
    assert_eq!(division, Division { train: fold.train, val: fold.val, test: test.clone() });
    let whole = divide_without_folds(&table, &settings).unwrap();
    assert_eq!(whole, Division { train: rest, val: Vec::new(), test });
}

#[test]
fn a_division_refuses_folds_that_are_not_there_or_empty() {
    let table = table("aAbB");
    let error = divide(&table, &settings(None, FoldMethod::Kfold, 2), 2).unwrap_err();
    assert_eq!(error, FoldError::NoSuchFold { fold: 2, total_folds: 2 }.into());
    let everything = divide(&table, &settings(None, FoldMethod::None, 5), 0).unwrap();
    assert_eq!((&everything.train, &everything.val), (&all(&table), &all(&table)));
    let error = divide(&table, &settings(None, FoldMethod::None, 5), 1).unwrap_err();
    assert_eq!(error, FoldError::NoSuchFold { fold: 1, total_folds: 1 }.into());
    let mut ragged = table.clone();
    ragged.region.pop();
    let error = divide(&ragged, &settings(None, FoldMethod::None, 1), 0).unwrap_err();
    assert_eq!(error, DivisionError::RaggedTable { sample_id: 4, region: 3, empty: 4 });
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

#[test]
fn the_folds_speak_of_regions() {
    let table = table("aAaAbBbB");
    let error = divide(&table, &settings(None, FoldMethod::GroupStratified, 3), 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "fold method region-stratified cannot make 3 folds of 2 regions: lower total-folds to 2 at most"
    );
    let lonely = self::table(&("a".repeat(19) + "A"));
    let error = divide(&lonely, &settings(None, FoldMethod::Shuffle, 2), 0).unwrap_err();
    assert_eq!(error, FoldError::LonelySample { class: "positive".into() }.into());
    let written = serde_json::to_value(settings(None, FoldMethod::Group, 2)).unwrap();
    assert_eq!(written["fold_method"], "region");
    assert_eq!(
        serde_json::from_value::<SegmentationSettings>(written).unwrap().fold_method,
        FoldMethod::Group
    );
}
