use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Fold, FoldError, FoldMethod, FoldTable, given, subsample, validating_on};

/// A table of one row per letter of `groups`; capitals are positive.
fn table(groups: &str) -> FoldTable {
    let class = |letter: char| if letter.is_uppercase() { "positive" } else { "negative" };
    FoldTable::new(groups.chars().map(|letter| (letter.to_ascii_lowercase(), class(letter))))
}

fn fold(train: &[usize], val: &[usize]) -> Fold {
    Fold { train: train.to_vec(), val: val.to_vec() }
}

// Expected values of the next four: scikit-learn 1.9.1, pandas 3.1.1, numpy 2.4.6 on the same table.

const REGIONS: &str = "aBBcaAdDcbBaCdDE";

#[test]
fn every_method_gives_scikit_learn_s_folds() {
    let table = table(REGIONS);
    let first_two = |method, k| table.folds(method, k).unwrap()[..2].to_vec();
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
        first_two(FoldMethod::Group, 3),
        [
            fold(&[0, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15], &[1, 2, 9, 10]),
            fold(&[0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 15], &[6, 7, 13, 14])
        ]
    );
    assert_eq!(
        first_two(FoldMethod::GroupStratified, 3),
        [
            fold(&[0, 3, 4, 5, 8, 11, 12, 15], &[1, 2, 6, 7, 9, 10, 13, 14]),
            fold(&[1, 2, 3, 6, 7, 8, 9, 10, 12, 13, 14, 15], &[0, 4, 5, 11])
        ]
    );
}

#[test]
fn a_group_that_fits_several_folds_alike_goes_to_the_one_with_fewest_samples() {
    let table = table("BEaCac");
    let made = table.folds(FoldMethod::GroupStratified, 3).unwrap();
    let val: Vec<&[usize]> = made.iter().map(|fold| fold.val.as_slice()).collect();
    assert_eq!(val, [&[2, 3, 4, 5][..], &[0], &[1]]);
}

#[test]
fn a_lone_class_is_spread_as_numpy_adds_a_lone_column() {
    let table = table("AILECJDKDM");
    let made = table.folds(FoldMethod::GroupStratified, 8).unwrap();
    let val: Vec<Vec<usize>> = made.into_iter().map(|fold| fold.val).collect();
    assert_eq!(val, [vec![2, 7], vec![4], vec![5], vec![0], vec![9], vec![6, 8], vec![1], vec![3]]);
}

#[test]
fn folds_of_some_rows_work_on_positions_and_answer_with_rows() {
    let table = table(REGIONS);
    let rows = [14, 3, 5, 7, 0, 11, 2, 9, 12];
    let made = table.folds_of(&rows, FoldMethod::Stratified, 2).unwrap();
    assert_eq!(made[1], fold(&[14, 3, 7, 11, 2], &[5, 0, 9, 12]));
    let made = table.folds_of(&rows, FoldMethod::Group, 2).unwrap();
    assert_eq!(made[1], fold(&[14, 3, 5, 7, 0, 11, 12], &[2, 9]));
    let made = table.folds_of(&rows, FoldMethod::GroupStratified, 2).unwrap();
    assert_eq!(made[1], fold(&[14, 3, 7, 2, 9, 12], &[5, 0, 11]));
    let made = table.folds_of(&rows, FoldMethod::Kfold, 2).unwrap();
    assert_eq!(made[1], fold(&[14, 3, 5, 7, 0], &[11, 2, 9, 12]));
}

// Expected values of the next two: the same versions, on tables of more than two classes.

