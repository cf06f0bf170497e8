//! Observations and quantities in words.

use serde_json::Value;

use super::describe::concept;
use crate::json::{self, Step, has_code, literal, text};

/// More digits behind the point than this are noise of a machine, not precision.
const DECIMALS_MAX: usize = 4;

/// The most components of one observation that are told.
const COMPONENTS_MAX: usize = 20;

/// An Observation without its date: what was observed, and the result.
pub(super) fn observation(raw: &str, value: &Value) -> String {
    let name = concept(value.get("code")).unwrap_or_else(|| "Observation".to_owned());
    let mut results: Vec<String> = result(raw, value, &[]).into_iter().collect();
    for (at, component) in json::items(value, "component")
        .enumerate()
        .take(COMPONENTS_MAX)
    {
        let path = [Step::Name("component"), Step::Item(at)];
        let Some(found) = result(raw, component, &path) else {
            continue;
        };
        match concept(component.get("code")) {
            Some(part) => results.push(format!("{part} {found}")),
            None => results.push(found),
        }
    }
    if results.is_empty() && json::items(value, "hasMember").next().is_some() {
        return format!("{name}: see its members");
    }
    let result = if results.is_empty() {
        "no result".to_owned()
    } else {
        results.join(", ")
    };
    let preliminary = match text(value, "status") {
        Some("preliminary") => " (preliminary)",
        _ => "",
    };
    format!("{name}: {result}{}{preliminary}", interpretation(value))
}

/// High, low, abnormal, as the laboratory says.
fn interpretation(value: &Value) -> String {
    let words = [
        ("HH", "critically high"),
        ("LL", "critically low"),
        ("AA", "critically abnormal"),
        ("H", "high"),
        ("HU", "high"),
        ("L", "low"),
        ("LU", "low"),
        ("A", "abnormal"),
        ("POS", "positive"),
        ("NEG", "negative"),
    ];
    words
        .into_iter()
        .find(|(code, _)| has_code(value, "interpretation", code))
        .map(|(_, word)| format!(" [{word}]"))
        .unwrap_or_default()
}

/// The value of an Observation or of a component; `path` leads to it in `raw`.
fn result(raw: &str, value: &Value, path: &[Step<'_>]) -> Option<String> {
    let at = |name| [path, &[Step::Name(name)]].concat();
    if let Some(found) = value.get("valueQuantity") {
        return quantity(raw, found, &at("valueQuantity"));
    }
    if let Some(found) = value.get("valueCodeableConcept") {
        return concept(Some(found));
    }
    for name in ["valueString", "valueDateTime", "valueTime"] {
        if let Some(found) = text(value, name) {
            return Some(found.to_owned());
        }
    }
    if let Some(found) = value.get("valueBoolean").and_then(Value::as_bool) {
        return Some(if found { "yes" } else { "no" }.to_owned());
    }
    if let Some(found) = value.get("valueInteger").filter(|found| found.is_number()) {
        return Some(number(raw, found, &at("valueInteger")));
    }
    if let Some(found) = value.get("valueRange") {
        let side = |name| {
            quantity(
                raw,
                found.get(name)?,
                &[at("valueRange"), vec![Step::Name(name)]].concat(),
            )
        };
        return match (side("low"), side("high")) {
            (Some(low), Some(high)) => Some(format!("{low} to {high}")),
            (low, high) => low.or(high),
        };
    }
    if let Some(found) = value.get("valueRatio") {
        let side = |name| {
            quantity(
                raw,
                found.get(name)?,
                &[at("valueRatio"), vec![Step::Name(name)]].concat(),
            )
        };
        return Some(format!("{} / {}", side("numerator")?, side("denominator")?));
    }
    if let Some(found) = value.get("valuePeriod") {
        let side = |name| text(found, name).unwrap_or("?");
        return Some(format!("{} to {}", side("start"), side("end")));
    }
    if value.get("valueSampledData").is_some() {
        return Some("a curve, see the chart".to_owned());
    }
    let why = concept(value.get("dataAbsentReason"))?;
    Some(format!("no result ({why})"))
}

/// A Quantity as it was written: comparator, number, unit.
pub(super) fn quantity(raw: &str, value: &Value, path: &[Step<'_>]) -> Option<String> {
    let found = value.get("value").filter(|found| found.is_number())?;
    let path = [path, &[Step::Name("value")]].concat();
    let number = without_noise(&number(raw, found, &path));
    let comparator = text(value, "comparator").unwrap_or_default();
    let unit = text(value, "unit").or_else(|| text(value, "code"));
    Some(match unit.filter(|unit| *unit != "1") {
        Some(unit) => format!("{comparator}{number} {unit}"),
        None => format!("{comparator}{number}"),
    })
}

/// A number as it was written, or else as it was understood.
fn number(raw: &str, found: &Value, path: &[Step<'_>]) -> String {
    literal(raw, path).map_or_else(|| found.to_string(), str::to_owned)
}

fn without_noise(number: &str) -> String {
    let decimals = number.split_once('.').map_or("", |(_, decimals)| decimals);
    if decimals.len() <= DECIMALS_MAX || decimals.contains(['e', 'E']) {
        return number.to_owned();
    }
    match number.parse::<f64>() {
        // A small value keeps what it has: two decimals would make nothing of it.
        Ok(value) if value.abs() >= 0.1 => format!("{value:.2}"),
        _ => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(raw: &str) -> String {
        observation(raw, &serde_json::from_str(raw).unwrap())
    }

    #[test]
    fn numbers_keep_their_digits() {
        let with = |value: &str| {
            words(&format!(
                r#"{{"code":{{"text":"X"}},"valueQuantity":{{"value":{value},"unit":"mmol/L"}}}}"#
            ))
        };
        assert_eq!(with("7.50"), "X: 7.50 mmol/L");
        assert_eq!(with("165.4408724069555"), "X: 165.44 mmol/L");
        assert_eq!(with("0.00001"), "X: 0.00001 mmol/L");
        assert_eq!(with("1e3"), "X: 1e3 mmol/L");
        assert_eq!(with("\"7\""), "X: no result");
    }

    #[test]
    fn every_kind_of_result_has_words() {
        for (value, expected) in [
            (
                r#""valueQuantity":{"value":5,"comparator":"<","code":"%"}"#,
                "X: <5 %",
            ),
            (r#""valueBoolean":true"#, "X: yes"),
            (r#""valueInteger":3"#, "X: 3"),
            (r#""valueString":"clear""#, "X: clear"),
            (
                r#""valueRange":{"low":{"value":1},"high":{"value":2.0}}"#,
                "X: 1 to 2.0",
            ),
            (
                r#""valueRatio":{"numerator":{"value":1},"denominator":{"value":128}}"#,
                "X: 1 / 128",
            ),
            (
                r#""component":[{"code":{"text":"Sys"},"valueQuantity":{"value":120}},
                    {"code":{"text":"Dia"},"valueQuantity":{"value":80}}]"#,
                "X: Sys 120, Dia 80",
            ),
            (
                r#""hasMember":[{"reference":"Observation/1"}]"#,
                "X: see its members",
            ),
            (
                r#""valueInteger":9,"interpretation":[{"coding":[{"code":"HH"}]}]"#,
                "X: 9 [critically high]",
            ),
            (
                r#""dataAbsentReason":{"text":"clotted"}"#,
                "X: no result (clotted)",
            ),
        ] {
            assert_eq!(
                words(&format!(r#"{{"code":{{"text":"X"}},{value}}}"#)),
                expected
            );
        }
    }
}
