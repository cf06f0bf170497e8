//! `kithkin simulate` on the real binary. With `--all-features`, as `make test` has it, the simulator is in there.

use std::process::{Command, Output};

fn simulate(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    Command::new(env!("CARGO_BIN_EXE_kithkin"))
        .arg("simulate")
        .args(arguments)
        .arg("--traces")
        .arg(folder.path())
        .output()
        .expect("runs")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[cfg(not(feature = "simulator"))]
#[test]
fn a_shipped_program_says_how_to_get_the_simulator() {
    let output = simulate(&["--seeds", "1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output).contains("--features simulator"),
        "{}",
        text(&output)
    );
}

#[cfg(feature = "simulator")]
mod built_in {
    use super::*;

    fn json(arguments: &[&str]) -> Vec<serde_json::Value> {
        let output = simulate(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{}", text(&output));
        let lines = String::from_utf8(output.stdout).expect("text");
        lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// What every change must pass: all sizes, nothing broken, nobody stuck, three kinds of fault in each seed.
    #[test]
    fn two_thousand_seeds_of_every_size_break_no_rule() {
        let sizes = json(&["--validators", "4,5,7,10", "--seeds", "2000"]);
        assert_eq!(sizes.len(), 4);
        for size in sizes {
            assert_eq!(size["violations"], serde_json::json!([]));
            assert_eq!(
                (size["seeds"].as_u64(), size["stuck"].as_u64()),
                (Some(2_000), Some(0))
            );
            assert!(size["heights"].as_u64() >= Some(40_000), "{size}");
            assert!(size["fault_kinds_min"].as_u64() >= Some(3), "{size}");
            assert!(size["real_signatures"].as_u64() >= Some(5), "{size}");
        }
    }

    #[test]
    fn the_same_seeds_give_the_same_digest_with_one_thread_and_with_two() {
        let digest = |jobs| {
            let arguments = [
                "--validators",
                "4,7",
                "--seeds",
                "60",
                "--seed",
                "7",
                "--jobs",
                jobs,
            ];
            json(&arguments)
                .iter()
                .map(|size| size["digest"].clone())
                .collect::<Vec<_>>()
        };
        let (one, two) = (digest("1"), digest("2"));
        assert_eq!(one, two);
        assert_ne!(one[0], one[1]);
    }

    #[test]
    fn a_planted_bug_is_caught_and_the_line_that_shows_it_again_is_printed() {
        let arguments = [
            "--validators",
            "4",
            "--mutant",
            "votes-not-durable",
            "--seeds",
            "100",
        ];
        let output = simulate(&arguments);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        for part in [
            "caught with 4 validators after",
            "again: kithkin simulate",
            "sequence diagram",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn names_that_do_not_exist_are_answered_with_those_that_do() {
        for (arguments, name) in [
            (["--mutant", "typo"], "short-quorum"),
            (["--byzantine", "typo"], "twin"),
        ] {
            let output = simulate(&arguments);
            assert_eq!(output.status.code(), Some(2));
            assert!(text(&output).contains(name), "{}", text(&output));
        }
    }
}