#[test]
fn classes_may_be_any_number_and_of_any_kind() {
    let groups = "rsprtpspppqtpprqttprtttsvsrquptrrpqqsuvrttprupur";
    let classes = "baaabacbcaacbbcabbbaaabccdbbbbddaccdaaccddadabdc";
    let table = FoldTable::new(groups.chars().zip(classes.chars()));
    let first_two = |method| table.folds(method, 3).unwrap()[..2].to_vec();
    assert_eq!(
        first_two(FoldMethod::Shuffle),
        [
            fold(
                &[
                    13, 21, 34, 10, 11, 27, 19, 6, 0, 37, 33, 9, 16, 20, 4, 8, 14, 24, 30, 46, 17, 38, 43,
                    47, 2, 32, 31, 28, 23, 12, 36, 35, 45, 40, 26, 7, 42, 22, 44, 29, 3, 25, 1
                ],
                &[41, 18, 15, 5, 39]
            ),
            fold(
                &[
                    16, 44, 5, 8, 31, 39, 45, 14, 3, 15, 25, 17, 28, 13, 18, 34, 19, 24, 47, 22, 23, 1, 12,
                    26, 32, 7, 2, 21, 40, 38, 27, 20, 11, 30, 0, 36, 41, 10, 4, 35, 43, 42, 33
                ],
                &[37, 29, 9, 46, 6]
            )
        ]
    );
    assert_eq!(
        first_two(FoldMethod::Stratified),
        [
            fold(
                &[
                    0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 15, 16, 20, 22, 24, 27, 28, 31, 35, 36, 38, 39,
                    40, 41, 42, 43, 44, 45, 46, 47
                ],
                &[3, 7, 14, 17, 18, 19, 21, 23, 25, 26, 29, 30, 32, 33, 34, 37]
            ),
            fold(
                &[
                    1, 2, 3, 4, 6, 7, 11, 12, 14, 15, 17, 18, 19, 20, 21, 22, 23, 25, 26, 28, 29, 30, 32, 33,
                    34, 37, 38, 41, 42, 43, 46, 47
                ],
                &[0, 5, 8, 9, 10, 13, 16, 24, 27, 31, 35, 36, 39, 40, 44, 45]
            )
        ]
    );
    assert_eq!(
        first_two(FoldMethod::Group),
        [
            fold(
                &[
                    0, 1, 3, 4, 6, 11, 14, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 28, 30, 31, 32, 36, 37,
                    38, 39, 40, 41, 43, 44, 46, 47
                ],
                &[2, 5, 7, 8, 9, 10, 12, 13, 15, 18, 27, 29, 33, 34, 35, 42, 45]
            ),
            fold(
                &[
                    0, 1, 3, 4, 6, 10, 11, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 30, 31, 32,
                    34, 35, 36, 38, 39, 40, 41, 43, 47
                ],
                &[2, 5, 7, 8, 9, 12, 13, 18, 28, 29, 33, 37, 42, 44, 45, 46]
            )
        ]
    );
    assert_eq!(
        first_two(FoldMethod::GroupStratified),
        [
            fold(
                &[
                    1, 2, 5, 6, 7, 8, 9, 10, 12, 13, 15, 18, 23, 24, 25, 27, 28, 29, 33, 34, 35, 36, 37, 38,
                    42, 44, 45, 46
                ],
                &[0, 3, 4, 11, 14, 16, 17, 19, 20, 21, 22, 26, 30, 31, 32, 39, 40, 41, 43, 47]
            ),
            fold(
                &[
                    0, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 26, 27, 29,
                    30, 31, 32, 33, 34, 35, 39, 40, 41, 42, 43, 45, 47
                ],
                &[1, 6, 23, 24, 25, 28, 36, 37, 38, 44, 46]
            )
        ]
    );
}

#[test]
fn ten_classes_in_twenty_three_groups_are_spread_as_scikit_learn_spreads_them() {
    let digits = "89388053995760478162213581878105415476009245887511155743000022705014122480604151887009178740043082721324122734167910058488349254791907488414056707815369137490847856735189298945087125276791575972648493";
    let groups = "ifwmduclssahvaotdfvounmscggtnwhnhamiekvevmadnvecfrhjgnabhadtofwmlbpvdgopolfwpqcbgssvmrehkdrkctbvuovosmerdcmrkevitbsgfrldktvqhcmgqbaewofgkenauskmmilspeaukjfojwugmtawtbeloorvridambuilvmudvakhuddwrjbpnos";
    let table = FoldTable::new(groups.chars().zip(digits.chars()));
    let validates_in = |method| {
        let folds = table.folds(method, 5).unwrap();
        let of = |row| folds.iter().position(|fold| fold.val.contains(&row)).unwrap();
        (0..table.len()).map(|row| of(row).to_string()).collect::<String>()
    };
    assert_eq!(
        validates_in(FoldMethod::Stratified),
        "10230301410023224120044120112103032031143244040220240043421312323312040104401414023022312410424103422033231313400242140343021413210023443300310102433414134404314133120312442322130240344211214221301133"
    );
    assert_eq!(
        validates_in(FoldMethod::GroupStratified),
        "12314423443013024210401421120300031140141134014223001032034202313221410203232122144113400430222140104143421304112241233402110211123430210403440111342434002003411233224300313143124131144130044433022004"
    );
    let drawn = FoldTable::of_classes(digits.chars()).folds(FoldMethod::Shuffle, 2).unwrap().remove(1);
    assert_eq!(
        drawn.val,
        [180, 80, 16, 123, 181, 179, 1, 19, 112, 6, 153, 107, 37, 13, 159, 172, 176, 25, 198, 192]
    );
    assert_eq!(drawn.train[..10], [116, 40, 42, 117, 8, 52, 17, 98, 45, 188]);
}

