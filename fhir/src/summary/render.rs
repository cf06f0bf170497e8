//! The summary as text for a terminal of 80 columns, in the order an emergency room needs.
//!
//! Everything that comes from the record passes `narrative::clean`: no control character of the
//! input reaches the terminal.
//!
//! Not here: the words for one resource (`describe.rs`).

use serde_json::Value;

use super::dates;
use super::describe::{Describer, concept};
use super::narrative::clean;
use super::read::{ReadSection, Summary};
use super::section::Section;
use super::{SummaryError, document};
use crate::json;

const COLUMNS: usize = 80;
/// What an urgent line and any other line start with.
const URGENT: &str = "!! ";
const PLAIN: &str = " - ";
/// The width of the names in the head.
const LABEL: usize = 13;

/// Renders a summary for a terminal, 80 columns wide, each line ended by a newline.
///
/// Lines that must not be overlooked start with `!!`: alerts, allergies of high criticality,
/// anticoagulants, insulin, do-not-resuscitate. The output has no control character but newline.
///
/// # Errors
/// [`SummaryError::Bundle`] and [`SummaryError::NotASummary`] when `summary_json` is no summary.
pub fn render_text(summary_json: &[u8]) -> Result<String, SummaryError> {
    let summary = Summary::parse(summary_json)?;
    let mut page = Page::default();
    head(&mut page, &summary);
    let describer = Describer::new(&summary.bundle);
    for section in &summary.sections {
        render_section(&mut page, &describer, section);
    }
    page.blank();
    if let Some(remark) = document::withheld_remark(summary.withheld()) {
        page.paragraph("", &remark);
    } else {
        page.paragraph("", "Nothing is withheld.");
    }
    page.paragraph(
        "",
        "Made by a program from the patient's record; checked by nobody.",
    );
    Ok(page.text)
}

fn head(page: &mut Page, summary: &Summary<'_>) {
    let patient: Value = serde_json::from_str(summary.bundle.patient().json()).unwrap_or_default();
    let made = json::text(&summary.composition, "date").unwrap_or("unknown");
    page.paragraph("", "EMERGENCY SUMMARY (International Patient Summary)");
    page.rule('=');
    let is_test = json::items(
        summary.composition.get("meta").unwrap_or(&Value::Null),
        "security",
    )
    .any(|label| json::text(label, "code") == Some("HTEST"));
    if is_test {
        page.field("Note", "synthetic test data (HTEST), no real person");
    }
    page.field(
        "Patient",
        &person(&patient).unwrap_or_else(|| "(no name)".to_owned()),
    );
    page.field(
        "Sex",
        json::text(&patient, "gender").unwrap_or("not recorded"),
    );
    page.field("Born", &born(&patient, made));
    if let Some(death) = json::text(&patient, "deceasedDateTime") {
        page.field("DECEASED", dates::day(death));
    } else if patient.get("deceasedBoolean").and_then(Value::as_bool) == Some(true) {
        page.field("DECEASED", "yes");
    }
    page.field("Blood group", &blood_group(summary));
    for language in json::items(&patient, "communication") {
        if let Some(words) = concept(language.get("language")) {
            page.field("Language", &words);
        }
    }
    contacts(page, &patient);
    page.field("Made", made);
}

fn born(patient: &Value, made: &str) -> String {
    match json::text(patient, "birthDate") {
        Some(birth) => match dates::age(birth, made) {
            Some(1) => format!("{birth} (1 year)"),
            Some(age) => format!("{birth} ({age} years)"),
            None => birth.to_owned(),
        },
        None => "not recorded".to_owned(),
    }
}

