//! The folds and samples of `folds.json`, every method of every table.
//!
//! The file holds no region column: under `region` stand the folds by region. They say which samples share a
//! region, and with the folds `region-stratified`, nearly which region it is. [`Recovery`] looks for a column that
//! gives both sets of folds; where a method spends its draws in another way, there is none.

#![expect(clippy::unwrap_used, reason = "helpers of a test; a file of another form fails it")]

use std::collections::{BTreeMap, BTreeSet};

use engine::data::{SampleTable, split_test};
use engine::folds::mt19937::RandomState;
use engine::folds::{Fold, FoldMethod};
use engine::segmentation::settings::TestSplit;
use serde_json::Value;

/// Columns tried per number of regions before the search is given up.
const MOST_COLUMNS: usize = 2_000_000;
/// Regions a table is assumed to have at most.
const MOST_REGIONS: usize = 60;

#[test]
fn every_table_is_divided_as_scikit_learn_divides_it() {
    let file = file();
    let cases = file["cases"].as_array().unwrap();
    assert!(!cases.is_empty());
    for (number, case) in cases.iter().enumerate() {
        let table = table(case);
        for (name, method) in [
            ("kfold", FoldMethod::Kfold),
            ("shuffle", FoldMethod::Shuffle),
            ("stratified", FoldMethod::Stratified),
        ] {
            assert_eq!(made(&table, method, k(case)), expected(case, name), "case {number}, {name}");
        }
    }
}

#[test]
fn every_table_is_divided_by_region_as_scikit_learn_divides_it() {
    let file = file();
    for (number, case) in file["cases"].as_array().unwrap().iter().enumerate() {
        let found = Recovery::of(case).search();
        assert!(found.is_some(), "case {number}: no region column gives both sets of folds");
        let table = SampleTable { region: found.unwrap(), ..table(case) };
        for (name, method) in
            [("region", FoldMethod::Group), ("region-stratified", FoldMethod::GroupStratified)]
        {
            assert_eq!(made(&table, method, k(case)), expected(case, name), "case {number}, {name}");
        }
    }
}

#[test]
fn every_random_split_is_drawn_as_pandas_draws_it() {
    let file = file();
    let cases = file["random_split"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let n = case["n"].as_u64().unwrap() as usize;
        let train = numbers(&case["train"]);
        let seed = u32::try_from(case["seed"].as_u64().unwrap()).unwrap();
        assert_eq!(RandomState::new(seed).choice(n, train.len()), train, "{n} rows, seed {seed}");
        if seed == engine::folds::SPLIT_SEED {
            let table = uniform(vec!["one".into(); n]);
            let split = TestSplit::Random(case["test_fraction"].as_f64().unwrap());
            let (drawn, _) = split_test(&table, &(0..n).collect::<Vec<_>>(), &split).unwrap();
            assert_eq!(drawn, train, "{n} rows, {split:?}");
        }
    }
}

/// What a case tells of its region column.
struct Recovery<'a> {
    case: &'a Value,
    positive: Vec<bool>,
    /// Per sample: in which folds by region it validates.
    by_region: Vec<Vec<bool>>,
    /// Per sample: in which stratified fold it validates.
    stratified: Vec<usize>,
}

/// The region of each of some samples.
type Column = Vec<(usize, usize)>;

impl<'a> Recovery<'a> {
    fn of(case: &'a Value) -> Self {
        let positive: Vec<bool> = table(case).empty.iter().map(|empty| !empty).collect();
        let samples = positive.len();
        let stratified = (0..samples)
            .map(|sample| {
                expected(case, "region-stratified")
                    .iter()
                    .position(|fold| fold.val.contains(&sample))
                    .unwrap()
            })
            .collect();
        Self { case, positive, by_region: validations(&expected(case, "region"), samples), stratified }
    }

    /// A region column that gives the stratified folds, with as few regions as it takes.
    fn search(&self) -> Option<Vec<String>> {
        (2..=MOST_REGIONS.min(self.positive.len())).find_map(|regions| self.search_with(regions))
    }