#[test]
fn samples_are_pandas_s_in_drawn_order() {
    assert_eq!(subsample(16, 6).unwrap(), [0, 1, 5, 14, 13, 11]);
    assert_eq!(subsample(4, 5), Err(FoldError::SubsampleOutOfRange { wanted: 5, rows: 4 }));
    assert_eq!(subsample(4, 0), Err(FoldError::SubsampleOutOfRange { wanted: 0, rows: 4 }));
}

#[test]
fn what_cannot_be_divided_is_refused_by_name() {
    let table = table("aAbB");
    let refused = |method, k| table.folds(method, k).unwrap_err();
    assert!(matches!(refused(FoldMethod::Kfold, 1), FoldError::TooFewFolds { least: 2, .. }));
    assert!(matches!(refused(FoldMethod::Shuffle, 0), FoldError::TooFewFolds { least: 1, .. }));
    assert!(matches!(refused(FoldMethod::Kfold, 5), FoldError::TooManyFolds { available: 4, .. }));
    assert!(matches!(refused(FoldMethod::Stratified, 3), FoldError::TooManyFolds { available: 2, .. }));
    assert!(matches!(
        refused(FoldMethod::Shuffle, 2),
        FoldError::TooFewSamples { side: "validate", samples: 1, classes: 2, least: 10 }
    ));
    let groups = self::table("aAaAbBbB");
    let error = groups.folds(FoldMethod::GroupStratified, 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "fold method group-stratified cannot make 3 folds of 2 groups: lower total-folds to 2 at most"
    );
    let error = groups.with_groups_called("region").folds(FoldMethod::GroupStratified, 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "fold method region-stratified cannot make 3 folds of 2 regions: lower total-folds to 2 at most"
    );
    let lonely = self::table(&("a".repeat(19) + "A"));
    let error = lonely.folds(FoldMethod::Shuffle, 2).unwrap_err();
    assert_eq!(error, FoldError::LonelySample { class: "positive".into() });
    for without_groups in [self::table("aAaA"), FoldTable::of_classes([1, 2, 1, 2]), FoldTable::of_len(4)] {
        let error = without_groups.folds(FoldMethod::Group, 2).unwrap_err();
        assert!(error.to_string().contains("needs two groups, there is one"), "{error}");
    }
    assert_eq!(table.folds_of(&[9], FoldMethod::Kfold, 2), Err(FoldError::NoSuchRow { row: 9, rows: 4 }));
    assert!(matches!(table.folds_of(&[], FoldMethod::None, 1), Err(FoldError::EmptyTrain { .. })));
}

#[test]
fn the_fold_of_a_cell_is_picked_or_refused() {
    let folds = table("aAbB").folds(FoldMethod::Kfold, 2).unwrap();
    assert_eq!(Fold::pick(folds.clone(), 1).unwrap(), fold(&[0, 1], &[2, 3]));
    assert_eq!(Fold::pick(folds, 2), Err(FoldError::NoSuchFold { fold: 2, total_folds: 2 }));
    assert_eq!(Fold::pick(vec![fold(&[0], &[])], 0), Err(FoldError::EmptyValidation { fold: 0 }));
    assert!(matches!(Fold::pick(vec![fold(&[], &[0])], 0), Err(FoldError::EmptyTrain { .. })));
}