/// The name of a Patient or of a contact: the official one, or else the first.
fn person(value: &Value) -> Option<String> {
    let names = || json::one_or_many(value, "name");
    let official = names().find(|name| json::text(name, "use") == Some("official"));
    let name = official.or_else(|| names().next())?;
    if let Some(text) = json::text(name, "text") {
        return Some(text.to_owned());
    }
    let given = json::items(name, "given").filter_map(Value::as_str);
    let parts: Vec<&str> = given.chain(json::text(name, "family")).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// The blood group of the results; several that differ are shown as what they are, an error.
fn blood_group(summary: &Summary<'_>) -> String {
    let results = summary
        .sections
        .iter()
        .find(|s| s.section == Section::Results);
    let entries = results.into_iter().flat_map(|section| &section.entries);
    let mut groups: Vec<String> = Vec::new();
    for (_, value) in entries.filter_map(|at| summary.resource(*at)) {
        if !json::has_coding(&value, "code", "http://loinc.org", "882-1") {
            continue;
        }
        let group = concept(value.get("valueCodeableConcept"))
            .or_else(|| json::text(&value, "valueString").map(str::to_owned));
        groups.extend(group.map(|group| match dates::when(&value) {
            Some(when) => format!("{group} ({})", dates::day(when)),
            None => group,
        }));
    }
    match groups.as_slice() {
        [] => "not recorded".to_owned(),
        [one] => one.clone(),
        several => format!("CONTRADICTORY: {}", several.join(" / ")),
    }
}

fn contacts(page: &mut Page, patient: &Value) {
    for contact in json::items(patient, "contact") {
        let mut parts: Vec<String> = person(contact).into_iter().collect();
        let relations = json::items(contact, "relationship");
        let words: Vec<String> = relations.filter_map(relation).collect();
        if !words.is_empty() {
            parts.push(format!("({})", words.join(", ")));
        }
        let telecoms = json::items(contact, "telecom");
        let phones = telecoms.filter(|t| json::text(t, "system") != Some("fax"));
        parts.extend(phones.filter_map(|t| json::text(t, "value").map(str::to_owned)));
        if parts.is_empty() {
            continue;
        }
        page.field("Contact", &parts.join(" "));
    }
}

/// Relationships are mostly given as bare codes of v2-0131 and v3-RoleCode.
fn relation(relationship: &Value) -> Option<String> {
    let known = [
        ("C", "emergency contact"),
        ("N", "next of kin"),
        ("SPS", "spouse"),
        ("CHILD", "child"),
        ("DAU", "daughter"),
        ("SON", "son"),
        ("PRN", "parent"),
        ("MTH", "mother"),
        ("FTH", "father"),
        ("SIB", "sibling"),
        ("EXT", "extended family"),
        ("FAMMEMB", "family"),
        ("FRND", "friend"),
        ("NBOR", "neighbour"),
        ("SIGOTHR", "significant other"),
        ("DOMPART", "domestic partner"),
    ];
    if let Some(text) = json::text(relationship, "text") {
        return Some(text.to_owned());
    }
    let codings = json::items(relationship, "coding");
    let words: Vec<&str> = codings
        .filter_map(|coding| {
            let code = json::text(coding, "code")?;
            let words = known.iter().find(|(known, _)| *known == code);
            words
                .map(|(_, words)| *words)
                .or(json::text(coding, "display"))
        })
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn render_section(page: &mut Page, describer: &Describer<'_, '_>, section: &ReadSection) {
    page.blank();
    page.paragraph("", &section.section.title().to_uppercase());
    page.rule('-');
    let lines = section
        .entries
        .iter()
        .filter_map(|at| describer.describe(*at));
    let mut any = false;
    for line in lines {
        any = true;
        page.paragraph(if line.urgent { URGENT } else { PLAIN }, &line.text);
    }
    if !any {
        let words = match section.empty_reason.as_deref() {
            Some("nilknown") => "None known.",
            Some("withheld") => "Nothing that may be shown here.",
            _ => "No information available.",
        };
        page.paragraph(PLAIN, words);
        if let Some(words) = &section.empty_words {
            page.paragraph(PLAIN, words);
        }
    }
    if let Some(remark) = document::withheld_remark(section.withheld) {
        page.paragraph(PLAIN, &remark);
    }
    if section.left_out > 0 {
        page.paragraph(
            PLAIN,
            &format!("In the chart only: {} more.", section.left_out),
        );
    }
}

/// Lines of at most [`COLUMNS`] characters.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn rule(&mut self, with: char) {
        self.text.extend(std::iter::repeat_n(with, COLUMNS));
        self.blank();
    }

    fn field(&mut self, label: &str, value: &str) {
        let label = format!("{label:<LABEL$}");
        self.paragraph(&label, value);
    }

    /// Wraps `words` behind `start`; further lines are indented as far as `start` reaches.
    fn paragraph(&mut self, start: &str, words: &str) {
        let indent = start.chars().count();
        let room = COLUMNS.saturating_sub(indent);
        self.text.push_str(start);
        let mut used = 0;
        for word in clean(words).split(' ') {
            let mut rest = word;
            let gap = usize::from(used > 0);
            if used + gap + rest.chars().count() > room && used > 0 {
                self.next_line(indent);
                used = 0;
            } else if gap > 0 {
                self.text.push(' ');
                used += 1;
            }
            // A word longer than a line is broken where the line ends.
            while let Some((end, _)) = rest.char_indices().nth(room) {
                let (line, more) = rest.split_at(end);
                self.text.push_str(line);
                self.next_line(indent);
                rest = more;
            }
            self.text.push_str(rest);
            used += rest.chars().count();
        }
        self.text.push('\n');
    }

    fn next_line(&mut self, indent: usize) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', indent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_keep_to_the_width() {
        let mut page = Page::default();
        page.paragraph(
            URGENT,
            &format!("{} {}", "word ".repeat(60), "y".repeat(200)),
        );
        assert!(
            page.text
                .lines()
                .all(|line| line.chars().count() <= COLUMNS)
        );
        assert!(page.text.starts_with("!! word word"));
        let words: Vec<&str> = page.text.split_whitespace().collect();
        assert_eq!(words.iter().filter(|word| **word == "word").count(), 60);
        assert_eq!(words.concat().matches('y').count(), 200);
    }
}