    fn search_with(&self, regions: usize) -> Option<Vec<String>> {
        let names: Vec<String> = (0..regions).map(|region| format!("region-{region:03}")).collect();
        let drawn = made(&uniform(names.clone()), FoldMethod::Group, k(self.case));
        let drawn = validations(&drawn, regions);
        if drawn.iter().collect::<BTreeSet<_>>() != self.by_region.iter().collect() {
            return None;
        }
        let parts: Vec<Vec<Column>> = drawn
            .iter()
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|pattern| {
                let regions: Vec<usize> = (0..regions).filter(|&region| drawn[region] == *pattern).collect();
                let samples: Vec<usize> =
                    (0..self.positive.len()).filter(|&at| self.by_region[at] == *pattern).collect();
                self.columns(&regions, &samples)
            })
            .collect();
        let columns: usize = parts.iter().map(Vec::len).product();
        assert!(columns <= MOST_COLUMNS, "{columns} columns of {regions} regions are too many to try");
        let wanted = expected(self.case, "region-stratified");
        (0..columns).find_map(|mut number| {
            let mut region = vec![String::new(); self.positive.len()];
            for part in &parts {
                for &(sample, of) in &part[number % part.len()] {
                    region[sample].clone_from(&names[of]);
                }
                number /= part.len();
            }
            let table = SampleTable { region, ..table(self.case) };
            (made(&table, FoldMethod::GroupStratified, k(self.case)) == wanted).then_some(table.region)
        })
    }

    /// Every way to give these samples to these regions, none empty, no region in two stratified folds.
    ///
    /// Which of several samples of one class and one fold a region gets makes no difference, so only counts vary.
    fn columns(&self, regions: &[usize], samples: &[usize]) -> Vec<Column> {
        let mut pools: BTreeMap<usize, [Vec<usize>; 2]> = BTreeMap::new();
        for &sample in samples {
            pools.entry(self.stratified[sample]).or_default()[usize::from(self.positive[sample])]
                .push(sample);
        }
        let mut columns = Vec::new();
        distribute(regions, &mut pools.into_values().collect::<Vec<_>>(), &mut Vec::new(), &mut columns);
        columns
    }
}

/// Gives the first region a share of each pool in turn, and the others what is left.
fn distribute(
    regions: &[usize],
    pools: &mut Vec<[Vec<usize>; 2]>,
    given: &mut Column,
    all: &mut Vec<Column>,
) {
    let Some((&region, others)) = regions.split_first() else {
        if pools.iter().flatten().all(Vec::is_empty) {
            all.push(given.clone());
        }
        return;
    };
    if pools.iter().filter(|pool| pool.iter().any(|class| !class.is_empty())).count() > regions.len() {
        return;
    }
    for at in 0..pools.len() {
        let [negatives, positives] = pools[at].clone();
        // A region that has to leave something shares its pool; where none is left over, it takes all.
        for n in 0..=negatives.len() {
            for p in 0..=positives.len() {
                if n + p == 0 || others.is_empty() && n + p < negatives.len() + positives.len() {
                    continue;
                }
                let before = given.len();
                given.extend(negatives[..n].iter().chain(&positives[..p]).map(|&sample| (sample, region)));
                pools[at] = [negatives[n..].to_vec(), positives[p..].to_vec()];
                distribute(others, pools, given, all);
                given.truncate(before);
            }
        }
        pools[at] = [negatives, positives];
    }
}

fn file() -> Value {
    let text = std::fs::read_to_string(engine_tests::fixture("folds.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn k(case: &Value) -> u32 {
    u32::try_from(case["n_folds"].as_u64().unwrap()).unwrap()
}

/// The case's table, all of it in one region.
fn table(case: &Value) -> SampleTable {
    let empty: Vec<bool> = case["empty"].as_array().unwrap().iter().map(|e| e.as_bool().unwrap()).collect();
    SampleTable { empty: empty.clone(), ..uniform(vec!["one".into(); empty.len()]) }
}

/// A table of positive samples of these regions.
fn uniform(region: Vec<String>) -> SampleTable {
    let sample_id = (0..region.len()).map(|n| n.to_string()).collect();
    SampleTable { sample_id, empty: vec![false; region.len()], region }
}

fn made(table: &SampleTable, method: FoldMethod, k: u32) -> Vec<Fold> {
    table.by_region().folds(method, k).unwrap_or_default()
}

fn expected(case: &Value, method: &str) -> Vec<Fold> {
    let fold = |fold: &Value| Fold { train: numbers(&fold["train"]), val: numbers(&fold["val"]) };
    case[method].as_array().unwrap().iter().map(fold).collect()
}

fn numbers(list: &Value) -> Vec<usize> {
    list.as_array().unwrap().iter().map(|n| usize::try_from(n.as_u64().unwrap()).unwrap()).collect()
}

/// Per row, in which folds it validates.
fn validations(folds: &[Fold], rows: usize) -> Vec<Vec<bool>> {
    (0..rows).map(|row| folds.iter().map(|fold| fold.val.contains(&row)).collect()).collect()
}