#[test]
fn given_folds_that_overlap_or_reach_out_are_refused_with_fold_and_row() {
    let refused = |sets: &[Vec<usize>]| validating_on(4, sets).unwrap_err();
    assert_eq!(refused(&[]), FoldError::NoFolds);
    assert_eq!(refused(&[vec![0], vec![4]]), FoldError::RowOutOfRange { fold: 1, row: 4, rows: 4 });
    assert_eq!(refused(&[vec![0, 0]]), FoldError::RowTwice { fold: 0, row: 0, side: "validation" });
    assert_eq!(
        refused(&[vec![0, 1], vec![2], vec![3, 1]]),
        FoldError::SetsOverlap { row: 1, first: 0, second: 2 }
    );
    assert_eq!(refused(&[vec![0], vec![]]), FoldError::EmptyValidation { fold: 1 });
    assert!(matches!(refused(&[vec![3, 1, 0, 2]]), FoldError::EmptyTrain { .. }));

    let refused = |train: &[usize], val: &[usize]| given(4, vec![fold(train, val)]).unwrap_err();
    assert_eq!(given(4, Vec::new()), Err(FoldError::NoFolds));
    assert_eq!(refused(&[0, 1, 2], &[2]), FoldError::SidesOverlap { fold: 0, row: 2 });
    assert_eq!(refused(&[0, 1, 0], &[2]), FoldError::RowTwice { fold: 0, row: 0, side: "train" });
    assert_eq!(refused(&[0, 7], &[2]), FoldError::RowOutOfRange { fold: 0, row: 7, rows: 4 });
    assert_eq!(refused(&[0], &[]), FoldError::EmptyValidation { fold: 0 });
    assert!(matches!(refused(&[], &[1]), FoldError::EmptyTrain { .. }));
    let repeated = vec![fold(&[0, 1], &[2]), fold(&[3], &[2, 1])];
    assert_eq!(given(4, repeated.clone()).unwrap(), repeated);
}

fn tables() -> impl Strategy<Value = (FoldTable, Vec<u8>)> {
    prop::collection::vec((0..6_u8, 0..4_u8), 1..60).prop_map(|rows| {
        let groups = rows.iter().map(|(group, _)| *group).collect();
        (FoldTable::new(rows), groups)
    })
}

fn methods() -> impl Strategy<Value = FoldMethod> {
    prop::sample::select(
        FoldMethod::ALL.into_iter().filter(|method| *method != FoldMethod::None).collect::<Vec<_>>(),
    )
}

proptest! {
    /// F-1: a fold's sides are disjoint and together every row; partitions validate each row once.
    #[test]
    fn f1_sides_are_disjoint_and_complete((table, _) in tables(), method in methods(), k in 1..8_u32) {
        let rows: Vec<usize> = (0..table.len()).collect();
        let Ok(made) = table.folds(method, k) else { return Ok(()) };
        prop_assert_eq!(made.len(), k as usize);
        for fold in &made {
            let both: BTreeSet<usize> = fold.train.iter().chain(&fold.val).copied().collect();
            prop_assert_eq!(both.len(), fold.train.len() + fold.val.len());
            prop_assert_eq!(both.into_iter().collect::<Vec<_>>(), rows.clone());
        }
        if method.least_folds() == 2 {
            let mut validated: Vec<usize> = made.iter().flat_map(|fold| fold.val.clone()).collect();
            validated.sort_unstable();
            prop_assert_eq!(validated, rows);
        }
    }

    /// F-2: the methods by group never put one group on both sides.
    #[test]
    fn f2_groups_stay_whole((table, groups) in tables(), k in 1..6_u32) {
        for method in [FoldMethod::Group, FoldMethod::GroupStratified] {
            for Fold { train, val } in table.folds(method, k).unwrap_or_default() {
                let groups = |rows: &[usize]| rows.iter().map(|row| groups[*row]).collect::<BTreeSet<_>>();
                prop_assert!(groups(&train).is_disjoint(&groups(&val)));
            }
        }
    }

    /// F-3: folds made by a method pass the check of folds that are given, unless one is empty on a side.
    #[test]
    fn f3_folds_of_a_method_may_be_given((table, _) in tables(), method in methods(), k in 1..8_u32) {
        let Ok(made) = table.folds(method, k) else { return Ok(()) };
        if made.iter().all(|fold| !fold.train.is_empty() && !fold.val.is_empty()) {
            prop_assert_eq!(given(table.len(), made.clone()).unwrap(), made);
        }
    }
}
