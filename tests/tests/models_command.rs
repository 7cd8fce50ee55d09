//! `engine models`.

#![expect(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use engine_tests::cli::Workplace;
use serde_json::{Value, json};

const USAGE: i32 = 2;

fn entry(list: &Value, name: &str) -> Value {
    list.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone()
}

#[test]
fn what_there_is_to_build_is_listed_with_its_size() {
    let place = Workplace::new();
    let told = place.run(&["models", "--json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let catalogue = told.json().pop().unwrap();
    assert_eq!(catalogue["bands"], 3);
    assert_eq!(
        entry(&catalogue["architectures"], "Unet"),
        json!({
            "name": "Unet", "features": 5, "output_stride": 32, "multiple_of": 1, "at_least": 1, "batch_at_least": 1
        })
    );
    let pan = entry(&catalogue["architectures"], "PAN");
    assert_eq!(
        (&pan["multiple_of"], &pan["at_least"], &pan["batch_at_least"]),
        (&json!(16), &json!(128), &json!(2))
    );
    // Counts of `sum(p.numel() for p in smp.encoders.get_encoder(name, weights=None).parameters())`.
    for (name, parameters, channels) in [
        ("resnet18", 11_176_512, [64, 64, 128, 256, 512]),
        ("resnet50", 23_508_032, [64, 256, 512, 1024, 2048]),
        ("mobilenet_v2", 2_223_872, [16, 24, 32, 96, 1280]),
        ("efficientnet-b4", 17_548_616, [48, 32, 56, 160, 448]),
        ("dpn68", 11_778_602, [10, 144, 320, 704, 832]),
    ] {
        let expected = json!({"name": name, "parameters": parameters, "channels": channels});
        assert_eq!(entry(&catalogue["encoders"], name), expected);
    }

    // Another band is another 64 kernels of 7 x 7 in a residual network.
    let wider = place.run(&["models", "--json", "--bands", "4"]).json().pop().unwrap();
    assert_eq!(entry(&wider["encoders"], "resnet18")["parameters"], 11_176_512 + 64 * 49);
}

#[test]
fn the_table_and_the_bare_names_say_the_same() {
    let place = Workplace::new();
    let catalogue = place.run(&["models", "--json"]).json().pop().unwrap();
    let names = |list: &str| -> Vec<String> {
        let list = catalogue[list].as_array().unwrap();
        list.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    let all: Vec<String> = names("architectures").into_iter().chain(names("encoders")).collect();
    let bare = place.run(&["models", "--quiet"]).stdout;
    assert_eq!(bare.lines().collect::<Vec<_>>(), all);

    let table = place.run(&["models"]).stdout;
    for name in &all {
        assert!(table.contains(&format!(" {name} ")), "{name} is not in\n{table}");
    }
    let row = table.lines().find(|line| line.contains(" resnet18 ")).unwrap();
    assert!(row.contains(" 11.18 ") && row.contains("64, 64, 128, 256, 512"), "{row}");
    // Whoever trains can give every one of them.
    let refused = place.run(&["train", "--model-encoder", "resnet19", "--train-data-dir", "."]);
    assert_eq!(refused.code, Some(USAGE), "{refused:?}");
    assert!(names("encoders").iter().all(|name| refused.stderr.contains(name.as_str())), "{refused:?}");
}

#[test]
fn no_band_is_refused() {
    let refused = Workplace::new().run(&["models", "--bands", "0"]);
    assert_eq!(refused.code, Some(USAGE), "{refused:?}");
    assert!(refused.stderr.contains("--bands"), "{refused:?}");
}
