use serde_json::Value;

use super::*;

/// Rates of PyTorch's schedulers; `tests/python/training_goldens.py` makes them.
const GOLDEN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/schedules.json"));

/// PyTorch carries a cosine along from step to step and rounds at each; ours is computed anew.
const TOLERANCE: f64 = 1e-12;

fn config(name: ScheduleName) -> ScheduleConfig {
    ScheduleConfig {
        name,
        learning_rate: 1e-3,
        gamma: 0.9,
        warmup_epochs: 0.0,
        min_learning_rate: 0.0,
        plateau_factor: 0.1,
        plateau_patience: 2,
    }
}

fn number(case: &Value, key: &str) -> f64 {
    case[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {case}"))
}

fn numbers(case: &Value, key: &str) -> Vec<f64> {
    case[key].as_array().unwrap().iter().map(|value| value.as_f64().unwrap_or(f64::NAN)).collect()
}

fn of(case: &Value) -> Schedule {
    let name: ScheduleName = serde_json::from_value(case["name"].clone()).unwrap();
    let given = |key: &str, default: f64| case.get(key).map_or(default, |_| number(case, key));
    let config = ScheduleConfig {
        learning_rate: number(case, "learning_rate"),
        gamma: given("gamma", 0.9),
        warmup_epochs: given("warmup_epochs", 0.0),
        min_learning_rate: given("min_learning_rate", 0.0),
        plateau_factor: given("plateau_factor", 0.1),
        plateau_patience: given("plateau_patience", 2.0) as u32,
        ..config(name)
    };
    Schedule::new(&config, number(case, "epochs") as u32, number(case, "steps_per_epoch") as u64)
}

/// The rate of every step of a run that validates after each epoch, written and read again after the step `interrupted`.
fn rates(case: &Value, interrupted: usize) -> Vec<f64> {
    let mut schedule = of(case);
    let values = case.get("values").map(|_| numbers(case, "values"));
    let mut rates = Vec::new();
    for epoch in 0..number(case, "epochs") as usize {
        for _ in 0..number(case, "steps_per_epoch") as usize {
            rates.push(schedule.learning_rate());
            schedule.after_step();
            assert_eq!(schedule.last_learning_rate().to_bits(), rates[rates.len() - 1].to_bits());
            if rates.len() == interrupted {
                let text = serde_json::to_string(&schedule).unwrap();
                schedule = serde_json::from_str(&text).unwrap();
            }
        }
        schedule.after_epoch();
        if let Some(values) = &values {
            schedule.after_validation(values[epoch]);
        }
    }
    rates
}

#[test]
fn the_rates_are_pytorchs_step_by_step() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    let mut names = Vec::new();
    for case in cases {
        let (ours, theirs) = (rates(case, 0), numbers(case, "rates"));
        assert_eq!(ours.len(), theirs.len());
        let top = number(case, "learning_rate");
        for (step, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert!((ours - theirs).abs() <= TOLERANCE * top, "{case}, step {step}: {ours} for {theirs}");
        }
        names.push(case["name"].as_str().unwrap());
    }
    for name in ["exponential", "cosine", "onecycle", "plateau", "constant"] {
        assert!(names.contains(&name), "{name} is not compared");
    }
}

#[test]
fn a_schedule_that_was_written_and_read_goes_on_to_the_same_bits() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let bits = |rates: Vec<f64>| rates.into_iter().map(f64::to_bits).collect::<Vec<_>>();
    for case in golden["cases"].as_array().unwrap() {
        let whole = bits(rates(case, 0));
        for interrupted in 1..whole.len() {
            assert_eq!(bits(rates(case, interrupted)), whole, "{case} after step {interrupted}");
        }
    }
}

#[test]
fn steps_beyond_the_last_keep_its_rate() {
    for name in [ScheduleName::Cosine, ScheduleName::Onecycle] {
        let mut schedule = Schedule::new(&config(name), 2, 5);
        (0..10).for_each(|_| schedule.after_step());
        let after = schedule.learning_rate();
        assert!(after < 1e-6, "{name:?}: {after}");
        (0..7).for_each(|_| schedule.after_step());
        assert_eq!(schedule.learning_rate().to_bits(), after.to_bits(), "{name:?}");
    }
}

#[test]
fn a_run_of_few_steps_has_finite_rates() {
    for (epochs, steps) in [(1, 1), (1, 2), (1, 3), (2, 2)] {
        for name in [ScheduleName::Cosine, ScheduleName::Onecycle] {
            let config = ScheduleConfig { warmup_epochs: 0.9, ..config(name) };
            let mut schedule = Schedule::new(&config, epochs, steps);
            for _ in 0..5 {
                let rate = schedule.learning_rate();
                assert!((0.0..=1e-3).contains(&rate), "{name:?} of {epochs} x {steps}: {rate}");
                schedule.after_step();
            }
        }
    }
}

#[test]
fn a_value_that_is_not_finite_is_no_better_on_a_plateau() {
    let mut schedule = PlateauLr::new(1.0, 0.5, 1, 0.2);
    schedule.observe(f64::NAN);
    assert_eq!(schedule.learning_rate(), 1.0);
    schedule.observe(f64::INFINITY);
    assert_eq!(schedule.learning_rate(), 0.5);
    // Twice not better again, then held at the least rate.
    for expected in [0.5, 0.25, 0.25, 0.2, 0.2, 0.2] {
        schedule.observe(f64::NAN);
        assert_eq!(schedule.learning_rate(), expected);
    }
}
